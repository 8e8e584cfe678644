"""The aiohttp middleware that sends every request of this package.

The middleware keeps aiohttp from sending a request a second time. Its errors say whether the request was
sent.
"""

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
    """A connection broke or could not be opened. The cause (`__cause__`) is aiohttp's error.

    `send_once` raises this error in place of aiohttp's, because aiohttp would silently send the request again
    after `ClientOSError` and `ServerDisconnectedError`. It also replaces the error of a proxy's response to
    CONNECT, after which the request was not sent. `sent` says whether the request was sent.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class CancelledByOthersError(aiohttp.ClientError):
    """A task of aiohttp was cancelled, although the call that waits for this task was not.

    Code that cancels tasks of other libraries may cause this. `sent` says whether the request was sent.
    """

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


class NoFinalResponseError(aiohttp.ClientError):
    """A response came that is not the final response of the host.

    There are two cases. A status below 200 is an interim response, which does not say whether the host
    processed the request. A status 407 comes from a proxy, so the request did not reach the host.
    """

    def __init__(self, status: int, headers: Mapping[str, str]) -> None:
        super().__init__()
        self.status = status
        self.headers = headers

    @property
    def failure_kind(self) -> FailureKind:
        """The kind of the failure: "not_sent" for a 407, else "connection_lost".

        `imgwire_async.otel` reads this property with `getattr`, because it must not import this module.
        """
        return "not_sent" if self.status == 407 else "connection_lost"


# The name of an attribute that `send_once` sets on a `CancelledError` if the request was not sent.
NOT_SENT = "imgwire_not_sent"


class RequestBody(Payload):
    """A request body with a reference to its request, which `send_once` sets."""

    request: aiohttp.ClientRequest | None = None


async def send_once(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once, and return the final response of its host.

    This function replaces errors of aiohttp after which aiohttp would send the request again. It also
    replaces errors that do not say whether the request was sent.
    """
    if request.proxy_headers and not request.is_ssl():
        # aiohttp sends these headers only with CONNECT, which https requests use. A plain http request needs
        # them, too.
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
        # The request was not sent, so the proxy's response to CONNECT is the cause of the error.
        raise DroppedError(sent=False) from error
    except asyncio.CancelledError as error:
        sent = was_sent(request)
        if not cancellation.is_being_cancelled():
            raise CancelledByOthersError(sent=sent) from error
        # If the attempt timeout cancels the request, aiohttp raises a TimeoutError with this CancelledError
        # as its cause. `errors.translate` reads the attribute `NOT_SENT` of that cause.
        if not sent:
            setattr(error, NOT_SENT, True)
        raise
    if response.status >= 200 and response.status != 407:
        return response
    not_final = NoFinalResponseError(response.status, response.headers)
    unread = UnreadResponse(response)
    response.close()
    # Error trackers store local variables, and the repr of the response shows its URL.
    del response
    unread.abort()
    raise not_final


def was_sent(request: aiohttp.ClientRequest) -> bool:
    """Return whether the headers of the request were written to its connection."""
    # aiohttp sets `response` when it sends the request. In a version without this attribute, every request
    # counts as sent, so that no request is repeated by mistake.
    return getattr(request, "response", request) is not None
