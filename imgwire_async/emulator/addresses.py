"""Host names and addresses to listen on, and how URLs write them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

__all__ = ["is_loopback", "is_wildcard", "resolve_address", "url_host"]


async def resolve_address(host: str) -> str:
    """Return the one IP address that a host name or address stands for, IPv4 first. `OSError` for an unknown name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    # One address: with port 0 each further one would get another port.
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(error.errno, f"no address for host {host!r}: {error.strerror}") from error
    return str(min(found, key=lambda each: each[0] != socket.AF_INET)[4][0])


def is_wildcard(host: str) -> bool:
    """Return whether a host stands for every address of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(address: str) -> bool:
    """Return whether only this machine reaches an IP address."""
    return ipaddress.ip_address(address).is_loopback


def url_host(host: str) -> str:
    """Return a host as URLs write it; of one that stands for every address, the loopback one."""
    if is_wildcard(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"[{host}]" if ":" in host else host
