"""Which proxy leads to a host. Resolved here, once per origin, because aiohttp's own look-up reads `.netrc` on every request."""

from __future__ import annotations

import urllib.request
from collections.abc import Callable, Mapping
from typing import Any, cast

from imgwire_async.config import proxy_url

# The two halves of getproxies() and proxy_bypass() that read only the environment; typeshed knows just the first.
_read = urllib.request.getproxies_environment
_bypass = cast("Callable[[str, Mapping[str, str]], Any]", getattr(urllib.request, "proxy_bypass_environment"))  # noqa: B009


class Proxies:
    """The proxy settings as one loop found them: a fixed one, or those of the environment."""

    def __init__(self, fixed: str | None, *, trust_env: bool) -> None:
        self._fixed = fixed
        self._environment = _read() if trust_env and fixed is None else {}
        self._found: dict[tuple[str, str], str | None] = {}

    def for_origin(self, scheme: str, host: str) -> str | None:
        """The URL of the proxy for this scheme and host (with port, if it has one), or None."""
        if self._fixed is not None or not self._environment:
            return self._fixed
        origin = (scheme, host)
        if origin not in self._found:
            self._found[origin] = self._look_up(scheme, host)
        return self._found[origin]

    def _look_up(self, scheme: str, host: str) -> str | None:
        url = self._environment.get(scheme) or self._environment.get("all")
        if not url or _bypass(host, self._environment):
            return None
        return proxy_url(url, f"the environment's {scheme.upper()}_PROXY or ALL_PROXY")
