"""Which hosts no proxy may see: this machine's own, and those that `NO_PROXY` lists."""

from __future__ import annotations

import ipaddress
import re
from fnmatch import fnmatchcase
from typing import TypeAlias

_Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"

_PORTS = {"http": 80, "https": 443}
# A name or an IPv4 address, or an IPv6 address in brackets; perhaps a port.
_HOST_AND_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?")

_BRACKETS = re.compile(r"\A\[([^\[\]]*)\](/.*)")  # around the address of a network: [fd00::]/8


def is_loopback(host: str) -> bool:
    """Return whether `host` (with port, if it has one) is this machine: `localhost`, a name below it, or a loopback address."""
    name, _ = _split(host)
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback


def without_port(host: str) -> str:
    """Return a host as `NO_PROXY` lists it: without its port, an IPv6 address in brackets."""
    name, port = _split(host)
    return f"[{name}]" if ":" in name else name if port else host


def bypasses(no_proxy: str, scheme: str, host: str) -> bool:
    """Return whether `NO_PROXY` lists `host` (with port, if it has one), so that no proxy may see the request.

    Entries are divided by commas or blanks: `*`, names (with their subdomains), addresses, networks (`10.0.0.0/8`), patterns
    (`127.*`), each perhaps with a port. IPv6 addresses may stand in brackets. Python's own look-up knows these only with brackets.
    """
    name, port = _split(host)
    port = port or _PORTS.get(scheme)
    return any(_lists(entry, name, port) for entry in re.split(r"[\s,]+", no_proxy) if entry)


def _split(host: str) -> tuple[str, int | None]:
    found = _HOST_AND_PORT.fullmatch(host.lower())
    if found is None:  # an IPv6 address out of its brackets
        return host.lower(), None
    return (found[1] or found[2] or "").rstrip("."), int(found[3]) if found[3] else None


def _lists(entry: str, name: str, port: int | None) -> bool:
    if entry == "*":
        return True
    listed, listed_port = _split(entry)
    if listed_port not in {None, port}:
        return False
    address = _address(name)
    if address is not None:
        return _holds(listed, address)
    domain = listed.removeprefix("*").lstrip(".")
    if "*" in domain:
        return fnmatchcase(name, domain)
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _address(text: str) -> _Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _holds(network: str, address: _Address) -> bool:
    if "*" in network:
        return fnmatchcase(str(address), network)
    try:
        return address in ipaddress.ip_network(
            _BRACKETS.sub(r"\1\2", network).partition("%")[0], strict=False
        )
    except ValueError:
        return False
