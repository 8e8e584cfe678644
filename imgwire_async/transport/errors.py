"""What aiohttp raises, translated into what it means for us; and its tracebacks, without the secrets in their frames."""

from __future__ import annotations

import asyncio
import traceback

import aiohttp
from aiohttp.payload import Payload

from imgwire_async import userland
from imgwire_async.exchange import excerpt, redact
from imgwire_async.protocol.request import NoAnswerError
from imgwire_async.retry import Failure, Fate
from imgwire_async.transport.proxies import add_credentials


class DroppedError(aiohttp.ClientError):
    """A connection broke. Wraps the two errors upon which aiohttp would send the request again without telling."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class CancelledByOthersError(aiohttp.ClientError):
    """Other code cancelled a task of aiohttp, perhaps with all tasks of the loop, and not the call that waited for it."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


_UNSENT = "imgwire_unsent"


class Watched(Payload):
    """A request's body that wants to know its request, for as long as that is under way."""

    request: aiohttp.ClientRequest | None = None


async def no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    if request.proxy_headers and not request.is_ssl():
        # aiohttp sends these with CONNECT only. A request that the proxy forwards itself has to carry them, each time.
        add_credentials(request.headers, request.proxy_headers)
    if isinstance(request.body, Watched):
        request.body.request = request
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise DroppedError(sent=was_sent(request)) from error
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


def no_answer(error: BaseException, host: str) -> NoAnswerError:
    """What a foreign error means for us. Its text is never passed on whole: it may quote a signed URL."""
    unsent = False
    if isinstance(error, DroppedError) and error.__cause__ is not None:
        unsent, error = not error.sent, error.__cause__
    fate, reason = _meaning(error, host)
    if unsent and fate == "lost":  # a proxy broke off before the request could go through it
        fate = "unsent"
    return NoAnswerError(Failure(reason, fate=fate))


def _meaning(error: BaseException, host: str) -> tuple[Fate, str]:
    if isinstance(error, CancelledByOthersError):
        return "lost" if error.sent else "unsent", f"other code cancelled the work on the request to {host}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "connect", f"no connection to {host} in time"
    if isinstance(error, asyncio.TimeoutError) and getattr(error.__cause__, _UNSENT, False):
        return "connect", f"no connection to {host} in time"
    if isinstance(error, asyncio.TimeoutError):
        return "attempt", f"no answer from {host} in time"
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return "unsent", f"the proxy to {host} answered HTTP {error.status}"
    if isinstance(error, aiohttp.ClientProxyConnectionError):
        return "unsent", f"the proxy to {host} cannot be reached: {_cause(error.os_error)}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "unsent", f"the name {host} cannot be resolved"
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        return "unsent", f"no trusted TLS connection to {host}: {_cause(error)}"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "unsent", f"{host} cannot be reached: {_cause(error.os_error)}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "lost", f"{host} cut its answer short"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "lost", f"{host} closed the connection without an answer"
    if isinstance(error, aiohttp.ClientResponseError):
        return "lost", f"{host} answered something that is no HTTP"
    return "lost", f"the connection to {host} broke: {_cause(error)}"


def _cause(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return excerpt(redact(str(text)), 200)


def require_final(response: aiohttp.ClientResponse) -> None:
    """Raise `NoAnswerError` for a status below 200: an interim response ends no request, and proves nothing."""
    if response.status < 200:
        reason = f"{response.url.raw_authority} answered HTTP {response.status}, which is no final response"
        raise NoAnswerError(Failure(reason, fate="lost"))
