"""What surrounds each request inside aiohttp: nothing is sent again behind our back, and whether it was sent is not forgotten."""

from __future__ import annotations

import asyncio

import aiohttp
from aiohttp.payload import Payload

from imgwire_async import userland
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


UNSENT = "imgwire_unsent"  # an attribute of a cancellation that came before the request was sent


class RequestBody(Payload):
    """The body of a request; `request` is that one, for as long as it is under route."""

    request: aiohttp.ClientRequest | None = None


async def no_hidden_resend(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once. Errors upon which aiohttp would send it again, or which do not tell how far it got, become others."""
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
            setattr(error, UNSENT, True)
        raise


def was_sent(request: aiohttp.ClientRequest) -> bool:
    """Return whether the request's head was handed to its connection."""
    return getattr(request, "response", request) is not None  # made when the request is sent
