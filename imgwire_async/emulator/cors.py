"""Cross-origin requests of browsers: what a preflight hears, and which pages may read an response. Pure."""

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
# Beside those that a page may read anyway (Content-Type, Content-Length, Cache-Control ...).
_EXPOSED = ("Access-Control-Expose-Headers", "Content-Disposition, ETag, Retry-After, X-Request-Id")
_VARY_BY_ORIGIN = ("Vary", "Origin")


@frozen
class CorsRule:
    """What pages of other origins may do with one resource: the methods, and the value of `Access-Control-Allow-Origin`,
    None when the asking page may not read the response. A rule that allows any origin does not vary by it.
    """

    methods: tuple[str, ...]
    allowed_origin: str | None


def rule_for(origin: str | None, patterns: Iterable[str], methods: tuple[str, ...]) -> CorsRule:
    """Return the rule of a resource that obeys the configured patterns; without patterns every origin is allowed. [contract 8]"""
    configured = tuple(patterns)
    if origin is not None and configured and not any(matches_pattern(each, origin) for each in configured):
        return CorsRule(methods, None)
    return CorsRule(methods, origin)


def matches_pattern(pattern: str, origin: str) -> bool:
    """Return whether a pattern matches an `Origin` header: a host, or `*.` for any subdomain, with a port when it is not the
    default one. A pattern of any other form matches nothing. [contract 8]
    """
    try:
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port
    except ValueError:  # no origin that a browser sends
        return False
    if ":" in host:
        host = f"[{host}]"
    if port is not None and port != _DEFAULT_PORTS.get(parts.scheme):
        host = f"{host}:{port}"
    wanted = pattern.lower()
    if not wanted.startswith("*."):
        return bool(host) and host == wanted
    return len(wanted) > len("*.") and host.endswith(wanted[1:]) and len(host) >= len(wanted)


def is_preflight(request: Request) -> bool:
    """Return whether a browser asks for permission before the request itself."""
    return (
        request.method == "OPTIONS"
        and request.header("origin") is not None
        and request.header("access-control-request-method") is not None
    )


def preflight_response(request: Request, rule: CorsRule) -> Response:
    """Return the response to a preflight: 200 in any case, without permission when the origin may not. [contract 8]

    Any header may come with the request: which ones the service takes is unknown.
    """
    if rule.allowed_origin is None:
        return Response(status=200)
    headers = [("Access-Control-Allow-Methods", ", ".join(rule.methods)), ("Access-Control-Max-Age", "600")]
    requested = request.header("access-control-request-headers")
    if requested is not None:
        headers.append(("Access-Control-Allow-Headers", requested))
    # A page of another network (or of a secure origin) asks whether this machine may be reached at all.
    if request.header("access-control-request-private-network") == "true":
        headers.append(("Access-Control-Allow-Private-Network", "true"))
    return Response(status=200, headers=tuple(headers))


def with_cors(response: Response, request: Request, rule: CorsRule | None) -> Response:
    """Return the response with the headers that let a page read it, errors too. An response that brings its own CORS headers, as one
    of a fault may, keeps those alone.
    """
    own = any(name.lower() == "access-control-allow-origin" for name, _ in response.headers)
    return response if rule is None or own else response.with_headers(_headers(request, rule))


def _headers(request: Request, rule: CorsRule) -> Pairs:
    # Storage and CDN send `*` to everybody: an <img> sends no Origin, and its cached response must serve a later fetch().
    if rule.allowed_origin == ANY_ORIGIN:
        allowed: Pairs = (("Access-Control-Allow-Origin", ANY_ORIGIN),)
    elif rule.allowed_origin is None:
        return (_VARY_BY_ORIGIN,)
    else:
        allowed = (("Access-Control-Allow-Origin", rule.allowed_origin), _VARY_BY_ORIGIN)
    return allowed if is_preflight(request) else (*allowed, _EXPOSED)
