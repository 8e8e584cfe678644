"""The state of one API call, and the response to one attempt of this call."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Any

import attrs

from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.request import Request
from imgwire_async.retry import Failure, RetryBudget

if TYPE_CHECKING:
    from imgwire_async.policies import RetryPolicy
    from imgwire_async.transport.instrumentation import CallEvents
    from imgwire_async.transport.loop_sessions import LoopSessions
    from imgwire_async.transport.request_url import RequestURL


# Without `__slots__`, objects of these classes are created twice as fast, and every call creates one of each.
@attrs.frozen(slots=False)
class RawResponse:
    """The response to one attempt. It may report an error, and its body may be cut at the size limit."""

    status: int
    headers: Headers
    # Not in the repr, because the body may contain the API key or a presigned URL.
    body: bytes = attrs.field(repr=False)
    is_complete: bool = True


@attrs.define(slots=False, eq=False)
class CallState:
    """The state of one API call: its request, and its attempts and waits so far.

    Each `AiohttpTransport.send` creates one of these objects.
    """

    request: Request[Any]
    url: RequestURL
    body: bytes | None = attrs.field(repr=False)
    key: str = attrs.field(repr=False)
    policy: RetryPolicy
    sessions: LoopSessions = attrs.field(repr=False)
    events: CallEvents | None = attrs.field(repr=False)
    started_at: float = attrs.field(factory=time.monotonic)
    attempts: int = 1
    # The `time.monotonic()` when the last attempt was sent, or 0 while it waits for a slot or the rate limit.
    sent_at: float = 0.0
    # The generation of the rate gate when the last attempt was sent. Each 429 that closes the gate starts a
    # new generation.
    gate_generation: int = 0
    # The number of responses with status 429.
    rate_limit_count: int = 0
    # How many seconds the call has waited for the rate limit in total.
    rate_limit_wait: float = 0.0
    # Whether an earlier attempt, whose response was lost, may have succeeded.
    may_have_succeeded: bool = False
    key_renewed: bool = False

    @functools.cached_property
    def budget(self) -> RetryBudget:
        """The counter of retries. It is created on first use, because most calls need no retry."""
        return RetryBudget(self.policy)

    def exchange(self, result: RawResponse | Failure) -> Exchange:
        """Return the exchange that describes the call after an attempt with this result."""
        elapsed = time.monotonic() - self.started_at
        method, path = self.request.method, self.request.path
        if isinstance(result, Failure):
            return Exchange("api", method, path, attempts=self.attempts, elapsed=elapsed)
        return Exchange("api", method, path, result.status, result.headers, self.attempts, elapsed)

    def interrupted_exchange(self) -> Exchange:
        """Return the exchange of an interrupted call. An attempt that was not sent yet does not count."""
        attempts = self.attempts if self.sent_at else self.attempts - 1
        elapsed = time.monotonic() - self.started_at
        return Exchange("api", self.request.method, self.request.path, attempts=attempts, elapsed=elapsed)

    def has_succeeded(self, response: RawResponse) -> bool:
        """Return whether the call succeeded.

        A 404 for a DELETE counts as success if an earlier attempt may have deleted the object.
        """
        if 200 <= response.status < 300:
            return True
        return response.status == 404 and self.request.method == "DELETE" and self.may_have_succeeded


def has_secret(request: Request[Any]) -> bool:
    """Return whether the query of the request contains an upload token.

    A request with a token is sent through a session that other libraries cannot trace, because they would
    record its URL.
    """
    return request.params is not None and any("token" in name.lower() for name in request.params)


def without_token(body: bytes, request: Request[Any]) -> bytes:
    """Return the body of a response without the upload token of the request.

    If the query has an upload token, all longer texts of the query are replaced by `***`. The service may
    quote the token in an error message.
    """
    if not has_secret(request):
        return body
    for token in (request.params or {}).values():
        if isinstance(token, str) and len(token) > 4:
            body = body.replace(token.encode(), b"***")
    return body
