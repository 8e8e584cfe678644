"""Find the proxy for requests to a host.

The proxy is found once per origin and then cached. aiohttp could find the proxy in the environment variables
itself, but would read the file `.netrc` on every request.
"""

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

# `urllib.request.getproxies` would read the system settings of macOS and Windows, too.
_read_environment = urllib.request.getproxies_environment

PROXY_AUTHORIZATION = "Proxy-Authorization"
PROXY_AUTHENTICATE = "Proxy-Authenticate"

# Keyword arguments of an aiohttp request: `proxy`, and `proxy_headers` with the credentials if the proxy has
# any. Empty if the request uses no proxy.
ProxyOptions: TypeAlias = "Mapping[str, Any]"
_NO_OPTIONS: ProxyOptions = {}


class Proxies:
    """The proxy settings of one event loop.

    The option `proxy` sets one proxy for all hosts. Without it the environment variables set the proxies. The
    variables are read once, when the client first uses the loop.
    """

    def __init__(self, fixed: str | None, *, trust_env: bool) -> None:
        self._fixed = None if fixed is None else proxy_options(fixed)
        self._environment = _read_environment() if trust_env and fixed is None else {}
        self.are_off: bool = self._fixed is None and not self._environment
        self._by_origin: dict[tuple[str, str], ProxyOptions] = {}

    def for_origin(self, scheme: str, host: str) -> ProxyOptions:
        """Return the keyword arguments for the proxy of a request to this scheme and host.

        `host` includes the port, if the URL has one.
        """
        if self._fixed is not None:
            return self._fixed
        if self.are_off:
            return _NO_OPTIONS
        origin = (scheme, host)
        if origin not in self._by_origin:
            self._by_origin[origin] = self._resolve(scheme, host)
        return self._by_origin[origin]

    def in_use(self, scheme: str, host: str) -> ProxyInUse | None:
        """Return the proxy for this scheme and host, for messages. Return None if requests use no proxy."""
        options = self.for_origin(scheme, host)
        if not options:
            return None
        setting = "proxy=" if self._fixed is not None else self._variable_name(scheme)
        return ProxyInUse(options["proxy"], setting, has_credentials="proxy_headers" in options)

    def _resolve(self, scheme: str, host: str) -> ProxyOptions:
        url = Secret(self._environment.get(scheme) or self._environment.get("all") or "")
        # Do not use a proxy for `localhost`. For the proxy this name means the proxy's machine, not this
        # machine. Go and browsers do the same.
        if not url or is_loopback(host) or bypasses(self._environment.get("no", ""), scheme, host):
            return _NO_OPTIONS
        variable = self._variable_name(scheme)
        try:
            return proxy_options(proxy_url(url, f"the environment variable {variable}"))
        except ConfigurationError as error:
            raise ConfigurationError(
                f"{error}. No request to {host} was sent. Correct {variable}, list {without_port(host)} in NO_PROXY, or pass "
                "trust_env=False to ignore the environment"
            ) from None

    def _variable_name(self, scheme: str) -> str:
        """Return the name of the environment variable that sets the proxy for a scheme."""
        kind = scheme if self._environment.get(scheme) else "all"
        name, url = f"{kind}_proxy", self._environment.get(kind)
        # The variable may be in lower or upper case. Python prefers lower case.
        return next(
            (
                variable
                for variable in (name, name.upper(), *os.environ)
                if variable.lower() == name and os.environ.get(variable) == url
            ),
            name.upper(),
        )


def proxy_options(url: str) -> ProxyOptions:
    """Return the keyword arguments that send an aiohttp request through the proxy at `url`.

    `settings.proxy_url` has already checked `url`. This function encodes user and password into a header
    itself. aiohttp would encode them as Latin-1, and its error for other characters shows the password.
    Percent-encoded bytes are decoded and sent without a change of their character encoding, as in curl.
    """
    url = Secret(url)
    parts = urlsplit(url)
    options = {"proxy": f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"}
    if not parts.username and not parts.password:
        return options
    return options | {
        "proxy_headers": {PROXY_AUTHORIZATION: _basic_credentials(parts.username, parts.password)}
    }


def _basic_credentials(user: str | None, password: str | None) -> Secret:
    pair = unquote_to_bytes(user or "") + b":" + unquote_to_bytes(password or "")
    return Secret(f"Basic {b64encode(pair).decode()}")


def add_credentials(headers: MutableMapping[str, str], proxy_headers: Mapping[str, str]) -> None:
    """Add the proxy's credentials to `headers`, the headers of a plain http request.

    The proxy reads the headers of such a request itself.
    """
    if PROXY_AUTHORIZATION in proxy_headers:
        headers[PROXY_AUTHORIZATION] = proxy_headers[PROXY_AUTHORIZATION]
