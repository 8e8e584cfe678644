"""Resolve and classify the host names and addresses on which the emulator listens."""

from __future__ import annotations

import asyncio
import ipaddress
import socket

__all__ = ["is_loopback", "is_wildcard", "resolve_address", "url_host"]


async def resolve_address(host: str) -> str:
    """Return an IP address of a host, preferably an IPv4 address. Raises `OSError` for an unknown host name.

    If `host` is an IP address itself, it is returned.
    """
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    # Return one address only: with port 0, a server on two addresses would get a different port on each.
    try:
        results = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError as error:
        raise OSError(error.errno, f"no address for host {host!r}: {error.strerror}") from error
    return str(min(results, key=lambda result: result[0] != socket.AF_INET)[4][0])


def is_wildcard(host: str) -> bool:
    """Return whether a host is `0.0.0.0` or `::`. A server on such a host listens on all addresses."""
    try:
        return ipaddress.ip_address(host).is_unspecified
    except ValueError:
        return False


def is_loopback(address: str) -> bool:
    """Return whether an IP address is a loopback address, so that only this machine can connect to it."""
    return ipaddress.ip_address(address).is_loopback


def url_host(host: str) -> str:
    """Return a host as it is written in a URL: an IPv6 address in brackets, other hosts unchanged.

    A wildcard address is replaced by the loopback address, because clients cannot connect to a wildcard.
    """
    if is_wildcard(host):
        host = "::1" if ":" in host else "127.0.0.1"
    return f"[{host}]" if ":" in host else host
