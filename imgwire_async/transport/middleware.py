"""The aiohttp middleware of each request: aiohttp sends it only once, and errors say whether it was sent."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import aiohttp
from aiohttp.payload import Payload

from imgwire_async import cancellation
from imgwire_async.retry import FailureKind
from imgwire_async.transport.connection import UnreadResponse
from imgwire_async.transport.proxies import add_credentials


class DroppedError(aiohttp.ClientError):
    """A connection broke, or was never established.

    It wraps the error of aiohttp. For two of these errors, aiohttp itself would silently send the request
    again.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class CancelledByOthersError(aiohttp.ClientError):
    """Other code cancelled a task of aiohttp, but not the call that waits for this task.

    For example, the other code cancelled all tasks of the loop.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class NoFinalResponseError(aiohttp.ClientError):
    """The response is not the final response of the host.

    A status below 200 does not end a request, and does not show whether it was processed. Only proxies send
    status 407.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.status = status
        self.headers = headers

    @property
    def failure_kind(self) -> FailureKind:
        """The failure kind: "not_sent" if the request did not reach the host.

        Tracers read this property by its name.
        """
        return "not_sent" if self.status == 407 else "connection_lost"


# The attribute of a `CancelledError` that was raised before the request was sent.
NOT_SENT = "imgwire_not_sent"


class RequestBody(Payload):
    """The body of a request. `request` is set while the request is being sent."""

    request: aiohttp.ClientRequest | None = None


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once, and return the final response of its host.

    Errors that would make aiohttp send the request again are converted. So are errors that do not say whether
    it was sent.
    """
    if request.proxy_headers and not request.is_ssl():
        # aiohttp sends these headers with CONNECT only. A request that the proxy itself forwards needs them,
        # too.
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
        # The proxy's response to CONNECT is not valid.
        raise DroppedError(sent=False) from error
    except asyncio.CancelledError as error:
        sent = was_sent(request)
        if not cancellation.is_being_cancelled():
            raise CancelledByOthersError(sent=sent) from error
        # The attempt timeout may cancel the request. Its TimeoutError does not say whether the request was
        # sent, but has this CancelledError as its cause.
        if not sent:
            setattr(error, NOT_SENT, True)
        raise
    if response.status >= 200 and response.status != 407:
        return response
    not_final = NoFinalResponseError(response.status, response.headers)
    unread = UnreadResponse(response)
    response.close()
    # The repr of the response shows its URL: keep it out of tracebacks.
    del response
    unread.abort()
    raise not_final


def was_sent(request: aiohttp.ClientRequest) -> bool:
    """Return whether the headers of the request were written to its connection."""
    # aiohttp sets the attribute when it sends the request.
    return getattr(request, "response", request) is not None
