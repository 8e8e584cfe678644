"""Which proxy leads to a host. Resolved here, once per origin, because aiohttp's own look-up reads `.netrc` on every request."""

from __future__ import annotations

import os
import urllib.request
from base64 import b64encode
from collections.abc import Mapping, MutableMapping
from typing import Any, TypeAlias
from urllib.parse import unquote_to_bytes, urlsplit

from imgwire_async.errors import ConfigurationError
from imgwire_async.protocol.intermediaries import ProxyInUse
from imgwire_async.redaction import Secret
from imgwire_async.settings import proxy_url
from imgwire_async.transport.no_proxy import bypasses, is_loopback, without_port

# The half of getproxies() that reads only the environment.
_read = urllib.request.getproxies_environment

PROXY_AUTHORIZATION = "Proxy-Authorization"
PROXY_AUTHENTICATE = "Proxy-Authenticate"

# Keyword arguments of an aiohttp request: `proxy`, and `proxy_headers` with the credentials; empty for the direct way.
ProxyOptions: TypeAlias = "Mapping[str, Any]"
_DIRECT: ProxyOptions = {}


class Proxies:
    """The proxy settings as one loop found them: a fixed one, or those of the environment."""

    def __init__(self, fixed: str | None, *, trust_env: bool) -> None:
        self._fixed = None if fixed is None else proxy_options(fixed)
        self._environment = _read() if trust_env and fixed is None else {}
        self.are_off: bool = self._fixed is None and not self._environment
        self._found: dict[tuple[str, str], ProxyOptions] = {}

    def for_origin(self, scheme: str, host: str) -> ProxyOptions:
        """Return what a request to this scheme and host (with port, if it has one) says of its proxy."""
        if self._fixed is not None:
            return self._fixed
        if self.are_off:
            return _DIRECT
        origin = (scheme, host)
        if origin not in self._found:
            self._found[origin] = self._look_up(scheme, host)
        return self._found[origin]

    def in_use(self, scheme: str, host: str) -> ProxyInUse | None:
        """Return the proxy that requests to this scheme and host take, as messages name it; None for the direct way."""
        options = self.for_origin(scheme, host)
        if not options:
            return None
        setting = "proxy=" if self._fixed is not None else self._variable(scheme)
        return ProxyInUse(options["proxy"], setting, has_credentials="proxy_headers" in options)

    def _look_up(self, scheme: str, host: str) -> ProxyOptions:
        url = Secret(self._environment.get(scheme) or self._environment.get("all") or "")
        # As in Go and in browsers: what listens on this machine is not for a proxy, which would look on its own.
        if not url or is_loopback(host) or bypasses(self._environment.get("no", ""), scheme, host):
            return _DIRECT
        variable = self._variable(scheme)
        try:
            return proxy_options(proxy_url(url, f"the environment variable {variable}"))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}. No request to {host} was sent. Correct {variable}, list {without_port(host)} in NO_PROXY, or let the "
                "client ignore the environment with trust_env=False"
            ) from None

    def _variable(self, scheme: str) -> str:
        """Return the name of the variable that tells the proxy of a scheme."""
        kind = scheme if self._environment.get(scheme) else "all"
        name, url = f"{kind}_proxy", self._environment.get(kind)
        # Both spellings count; Python prefers the one in small letters.
        return next(
            (
                each
                for each in (name, name.upper(), *os.environ)
                if each.lower() == name and os.environ.get(each) == url
            ),
            name.upper(),
        )


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
