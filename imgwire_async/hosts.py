"""Judge the part of a URL that names a host."""

from __future__ import annotations

import re

# A name, or an IPv6 address out of its brackets.
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+(?:%[a-z0-9._~-]+)?", re.IGNORECASE | re.ASCII)


# Brackets stand around an IPv6 address, and only there. Older versions of Python read `evil[::1]` as the host `::1`.
_AUTHORITY = re.compile(r"(?:\[[^\[\]]*:[^\[\]]*\]|[^\[\]:]*)(?::[0-9]*)?")


def is_authority(authority: str) -> bool:
    """Return whether this part of a URL names one host and perhaps a port, after whatever user info, so that all parsers read the same host."""
    return _AUTHORITY.fullmatch(authority.rpartition("@")[2]) is not None


def is_host(name: str | None) -> bool:
    """Return whether this can be asked for at all: no empty or overlong part, nothing that a resolver or the HTTP library would choke on."""
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
    from ipaddress import IPv6Address  # such hosts are rare, and naming the client class shall stay cheap

    try:
        IPv6Address(name)
    except ValueError:
        return False
    return True
