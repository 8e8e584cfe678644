"""What aiohttp raises, translated into what it means for us; and its tracebacks, without the secrets in their frames."""

from __future__ import annotations

import asyncio
import os
import ssl
import traceback
from collections.abc import Mapping

import aiohttp
import attrs
from aiohttp.http_exceptions import LineTooLong
from aiohttp.payload import Payload
from yarl import URL

from imgwire_async import userland
from imgwire_async.protocol.intermediaries import ProxyInUse
from imgwire_async.protocol.request import NoAnswerError
from imgwire_async.redaction import excerpt, redact
from imgwire_async.retry import Failure, Fate
from imgwire_async.transport.proxies import PROXY_AUTHENTICATE, add_credentials
from imgwire_async.transport.tls_errors import certificate_failure, handshake_failure, refuses_own_certificate


class DroppedError(aiohttp.ClientError):
    """A connection broke. Wraps the two errors upon which aiohttp would send the request again without telling, and those of a
    connection that never came so far.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class CancelledByOthersError(aiohttp.ClientError):
    """Other code cancelled a task of aiohttp, perhaps with all tasks of the loop, and not the call that waited for it."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


_UNSENT = "imgwire_unsent"


class RequestBody(Payload):
    """The body of a request; `request` is that one, for as long as it is under route."""

    request: aiohttp.ClientRequest | None = None


async def no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    if request.proxy_headers and not request.is_ssl():
        # aiohttp sends these with CONNECT only. A request that the proxy forwards itself has to carry them, each time.
        add_credentials(request.headers, request.proxy_headers)
    if isinstance(request.body, RequestBody):
        request.body.request = request
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise DroppedError(sent=was_sent(request)) from error
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
        if was_sent(request):
            raise
        raise DroppedError(sent=False) from error  # a proxy answered CONNECT with something else
    except asyncio.CancelledError as error:
        sent = was_sent(request)
        if not userland.is_being_cancelled():
            raise CancelledByOthersError(sent=sent) from error
        # The clock of the attempt may be what cancels. Its TimeoutError will come from this, and does not know where it was.
        if not sent:
            setattr(error, _UNSENT, True)
        raise


def was_sent(request: aiohttp.ClientRequest) -> bool:
    """Return whether the request's head was handed to its connection."""
    return getattr(request, "response", request) is not None  # made when the request is sent


def hush(error: BaseException) -> None:
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
                except RuntimeError:  # it runs, or waits for something, so it is no one's past
                    pass


# What a request can raise. ValueError and TypeError are not among them: those would be bugs of ours and shall be seen.
FOREIGN = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


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

    def place(self, *, unsent: bool) -> str:
        """Return who was spoken to when something went wrong: where a proxy is in use, perhaps only that."""
        if self.proxy is None:
            return self.host
        return f"{self.proxy} on the way to {self.host}" if unsent else f"{self.host} or {self.proxy}"


def no_answer(error: BaseException, route: Route) -> NoAnswerError:
    """What a foreign error means for us. Its text is never passed on whole: it may quote a signed URL."""
    if isinstance(error, NoAnswerError):  # told already
        return error
    unsent = False
    if isinstance(error, DroppedError) and error.__cause__ is not None:
        unsent, error = not error.sent, error.__cause__
    failure = (
        _no_connection(error, route)
        or _refused_certificate(error, route)
        or _meaning(error, route, unsent=unsent)
    )
    if unsent and failure.fate == "lost":  # a proxy broke off before the request could go through it
        failure = attrs.evolve(failure, fate="unsent")
    return NoAnswerError(failure)


def _no_connection(error: BaseException, route: Route) -> Failure | None:
    """Return why there is no connection, None for what went wrong on one, or in waiting for it."""
    host, proxy = route.host, route.proxy
    at_proxy = proxy is not None and _is_about(error, proxy)
    place = str(proxy) if at_proxy else host
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return proxy_refusal(error.status, error.headers or {}, route)
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        reason = f"{proxy or 'the proxy'} to {host} cannot be reached: {_cause(error.os_error)}"
        return Failure(reason, fate="unsent", advice=route.network_advice)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        reason = (
            f"the name of {proxy} cannot be resolved" if at_proxy else f"the name {host} cannot be resolved"
        )
        return Failure(reason, fate="unsent", advice=route.network_advice if at_proxy else "")
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        refused = error.certificate_error
        if isinstance(refused, ssl.CertificateError):
            told = certificate_failure(refused, place, own_trust=route.own_trust, environ=os.environ)
            return Failure(told[0], fate="unsent", advice=told[1])
    if isinstance(error, aiohttp.ClientSSLError):
        broken: object = getattr(error, "os_error", None)
        if isinstance(broken, ssl.SSLError):
            told = handshake_failure(broken, place, proxy if at_proxy else None)
            return Failure(told[0], fate="unsent", advice=told[1])
        return Failure(f"no TLS connection to {place}", fate="unsent")
    if isinstance(error, aiohttp.ClientConnectorError):
        return _unreachable(error, route)
    return None


def _refused_certificate(error: BaseException, route: Route) -> Failure | None:
    """The other side's word, on a connection, that the client's certificate is missing or refused: it looked at nothing that was sent."""
    alert = error.__cause__
    if not isinstance(alert, ssl.SSLError) or not refuses_own_certificate(alert):
        return None
    told = handshake_failure(alert, route.host, None)
    return Failure(told[0], fate="unsent", advice=told[1])


def _is_about(error: BaseException, proxy: ProxyInUse) -> bool:
    """Return whether a connector's error speaks of the proxy, and not of the host behind it."""
    if not isinstance(error, aiohttp.ClientConnectorError | aiohttp.ClientConnectorCertificateError):
        return False
    try:
        url = URL(proxy.url)
        return (error.host, error.port) == (url.host, url.port)
    except ValueError:
        return False


def _unreachable(error: aiohttp.ClientConnectorError, route: Route) -> Failure:
    advice = ""
    if route.secure and isinstance(error.os_error, ConnectionResetError | ConnectionAbortedError):
        advice = "It hung up while TLS began: does it speak https at that port? "
        advice += route.network_advice or "Check base_url, proxy and firewall."
    through = "" if route.proxy is None else f" through {route.proxy}"
    return Failure(
        f"{route.host} cannot be reached{through}: {_cause(error.os_error)}", fate="unsent", advice=advice
    )


def _meaning(error: BaseException, route: Route, *, unsent: bool) -> Failure:
    if isinstance(error, CancelledByOthersError):
        fate: Fate = "lost" if error.sent else "unsent"
        return Failure(f"other code cancelled the work on the request to {route.host}", fate=fate)
    advice = route.network_advice
    if isinstance(error, aiohttp.ConnectionTimeoutError) or (
        isinstance(error, asyncio.TimeoutError) and getattr(error.__cause__, _UNSENT, False)
    ):
        through = "" if route.proxy is None else f" through {route.proxy}"
        return Failure(f"no connection to {route.host}{through} in time", fate="connect", advice=advice)
    place = route.place(unsent=unsent)
    if isinstance(error, asyncio.TimeoutError):
        return Failure(f"no answer from {place} in time", fate="attempt", advice=advice)
    if _is_too_long(error):
        return Failure(f"header too long: {_LONG.format(host=place)}", fate="lost", advice=_LONG_ADVICE)
    if isinstance(error, aiohttp.ClientPayloadError):
        return Failure(f"{place} cut its answer short", fate="lost", advice=advice)
    if isinstance(error, aiohttp.ServerDisconnectedError):
        reason = f"{place} closed the connection without an answer"
        return Failure(reason, fate="lost", advice=advice or ("" if route.secure else _MAYBE_TLS))
    if isinstance(error, aiohttp.ClientResponseError):
        return _no_http(error, route, place)
    return Failure(f"the connection to {place} broke: {_cause(error)}", fate="lost", advice=advice)


_LONG = "{host} sent a line of its headers that is longer than 8,190 bytes"
_LONG_ADVICE = "More is not read. A gateway or proxy may have added it (cookies, security policies): ask whoever runs the host for shorter headers."
_MAYBE_TLS = "If it speaks https at that port, begin base_url with https://. Otherwise check base_url, proxy and firewall."
# A TLS record: an alert, or a part of a handshake, as it stands in aiohttp's message.
_TLS_RECORD = ("\\x15\\x03", "\\x16\\x03")


def _is_too_long(error: BaseException) -> bool:
    """Return whether aiohttp refused a line for its length. It has a class for that, which not every version and parser lets through."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return isinstance(error.__cause__, LineTooLong)
    if not isinstance(error, aiohttp.ClientResponseError):
        return False
    return isinstance(error.__cause__, LineTooLong) or error.message.startswith("Got more than ")


def _no_http(error: aiohttp.ClientResponseError, route: Route, place: str) -> Failure:
    if error.message.startswith("Too many headers"):
        return Failure(f"{place} sent too many headers in its answer", fate="lost", advice=_LONG_ADVICE)
    if not route.secure and any(record in error.message for record in _TLS_RECORD):
        # It did not understand a word, so nothing was done.
        if route.proxy is not None:
            reason = f"{route.proxy} answered something that is no HTTP: it speaks TLS at that port"
            advice = (
                f"Begin its address in {route.proxy.setting} with https://, or {route.proxy.bypass_advice}."
            )
            return Failure(reason, fate="unsent", advice=advice)
        reason = f"{route.host} answered something that is no HTTP: it speaks TLS (https) at that port"
        return Failure(reason, fate="unsent", advice="Begin base_url with https://, not http://.")
    return Failure(f"{place} answered something that is no HTTP", fate="lost", advice=route.network_advice)


def _cause(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
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
        reason, fate="unsent", advice=advice, is_final=400 <= status < 500 and status not in {408, 429}
    )


def is_answer(status: int) -> bool:
    """Return whether a status can be the host's answer. Below 200 it ends no request and proves nothing; 407 comes from proxies alone."""
    return status >= 200 and status != 407


def not_an_answer(response: aiohttp.ClientResponse, route: Route) -> NoAnswerError:
    """Return the error for a response whose status `is_answer` refuses."""
    if response.status == 407:
        return NoAnswerError(proxy_refusal(407, response.headers, route))
    reason = f"{route.place(unsent=False)} answered HTTP {response.status}, which is no final response"
    return NoAnswerError(Failure(reason, fate="lost", advice=route.network_advice))
