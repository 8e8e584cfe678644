"""The CORS rules for pages of other origins: preflight responses and response headers, as pure functions."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from attrs import frozen

from imgwire_async.emulator.http import Pairs, Request, Response

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
# Browsers always let a page read some headers, such as Content-Type. These are additional ones.
_EXPOSED = ("Access-Control-Expose-Headers", "Content-Disposition, ETag, Retry-After, X-Request-Id")
_VARY_BY_ORIGIN = ("Vary", "Origin")


@frozen
class CorsRule:
    """The permissions of pages of other origins for one resource.

    `methods` are the allowed methods. `allowed_origin` is the value of `Access-Control-Allow-Origin`, or None
    if the page must not read the response.
    """

    methods: tuple[str, ...]
    allowed_origin: str | None


def rule_for(origin: str | None, patterns: Iterable[str], methods: tuple[str, ...]) -> CorsRule:
    """Return the CORS rule for a resource that the configured patterns protect.

    Without patterns every origin is allowed. [contract 8]
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

    A pattern is a host, or `*.` and a domain for any subdomain. A port follows if it is not the default port.
    A pattern of any other form matches nothing. [contract 8]
    """
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        # A browser never sends such an origin.
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
    """Return the response to a preflight, which is always 200.

    It has no permission headers when the origin is not allowed. Any request header is allowed, because the
    contract does not say which ones the service accepts. [contract 8]
    """
    if rule.allowed_origin is None:
        return Response(status=200)
    headers = [("Access-Control-Allow-Methods", ", ".join(rule.methods)), ("Access-Control-Max-Age", "600")]
    requested = request.header("access-control-request-headers")
    if requested is not None:
        headers.append(("Access-Control-Allow-Headers", requested))
    # Browsers send this header before they let a page of a public site connect to this machine.
    if request.header("access-control-request-private-network") == "true":
        headers.append(("Access-Control-Allow-Private-Network", "true"))
    return Response(status=200, headers=tuple(headers))


def with_cors(response: Response, request: Request, rule: CorsRule | None) -> Response:
    """Return the response with the headers that let a page read it.

    A response that already has CORS headers, such as that of a fault, stays as it is.
    """
    has_cors_headers = any(name.lower() == "access-control-allow-origin" for name, _ in response.headers)
    return response if rule is None or has_cors_headers else response.with_headers(_headers(request, rule))


def _headers(request: Request, rule: CorsRule) -> Pairs:
    # Storage and CDN always send `*`. An <img> element sends no Origin header, and a later fetch() must be
    # able to use its cached response.
    if rule.allowed_origin == ANY_ORIGIN:
        allowed: Pairs = (("Access-Control-Allow-Origin", ANY_ORIGIN),)
    elif rule.allowed_origin is None:
        return (_VARY_BY_ORIGIN,)
    else:
        allowed = (("Access-Control-Allow-Origin", rule.allowed_origin), _VARY_BY_ORIGIN)
    return allowed if is_preflight(request) else (*allowed, _EXPOSED)
