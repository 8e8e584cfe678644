"""Decide whether requests to a host bypass the proxy.

Requests to this machine and to the hosts that `NO_PROXY` lists bypass the proxy.
"""

from __future__ import annotations

import ipaddress
import re
from fnmatch import fnmatchcase
from typing import TypeAlias

_Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

_PORTS = {"http": 80, "https": 443}
# A host name, an IPv4 address, or an IPv6 address in brackets, with an optional port.
_HOST_AND_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?")

# An IPv6 network whose address is in brackets: [fd00::]/8.
_BRACKETED_NETWORK = re.compile(r"\A\[([^\[\]]*)\](/.*)")


def is_loopback(host: str) -> bool:
    """Return whether `host` is this machine: `localhost`, a subdomain of `localhost`, or a loopback address.

    `host` may include a port.
    """
    name, _ = _split_port(host)
    address = _parse_address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def without_port(host: str) -> str:
    """Return `host` without its port, in the form for `NO_PROXY`. An IPv6 address stays in brackets."""
    name, port = _split_port(host)
    return f"[{name}]" if ":" in name else name if port else host


def bypasses(no_proxy: str, scheme: str, host: str) -> bool:
    """Return whether `no_proxy` (the value of the variable `NO_PROXY`) lists `host`.

    Requests to a listed host bypass the proxy. `host` may include a port. The entries of `no_proxy` are
    separated by commas or spaces. An entry is `*`, a name (which includes its subdomains), an address, a
    network (`10.0.0.0/8`) or a pattern (`127.*`), with an optional port. Brackets around IPv6 addresses are
    optional.
    """
    name, port = _split_port(host)
    port = port or _PORTS.get(scheme)
    return any(_matches(entry, name, port) for entry in re.split(r"[\s,]+", no_proxy) if entry)


def _split_port(host: str) -> tuple[str, int | None]:
    match = _HOST_AND_PORT.fullmatch(host.lower())
    if match is None:
        # An IPv6 address without brackets.
        return host.lower(), None
    return (match[1] or match[2] or "").rstrip("."), int(match[3]) if match[3] else None


def _matches(entry: str, name: str, port: int | None) -> bool:
    if entry == "*":
        return True
    listed, listed_port = _split_port(entry)
    if listed_port not in {None, port}:
        return False
    address = _parse_address(name)
    if address is not None:
        return _contains(listed, address)
    domain = listed.removeprefix("*").lstrip(".")
    if "*" in domain:
        return fnmatchcase(name, domain)
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _parse_address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _contains(network: str, address: _Address) -> bool:
    if "*" in network:
        return fnmatchcase(str(address), network)
    try:
        return address in ipaddress.ip_network(
            _BRACKETED_NETWORK.sub(r"\1\2", network).partition("%")[0], strict=False
        )
    except ValueError:
        return False
