"""Translate aiohttp's exceptions, and remove secrets from their tracebacks."""

from __future__ import annotations

import asyncio
import os
import ssl
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import aiohttp
import attrs
from aiohttp.http_exceptions import LineTooLong
from yarl import URL

from imgwire_async.protocol.intermediaries import ProxyInUse
from imgwire_async.protocol.request import NoResponseError
from imgwire_async.redaction import excerpt, redact
from imgwire_async.retry import Failure, FailureKind
from imgwire_async.transport.middleware import (
    NOT_SENT,
    CancelledByOthersError,
    DroppedError,
    NoFinalResponseError,
)
from imgwire_async.transport.proxies import PROXY_AUTHENTICATE
from imgwire_async.transport.tls_errors import (
    certificate_failure,
    handshake_failure,
    rejects_client_certificate,
)

# The exceptions that a request can raise. ValueError and TypeError are not listed, because they would be bugs
# of this package.
AIOHTTP_ERRORS = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


def scrub_traceback(error: BaseException) -> None:
    """Clear the local variables of aiohttp's frames in the traceback of `error`, its causes and its contexts.

    These variables hold presigned URLs and requests, and error trackers store the variables of frames. The
    variables of other frames are not changed. File names and line numbers stay in all frames.
    """
    visited: set[int] = set()
    pending: list[BaseException | None] = [error]
    while pending:
        current = pending.pop()
        if current is None or id(current) in visited:
            continue
        visited.add(id(current))
        pending += (current.__cause__, current.__context__)
        for frame, _ in traceback.walk_tb(current.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("aiohttp."):
                try:
                    frame.clear()
                except RuntimeError:
                    # A frame that is still running or suspended cannot be cleared.
                    pass


@attrs.frozen
class Route:
    """The route to a host, for error messages. It is created only after a failure."""

    # The host of the URL, with the port if the URL has one.
    host: str
    # Whether the URL begins with https.
    secure: bool
    proxy: ProxyInUse | None = None
    # Whether the option `ssl` is set.
    custom_ssl: bool = False

    @property
    def network_advice(self) -> str:
        """The advice for a failed connection, or an empty text."""
        if self.proxy is None:
            return ""
        return f"Check that proxy, or {self.proxy.bypass_advice}."

    @property
    def via_proxy(self) -> str:
        """The text " through <proxy>" for a message, or an empty text without a proxy."""
        return "" if self.proxy is None else f" through {self.proxy}"

    def peer(self, *, not_sent: bool) -> str:
        """Return the text with which a message names the other end of a failed connection.

        Without a proxy, the other end is the host. With a proxy, the proxy has failed if the request was not
        sent. If the request was sent, either the host or the proxy may have failed, so the text names both.
        """
        if self.proxy is None:
            return self.host
        return f"{self.proxy} on the way to {self.host}" if not_sent else f"{self.host} or {self.proxy}"


def translate(error: BaseException, route: Route) -> NoResponseError:
    """Translate an error of aiohttp into a `NoResponseError`.

    aiohttp's message is never copied as a whole, because it may contain a presigned URL.
    """
    # A body that cannot be decompressed raises a `NoResponseError`, which needs no translation.
    if isinstance(error, NoResponseError):
        return error
    not_sent = False
    if isinstance(error, DroppedError) and error.__cause__ is not None:
        not_sent, error = not error.sent, error.__cause__
    peer = route.peer(not_sent=not_sent)
    for error_class, to_failure in _TRANSLATIONS:
        failure = to_failure(error, route, peer) if isinstance(error, error_class) else None
        if failure is not None:
            break
    else:
        failure = _CONNECTION_BROKEN(error, route, peer)
    # If the connection broke before the request was sent, no server processed the request.
    if not_sent and failure.kind == "connection_lost":
        failure = attrs.evolve(failure, kind="not_sent")
    return NoResponseError(failure)


# A function that translates an error into a failure. It is called with the error, the route, and the result
# of `Route.peer`. If it returns None, a later row of `_TRANSLATIONS` translates the error.
Translation: TypeAlias = Callable[[Any, Route, str], Failure | None]


def _with_text(kind: FailureKind, text: str) -> Callable[[BaseException, Route, str], Failure]:
    """Return a function that translates every error into a failure with this `kind` and `text`.

    The placeholders {host}, {via_proxy}, {peer} and {cause} in `text` are replaced.
    """

    def translation(error: BaseException, route: Route, peer: str) -> Failure:
        reason = text.format(host=route.host, via_proxy=route.via_proxy, peer=peer, cause=_cause(error))
        return Failure(reason, kind=kind, advice=route.network_advice)

    return translation


def _cancelled(error: CancelledByOthersError, route: Route, _: str) -> Failure:
    kind: FailureKind = "connection_lost" if error.sent else "not_sent"
    return Failure(f"other code cancelled the work on the request to {route.host}", kind=kind)


def _no_final_response(error: NoFinalResponseError, route: Route, peer: str) -> Failure:
    if error.status == 407:
        return proxy_rejection(407, error.headers, route)
    reason = f"{peer} sent HTTP {error.status}, which is not a final response"
    return Failure(reason, kind=error.failure_kind, advice=route.network_advice)


def _rejected_by_proxy(error: aiohttp.ClientHttpProxyError, route: Route, _: str) -> Failure:
    return proxy_rejection(error.status, error.headers or {}, route)


def _proxy_unreachable(error: aiohttp.ClientProxyConnectionError, route: Route, _: str) -> Failure:
    reason = f"{route.proxy or 'the proxy'} to {route.host} cannot be reached: {_cause(error)}"
    return Failure(reason, kind="not_sent", advice=route.network_advice)


def _unresolved_name(error: aiohttp.ClientConnectorDNSError, route: Route, _: str) -> Failure:
    proxy = _failed_proxy(error, route)
    if proxy is None:
        return Failure(f"the name {route.host} cannot be resolved", kind="not_sent")
    return Failure(f"the name of {proxy} cannot be resolved", kind="not_sent", advice=route.network_advice)


def _bad_certificate(error: aiohttp.ClientConnectorCertificateError, route: Route, _: str) -> Failure | None:
    cause = error.certificate_error
    if not isinstance(cause, ssl.CertificateError):
        return None
    peer = str(_failed_proxy(error, route) or route.host)
    reason, advice = certificate_failure(cause, peer, custom_ssl=route.custom_ssl, environ=os.environ)
    return Failure(reason, kind="not_sent", advice=advice)


def _tls_failed(error: aiohttp.ClientSSLError, route: Route, _: str) -> Failure:
    proxy = _failed_proxy(error, route)
    peer = str(proxy or route.host)
    cause: object = getattr(error, "os_error", None)
    if not isinstance(cause, ssl.SSLError):
        return Failure(f"no TLS connection to {peer}", kind="not_sent")
    reason, advice = handshake_failure(cause, peer, proxy)
    return Failure(reason, kind="not_sent", advice=advice)


def _failed_proxy(error: BaseException, route: Route) -> ProxyInUse | None:
    """Return the proxy if the connection to the proxy failed, else None."""
    if route.proxy is None or not isinstance(
        error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError
    ):
        return None
    try:
        url = URL(route.proxy.url)
        return route.proxy if (error.host, error.port) == (url.host, url.port) else None
    except ValueError:
        return None


def _unreachable(error: aiohttp.ClientConnectorError, route: Route, _: str) -> Failure:
    advice = ""
    if route.secure and isinstance(error.os_error, ConnectionResetError | ConnectionAbortedError):
        advice = "It closed the connection during the TLS handshake: does it speak https at that port? "
        advice += route.network_advice or "Check base_url, proxy and firewall."
    reason = f"{route.host} cannot be reached{route.via_proxy}: {_cause(error)}"
    return Failure(reason, kind="not_sent", advice=advice)


def _client_certificate_rejected(error: BaseException, route: Route, _: str) -> Failure | None:
    """Translate a TLS alert with which the peer requires a client certificate, or rejects the one it got.

    A peer that sends this alert has not processed the request. For other errors the function returns None.
    """
    alert = error.__cause__
    if not isinstance(alert, ssl.SSLError) or not rejects_client_certificate(alert):
        return None
    reason, advice = handshake_failure(alert, route.host, None)
    return Failure(reason, kind="not_sent", advice=advice)


def _timeout(error: BaseException, route: Route, peer: str) -> Failure:
    was_not_sent = getattr(error.__cause__, NOT_SENT, False)
    return (_NO_CONNECTION if was_not_sent else _NO_RESPONSE)(error, route, peer)


def _header_too_long(error: BaseException, route: Route, peer: str) -> Failure | None:
    """Translate aiohttp's error for a header that is too long.

    Some versions and parsers of aiohttp raise an error whose cause is `LineTooLong`. The error of other
    versions and parsers is recognized by its message. For other errors the function returns None.
    """
    is_too_long = isinstance(error.__cause__, LineTooLong) or (
        isinstance(error, aiohttp.ClientResponseError) and error.message.startswith("Got more than ")
    )
    if not is_too_long:
        return None
    reason = f"header too long: {peer} sent a line of its headers that is longer than 8,190 bytes"
    return Failure(reason, kind="connection_lost", advice=_LONG_HEADER_ADVICE)


def _disconnected(error: BaseException, route: Route, peer: str) -> Failure:
    failure = _CLOSED_EARLY(error, route, peer)
    return failure if failure.advice or route.secure else attrs.evolve(failure, advice=_TLS_ADVICE)


_LONG_HEADER_ADVICE = (
    "Responses with longer or more headers are not read. A gateway or proxy may have added them (cookies, security policies): ask the operator of the "
    "host for shorter headers."
)
_TLS_ADVICE = "If the server speaks https at that port, write base_url with https://. Otherwise check base_url, proxy and firewall."
# The first two bytes of a TLS record (an alert or a handshake), as aiohttp's message shows them.
_TLS_RECORD = ("\\x15\\x03", "\\x16\\x03")


def _invalid_http(error: aiohttp.ClientResponseError, route: Route, peer: str) -> Failure:
    if error.message.startswith("Too many headers"):
        return Failure(
            f"{peer} sent too many headers in its response",
            kind="connection_lost",
            advice=_LONG_HEADER_ADVICE,
        )
    if not route.secure and any(record in error.message for record in _TLS_RECORD):
        # A TLS server cannot read a plain http request, so it did not process the request.
        if route.proxy is not None:
            reason = f"{route.proxy} sent a response that is not HTTP: it speaks TLS at that port"
            advice = f"Write its URL in {route.proxy.setting} with https://, or {route.proxy.bypass_advice}."
            return Failure(reason, kind="not_sent", advice=advice)
        reason = f"{route.host} sent a response that is not HTTP: it speaks TLS (https) at that port"
        return Failure(reason, kind="not_sent", advice="Write base_url with https://, not http://.")
    return Failure(
        f"{peer} sent a response that is not HTTP", kind="connection_lost", advice=route.network_advice
    )


_NO_CONNECTION = _with_text("connect_timeout", "no connection to {host}{via_proxy} in time")
_NO_RESPONSE = _with_text("attempt_timeout", "no response from {peer} in time")
_CLOSED_EARLY = _with_text("connection_lost", "{peer} closed the connection without a response")
_CONNECTION_BROKEN = _with_text("connection_lost", "the connection to {peer} broke: {cause}")

# The rows are tried in this order, until the class matches and the function returns a failure. So the row of
# a class has to come before the rows of its base classes, unless the function of the base class returns None
# for other errors.
_TRANSLATIONS: tuple[tuple[type[BaseException], Translation], ...] = (
    (CancelledByOthersError, _cancelled),
    # After these errors the request was certainly not sent.
    (aiohttp.ClientHttpProxyError, _rejected_by_proxy),
    (aiohttp.ClientProxyConnectionError, _proxy_unreachable),
    (aiohttp.ClientConnectorDNSError, _unresolved_name),
    (aiohttp.ClientConnectorCertificateError, _bad_certificate),
    (aiohttp.ClientSSLError, _tls_failed),
    (aiohttp.ClientConnectorError, _unreachable),
    (aiohttp.ConnectionTimeoutError, _NO_CONNECTION),
    # After these errors the request may have been sent.
    (NoFinalResponseError, _no_final_response),
    (BaseException, _client_certificate_rejected),
    (asyncio.TimeoutError, _timeout),
    (aiohttp.ClientPayloadError, _header_too_long),
    (aiohttp.ClientPayloadError, _with_text("connection_lost", "{peer} sent an incomplete response")),
    (aiohttp.ServerDisconnectedError, _disconnected),
    (aiohttp.ClientResponseError, _header_too_long),
    (aiohttp.ClientResponseError, _invalid_http),
)


def _cause(error: BaseException) -> str:
    cause: BaseException = getattr(error, "os_error", error)
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return excerpt(redact(str(text)), 200)


def proxy_rejection(status: int, headers: Mapping[str, str], route: Route) -> Failure:
    """Return the failure of a request that did not reach the host, because a proxy rejected the request."""
    reason = f"{route.proxy or 'a proxy'} on the way to {route.host} responded with HTTP {status}"
    if route.proxy is None:
        advice = "A proxy that is not in the settings requires credentials: set proxy= to its URL with user and password."
    else:
        advice = route.proxy.advice(status, headers.get(PROXY_AUTHENTICATE, ""))
        advice = advice[0].upper() + advice[1:]
    # A retry with the same password would fail again, and may lock the account.
    return Failure(
        reason, kind="not_sent", advice=advice, is_final=400 <= status < 500 and status not in {408, 429}
    )
