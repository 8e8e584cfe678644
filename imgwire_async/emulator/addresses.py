"""Resolve and classify the host names and addresses on which the emulator listens."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

__all__ = ["is_loopback", "is_wildcard", "resolve_address", "url_host"]


async def resolve_address(host: str) -> str:
    """Return the IP address of a host name, IPv4 first. Raises `OSError` for an unknown name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    # The emulator listens on one address only. With port 0 each further address would get a different port.
    try:
        results = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(error.errno, f"no address for host {host!r}: {error.strerror}") from error
    return str(min(results, key=lambda result: result[0] != socket.AF_INET)[4][0])


def is_wildcard(host: str) -> bool:
    """Return whether a host is `0.0.0.0` or `::`, which stand for every address of this machine."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(address: str) -> bool:
    """Return whether only this machine can connect to an IP address."""
    return ipaddress.ip_address(address).is_loopback


def url_host(host: str) -> str:
    """Return a host in the form for a URL.

    A wildcard address becomes the loopback address.
    """
    if is_wildcard(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"[{host}]" if ":" in host else host
