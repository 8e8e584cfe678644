"""What aiohttp raises, translated into what it means for us; and its tracebacks, without the secrets in their frames."""

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
    UNSENT,
    CancelledByOthersError,
    DroppedError,
    NoFinalResponseError,
)
from imgwire_async.transport.proxies import PROXY_AUTHENTICATE
from imgwire_async.transport.tls_errors import certificate_failure, handshake_failure, refuses_own_certificate

# What a request can raise. ValueError and TypeError are not among them: those would be bugs of ours and shall be seen.
AIOHTTP_ERRORS = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


def scrub_traceback(error: BaseException) -> None:
    """Let the frames of aiohttp in a traceback forget their variables: signed URLs and requests stand in them.

    Error trackers store what they find in frames. Those of the caller, and lines and names of all, stay.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        waiting += (each.__cause__, each.__context__)
        for frame, _ in traceback.walk_tb(each.__traceback__):
            if frame.f_globals.get("__name__", "").startswith("aiohttp."):
                try:
                    frame.clear()
                except RuntimeError:  # it still runs, or waits for something
                    pass


@attrs.frozen
class Route:
    """The route to a host, as messages name it: made after a failure only."""

    host: str  # with the port, if it has one
    secure: bool  # https
    proxy: ProxyInUse | None = None
    own_trust: bool = False  # `ssl=` was given

    @property
    def network_advice(self) -> str:
        """Return what to look at when nobody was reached."""
        if self.proxy is None:
            return ""
        return f"Check that proxy, or {self.proxy.bypass_advice}."

    @property
    def through(self) -> str:
        """Return the proxy on the way, for the end of a sentence; nothing where there is none."""
        return "" if self.proxy is None else f" through {self.proxy}"

    def place(self, *, unsent: bool) -> str:
        """Return who was spoken to when something went wrong: where a proxy is in use, perhaps only that."""
        if self.proxy is None:
            return self.host
        return f"{self.proxy} on the way to {self.host}" if unsent else f"{self.host} or {self.proxy}"


def translate(error: BaseException, route: Route) -> NoResponseError:
    """Return what an error of aiohttp means for us. Its text is never passed on whole: it may quote a signed URL."""
    if isinstance(error, NoResponseError):  # translated already
        return error
    unsent = False
    if isinstance(error, DroppedError) and error.__cause__ is not None:
        unsent, error = not error.sent, error.__cause__
    place = route.place(unsent=unsent)
    for kind, meaning in _MEANINGS:
        failure = meaning(error, route, place) if isinstance(error, kind) else None
        if failure is not None:
            break
    else:
        failure = _BROKEN(error, route, place)
    if unsent and failure.kind == "connection_lost":
        # A proxy closed the connection before the request could pass through it.
        failure = attrs.evolve(failure, kind="not_sent")
    return NoResponseError(failure)


# The last argument is who was spoken to. None: the error is of another kind, and a later row knows it.
Meaning: TypeAlias = Callable[[Any, Route, str], Failure | None]


def _text(kind: FailureKind, text: str) -> Callable[[BaseException, Route, str], Failure]:
    """Return a meaning that is the same for all errors of a class. In `text` {place} is who was spoken to, {cause} the system's word."""

    def meaning(error: BaseException, route: Route, place: str) -> Failure:
        reason = text.format(host=route.host, through=route.through, place=place, cause=_cause(error))
        return Failure(reason, kind=kind, advice=route.network_advice)

    return meaning


def _cancelled(error: CancelledByOthersError, route: Route, _: str) -> Failure:
    kind: FailureKind = "connection_lost" if error.sent else "not_sent"
    return Failure(f"other code cancelled the work on the request to {route.host}", kind=kind)


def _no_final_response(error: NoFinalResponseError, route: Route, place: str) -> Failure:
    if error.status == 407:
        return proxy_refusal(407, error.headers, route)
    reason = f"{place} answered HTTP {error.status}, which is no final response"
    return Failure(reason, kind=error.failure_kind, advice=route.network_advice)


def _refused_by_proxy(error: aiohttp.ClientHttpProxyError, route: Route, _: str) -> Failure:
    return proxy_refusal(error.status, error.headers or {}, route)


def _no_proxy(error: aiohttp.ClientProxyConnectionError, route: Route, _: str) -> Failure:
    reason = f"{route.proxy or 'the proxy'} to {route.host} cannot be reached: {_cause(error)}"
    return Failure(reason, kind="not_sent", advice=route.network_advice)


def _unknown_name(error: aiohttp.ClientConnectorDNSError, route: Route, _: str) -> Failure:
    proxy = _proxy_spoken_to(error, route)
    if proxy is None:
        return Failure(f"the name {route.host} cannot be resolved", kind="not_sent")
    return Failure(f"the name of {proxy} cannot be resolved", kind="not_sent", advice=route.network_advice)


def _bad_certificate(error: aiohttp.ClientConnectorCertificateError, route: Route, _: str) -> Failure | None:
    refused = error.certificate_error
    if not isinstance(refused, ssl.CertificateError):
        return None
    shown_by = str(_proxy_spoken_to(error, route) or route.host)
    reason, advice = certificate_failure(refused, shown_by, own_trust=route.own_trust, environ=os.environ)
    return Failure(reason, kind="not_sent", advice=advice)


def _no_tls(error: aiohttp.ClientSSLError, route: Route, _: str) -> Failure:
    proxy = _proxy_spoken_to(error, route)
    place = str(proxy or route.host)
    broken: object = getattr(error, "os_error", None)
    if not isinstance(broken, ssl.SSLError):
        return Failure(f"no TLS connection to {place}", kind="not_sent")
    reason, advice = handshake_failure(broken, place, proxy)
    return Failure(reason, kind="not_sent", advice=advice)


def _proxy_spoken_to(error: BaseException, route: Route) -> ProxyInUse | None:
    """Return the proxy of which a connector's error speaks, None when it speaks of the host behind it."""
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
        advice = "It hung up while TLS began: does it speak https at that port? "
        advice += route.network_advice or "Check base_url, proxy and firewall."
    reason = f"{route.host} cannot be reached{route.through}: {_cause(error)}"
    return Failure(reason, kind="not_sent", advice=advice)


def _refused_own_certificate(error: BaseException, route: Route, _: str) -> Failure | None:
    """The other side's word, on a connection, that the client's certificate is missing or refused: it looked at nothing that was sent."""
    alert = error.__cause__
    if not isinstance(alert, ssl.SSLError) or not refuses_own_certificate(alert):
        return None
    reason, advice = handshake_failure(alert, route.host, None)
    return Failure(reason, kind="not_sent", advice=advice)


def _timeout(error: BaseException, route: Route, place: str) -> Failure:
    was_unsent = getattr(error.__cause__, UNSENT, False)
    return (_NO_CONNECTION if was_unsent else _NO_ANSWER)(error, route, place)


def _too_long(error: BaseException, route: Route, place: str) -> Failure | None:
    """A line that aiohttp refused for its length. It has a class for that, which not every version and parser lets through."""
    is_so = isinstance(error.__cause__, LineTooLong) or (
        isinstance(error, aiohttp.ClientResponseError) and error.message.startswith("Got more than ")
    )
    if not is_so:
        return None
    reason = f"header too long: {place} sent a line of its headers that is longer than 8,190 bytes"
    return Failure(reason, kind="connection_lost", advice=_LONG_ADVICE)


def _disconnected(error: BaseException, route: Route, place: str) -> Failure:
    failure = _HUNG_UP(error, route, place)
    return failure if failure.advice or route.secure else attrs.evolve(failure, advice=_MAYBE_TLS)


_LONG_ADVICE = "More is not read. A gateway or proxy may have added it (cookies, security policies): ask whoever runs the host for shorter headers."
_MAYBE_TLS = "If it speaks https at that port, begin base_url with https://. Otherwise check base_url, proxy and firewall."
# A TLS record: an alert, or a part of a handshake, as it stands in aiohttp's message.
_TLS_RECORD = ("\\x15\\x03", "\\x16\\x03")


def _no_http(error: aiohttp.ClientResponseError, route: Route, place: str) -> Failure:
    if error.message.startswith("Too many headers"):
        return Failure(
            f"{place} sent too many headers in its answer", kind="connection_lost", advice=_LONG_ADVICE
        )
    if not route.secure and any(record in error.message for record in _TLS_RECORD):
        # It did not understand a word, so nothing was done.
        if route.proxy is not None:
            reason = f"{route.proxy} answered something that is no HTTP: it speaks TLS at that port"
            advice = (
                f"Begin its address in {route.proxy.setting} with https://, or {route.proxy.bypass_advice}."
            )
            return Failure(reason, kind="not_sent", advice=advice)
        reason = f"{route.host} answered something that is no HTTP: it speaks TLS (https) at that port"
        return Failure(reason, kind="not_sent", advice="Begin base_url with https://, not http://.")
    return Failure(
        f"{place} answered something that is no HTTP", kind="connection_lost", advice=route.network_advice
    )


_NO_CONNECTION = _text("connect_timeout", "no connection to {host}{through} in time")
_NO_ANSWER = _text("attempt_timeout", "no answer from {place} in time")
_HUNG_UP = _text("connection_lost", "{place} closed the connection without an answer")
_BROKEN = _text("connection_lost", "the connection to {place} broke: {cause}")

# What errors mean: the first row counts that has an error's class and knows it, so a class stands before its bases.
_MEANINGS: tuple[tuple[type[BaseException], Meaning], ...] = (
    # It was not sent.
    (CancelledByOthersError, _cancelled),
    (aiohttp.ClientHttpProxyError, _refused_by_proxy),
    (aiohttp.ClientProxyConnectionError, _no_proxy),
    (aiohttp.ClientConnectorDNSError, _unknown_name),
    (aiohttp.ClientConnectorCertificateError, _bad_certificate),
    (aiohttp.ClientSSLError, _no_tls),
    (aiohttp.ClientConnectorError, _unreachable),
    (aiohttp.ConnectionTimeoutError, _NO_CONNECTION),
    # It may have been sent.
    (NoFinalResponseError, _no_final_response),
    (BaseException, _refused_own_certificate),
    (asyncio.TimeoutError, _timeout),
    (aiohttp.ClientPayloadError, _too_long),
    (aiohttp.ClientPayloadError, _text("connection_lost", "{place} cut its answer short")),
    (aiohttp.ServerDisconnectedError, _disconnected),
    (aiohttp.ClientResponseError, _too_long),
    (aiohttp.ClientResponseError, _no_http),
)


def _cause(error: BaseException) -> str:
    cause: BaseException = getattr(error, "os_error", error)
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return excerpt(redact(str(text)), 200)


def proxy_refusal(status: int, headers: Mapping[str, str], route: Route) -> Failure:
    """Return the failure of a request that a proxy will not let through: nothing has reached the host."""
    reason = f"{route.proxy or 'a proxy'} on the way to {route.host} answered HTTP {status}"
    if route.proxy is None:
        advice = "A proxy that no setting here names wants credentials: name it with proxy=, user and password included."
    else:
        advice = route.proxy.advice(status, headers.get(PROXY_AUTHENTICATE, ""))
        advice = advice[0].upper() + advice[1:]
    # The same password once more would be refused once more, and may lock an account.
    return Failure(
        reason, kind="not_sent", advice=advice, is_final=400 <= status < 500 and status not in {408, 429}
    )
