"""Validate the host of a URL."""

from __future__ import annotations

import re

# A host name, or an IPv6 address without its brackets.
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+(?:%[a-z0-9._~-]+)?", re.IGNORECASE | re.ASCII)

# A host with an optional port. Only a whole IPv6 address may be in brackets, because old versions of Python
# parse `evil[::1]` as the host `::1`.
_AUTHORITY = re.compile(r"(?:\[[^\[\]]*:[^\[\]]*\]|[^\[\]:]*)(?::[0-9]*)?")


def is_authority(authority: str) -> bool:
    """Return whether `authority` (the part of a URL after `//`) is one host with an optional port.

    User info before the host is allowed. If the result is true, all URL parsers find the same host.
    """
    return _AUTHORITY.fullmatch(authority.rpartition("@")[2]) is not None


def is_host(name: str | None) -> bool:
    """Return whether `name` is a valid host name or IP address.

    For any other name, the resolver or the HTTP library would raise an exception of its own.
    """
    if name is None or len(name) > 253 or not _HOST.fullmatch(name):
        return False
    if ":" in name:
        return _is_ipv6(name)
    if "xn--" in name.lower():
        try:
            name.encode("ascii").decode("idna")
        except UnicodeError:
            return False
    return all(0 < len(label) <= 63 for label in name.removesuffix(".").split("."))


def _is_ipv6(name: str) -> bool:
    # Imported here because such hosts are rare, and importing the client class has to stay fast.
    from ipaddress import IPv6Address

    try:
        IPv6Address(name)
    except ValueError:
        return False
    return True
