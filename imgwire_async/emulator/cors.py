"""Decide what web pages of other origins may do (CORS): preflight responses and response headers."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from attrs import frozen

from imgwire_async.emulator.http import HeaderPairs, Request, Response

__all__ = [
    "ANY_ORIGIN",
    "CorsRule",
    "is_preflight",
    "matches_pattern",
    "preflight_response",
    "rule_for",
    "with_cors",
]

ANY_ORIGIN = "*"
_DEFAULT_PORTS = {"http": 80, "https": 443}
# Browsers always let a page read some response headers, such as Content-Type. This header lists additional
# headers that the page may read.
_EXPOSED = ("Access-Control-Expose-Headers", "Content-Disposition, ETag, Retry-After, X-Request-Id")
_VARY_BY_ORIGIN = ("Vary", "Origin")


@frozen
class CorsRule:
    """What a web page of another origin may do with one resource.

    `methods` are the HTTP methods that the page may use. `allowed_origin` is the value of the response header
    `Access-Control-Allow-Origin`, or None if the page must not read the response.
    """

    methods: tuple[str, ...]
    allowed_origin: str | None


def rule_for(origin: str | None, patterns: Iterable[str], methods: tuple[str, ...]) -> CorsRule:
    """Return the CORS rule for a request with the `Origin` header `origin`.

    The origin is allowed if it matches one of `patterns`, or if there are no patterns. [contract 8]
    """
    configured = tuple(patterns)
    if (
        origin is not None
        and configured
        and not any(matches_pattern(pattern, origin) for pattern in configured)
    ):
        return CorsRule(methods, None)
    return CorsRule(methods, origin)


def matches_pattern(pattern: str, origin: str) -> bool:
    """Return whether a pattern matches the `Origin` header of a request.

    A pattern is a host name such as `example.com`, or `*.example.com` for all its subdomains. If the origin
    has a port other than the default port, the pattern must end with the same port: `example.com:8443`.
    A pattern of any other form matches nothing. [contract 8]
    """
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        # The header is not a URL, so it matches no pattern. A browser never sends such a header.
        return False
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme):
        host = f"{host}:{port}"
    pattern = pattern.lower()
    if not pattern.startswith("*."):
        return bool(host) and host == pattern
    return len(pattern) > len("*.") and host.endswith(pattern[1:]) and len(host) >= len(pattern)


def is_preflight(request: Request) -> bool:
    """Return whether a request is a CORS preflight of a browser."""
    return (
        request.method == "OPTIONS"
        and request.header("origin") is not None
        and request.header("access-control-request-method") is not None
    )


def preflight_response(request: Request, rule: CorsRule) -> Response:
    """Return the response to a preflight. Its status is always 200.

    If the origin is not allowed, the response lacks the headers that permit the request. Otherwise the
    response allows every request header that the browser names, because the contract does not say which
    request headers the service allows. [contract 8]
    """
    if rule.allowed_origin is None:
        return Response(status=200)
    headers = [("Access-Control-Allow-Methods", ", ".join(rule.methods)), ("Access-Control-Max-Age", "600")]
    requested = request.header("access-control-request-headers")
    if requested is not None:
        headers.append(("Access-Control-Allow-Headers", requested))
    # A browser sends this request header if a page of a public site wants to connect to this machine.
    if request.header("access-control-request-private-network") == "true":
        headers.append(("Access-Control-Allow-Private-Network", "true"))
    return Response(status=200, headers=tuple(headers))


def with_cors(response: Response, request: Request, rule: CorsRule | None) -> Response:
    """Return the response with the CORS headers that `rule` requires, or unchanged if `rule` is None.

    A response that already has CORS headers, for example those of a planned fault, is returned unchanged.
    """
    has_cors_headers = any(name.lower() == "access-control-allow-origin" for name, _ in response.headers)
    return response if rule is None or has_cors_headers else response.with_headers(_headers(request, rule))


def _headers(request: Request, rule: CorsRule) -> HeaderPairs:
    # Storage and CDN send `*` even if the request has no Origin header. For example, the request of an <img>
    # element has none. The browser caches the response, and a later fetch() by the page must be able to read
    # the cached response.
    if rule.allowed_origin == ANY_ORIGIN:
        allowed: HeaderPairs = (("Access-Control-Allow-Origin", ANY_ORIGIN),)
    elif rule.allowed_origin is None:
        return (_VARY_BY_ORIGIN,)
    else:
        allowed = (("Access-Control-Allow-Origin", rule.allowed_origin), _VARY_BY_ORIGIN)
    return allowed if is_preflight(request) else (*allowed, _EXPOSED)
