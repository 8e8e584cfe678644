"""One API call under way, and what one attempt of it brought back."""

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
    from imgwire_async.transport.request_url import Address


@attrs.frozen(slots=False)  # made for each call, and twice as fast without slots
class RawResponse:
    """What came back on one attempt, whatever its status."""

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)  # may quote a key, or hold a signed URL
    whole: bool = True


@attrs.define(slots=False, eq=False)  # as above
class CallState:
    """What a call sends, and what was tried and waited so far. Lives in one `send`."""

    request: Request[Any]
    address: Address
    body: bytes | None = attrs.field(repr=False)
    key: str = attrs.field(repr=False)
    policy: RetryPolicy
    sessions: LoopSessions = attrs.field(repr=False)
    events: CallEvents | None = attrs.field(repr=False)
    started_at: float = attrs.field(factory=time.monotonic)
    attempts: int = 1
    sent_at: float = 0.0  # when the last attempt went out; 0 while it waits for that
    gate_generation: int = 0  # of the rate gate, in which the last attempt went out
    rate_limited: int = 0  # responses with status 429
    rate_waited: float = 0.0  # seconds
    may_have_succeeded: bool = False  # an earlier attempt, whose response was lost
    key_renewed: bool = False

    @functools.cached_property
    def budget(self) -> RetryBudget:
        """The retries of this call: needed after a failure only."""
        return RetryBudget(self.policy)

    def exchange(self, result: RawResponse | Failure) -> Exchange:
        """Return the record of the call, which may end with this result."""
        elapsed = time.monotonic() - self.started_at
        method, path = self.request.method, self.request.path
        if isinstance(result, Failure):
            return Exchange("api", method, path, attempts=self.attempts, elapsed=elapsed)
        return Exchange("api", method, path, result.status, result.headers, self.attempts, elapsed)

    def unfinished(self) -> Exchange:
        """Return the record of a call that ends in the midst of an attempt, or before it went out."""
        attempts = self.attempts if self.sent_at else self.attempts - 1
        elapsed = time.monotonic() - self.started_at
        return Exchange("api", self.request.method, self.request.path, attempts=attempts, elapsed=elapsed)

    def is_done(self, response: RawResponse) -> bool:
        """Return whether the call was carried out: by this attempt, or by an earlier one that deleted what is now missing."""
        if 200 <= response.status < 300:
            return True
        return response.status == 404 and self.request.method == "DELETE" and self.may_have_succeeded


def has_secret(request: Request[Any]) -> bool:
    """Return whether the query holds a secret, which tracing of other libraries would store with the URL."""
    return request.params is not None and any("token" in name.lower() for name in request.params)


def without_token(body: bytes, request: Request[Any]) -> bytes:
    """Return the body of a response without the upload token of the request, which the service may echo."""
    if not has_secret(request):
        return body
    for token in (request.params or {}).values():
        if isinstance(token, str) and len(token) > 4:
            body = body.replace(token.encode(), b"***")
    return body
