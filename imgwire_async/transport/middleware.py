"""What surrounds each request inside aiohttp: it is sent once, and how far it got is known."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp.payload import Payload

from imgwire_async import cancellation
from imgwire_async.retry import FailureKind
from imgwire_async.transport.connection import Unread
from imgwire_async.transport.proxies import add_credentials


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


class NoFinalResponseError(aiohttp.ClientError):
    """What came is not the host's response. Below 200 it ends no request and proves nothing; 407 comes from proxies alone."""

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.status = status
        self.headers = headers

    @property
    def failure_kind(self) -> FailureKind:
        """Return whether the request may have reached its host; a tracer asks for this by name."""
        return "not_sent" if self.status == 407 else "connection_lost"


UNSENT = "imgwire_unsent"  # an attribute of a cancellation that came before the request was sent


class RequestBody(Payload):
    """The body of a request; `request` is that one, for as long as it is under route."""

    request: aiohttp.ClientRequest | None = None


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once, and return a response that its host gave.

    Errors upon which aiohttp would send it again, or which do not tell how far it got, become others.
    """
    if request.proxy_headers and not request.is_ssl():
        # aiohttp sends these with CONNECT only. A request that the proxy forwards itself has to carry them, each time.
        add_credentials(request.headers, request.proxy_headers)
    if isinstance(request.body, RequestBody):
        request.body.request = request
    try:
        response = await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise DroppedError(sent=was_sent(request)) from error
    except (aiohttp.ClientResponseError, aiohttp.ClientPayloadError) as error:
        if was_sent(request):
            raise
        raise DroppedError(sent=False) from error  # a proxy answered CONNECT with something else
    except asyncio.CancelledError as error:
        sent = was_sent(request)
        if not cancellation.is_being_cancelled():
            raise CancelledByOthersError(sent=sent) from error
        # The clock of the attempt may be what cancels. Its TimeoutError will come from this, and does not know where it was.
        if not sent:
            setattr(error, UNSENT, True)
        raise
    if response.status >= 200 and response.status != 407:
        return response
    refused = NoFinalResponseError(response.status, response.headers)
    unread = Unread(response)
    response.close()
    del response  # its repr holds the URL: keep it out of tracebacks
    unread.drop()
    raise refused


def was_sent(request: aiohttp.ClientRequest) -> bool:
    """Return whether the request's head was handed to its connection."""
    return getattr(request, "response", request) is not None  # made when the request is sent
