"""Which proxy leads to a host. Resolved here, once per origin, because aiohttp's own look-up reads `.netrc` on every request."""

from __future__ import annotations

import ipaddress
import re
import urllib.request
from base64 import b64encode
from collections.abc import Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from imgwire_async.config import proxy_url
from imgwire_async.exchange import Secret

# The half of getproxies() that reads only the environment.
_read = urllib.request.getproxies_environment

PROXY_AUTHORIZATION = "Proxy-Authorization"

# Keyword arguments of an aiohttp request: `proxy`, and `proxy_headers` with the credentials; empty for the direct way.
ProxyOptions: TypeAlias = "Mapping[str, Any]"
_DIRECT: ProxyOptions = {}


class Proxies:
    """The proxy settings as one loop found them: a fixed one, or those of the environment."""

    def __init__(self, fixed: str | None, *, trust_env: bool) -> None:
        self._fixed = None if fixed is None else proxy_options(fixed)
        self._environment = _read() if trust_env and fixed is None else {}
        self._found: dict[tuple[str, str], ProxyOptions] = {}

    def for_origin(self, scheme: str, host: str) -> ProxyOptions:
        """Return what a request to this scheme and host (with port, if it has one) says of its proxy."""
        if self._fixed is not None:
            return self._fixed
        if not self._environment:
            return _DIRECT
        origin = (scheme, host)
        if origin not in self._found:
            self._found[origin] = self._look_up(scheme, host)
        return self._found[origin]

    def _look_up(self, scheme: str, host: str) -> ProxyOptions:
        url = Secret(self._environment.get(scheme) or self._environment.get("all") or "")
        if not url or bypasses(self._environment.get("no", ""), scheme, host):
            return _DIRECT
        return proxy_options(proxy_url(url, f"the environment's {scheme.upper()}_PROXY or ALL_PROXY"))


def proxy_options(url: str) -> ProxyOptions:
    """Return what a request says of the proxy at `url`, which is checked. Its user info goes into a header of our own.

    aiohttp knows latin-1 only, and refuses everything else in the middle of a call, password and all. As curl does, what
    is percent-encoded goes out byte for byte: UTF-8, if the URL was written so.
    """
    url = Secret(url)
    parts = urlsplit(url)
    options = {"proxy": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"}
    if not parts.username and not parts.password:
        return options
    return options | {"proxy_headers": {PROXY_AUTHORIZATION: _basic(parts.username, parts.password)}}


def _basic(user: str | None, password: str | None) -> Secret:
    pair = unquote_to_bytes(user or "") + b":" + unquote_to_bytes(password or "")
    return Secret(f"Basic {b64encode(pair).decode()}")


def add_credentials(headers: MutableMapping[str, str], proxy_headers: Mapping[str, str]) -> None:
    """Add what a proxy has to know to the headers of a request that it will forward itself."""
    if PROXY_AUTHORIZATION in proxy_headers:
        headers[PROXY_AUTHORIZATION] = proxy_headers[PROXY_AUTHORIZATION]


# --- NO_PROXY -----------------------------------------------------------------------------------------------------------

_PORTS = {"http": 80, "https": 443}
# A name or an IPv4 address, or an IPv6 address in brackets; perhaps a port.
_HOST_AND_PORT = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::([0-9]{1,5}))?")


def bypasses(no_proxy: str, scheme: str, host: str) -> bool:
    """Return whether `NO_PROXY` lists `host` (with port, if it has one), so that no proxy may see the request.

    Entries are divided by commas or blanks: `*`, names (with their subdomains), addresses, networks (`10.0.0.0/8`), each
    perhaps with a port. IPv6 addresses may stand in brackets. Python's own look-up knows these only with brackets.
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
    return bool(domain) and (name == domain or name.endswith(f".{domain}"))


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None


def _holds(network: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(network.partition("%")[0], strict=False)
    except ValueError:
        return False
