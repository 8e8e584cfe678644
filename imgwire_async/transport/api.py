"""One API call: a slot, a clock, a session; everything else only after a first failure."""

from __future__ import annotations

import asyncio
import io
import random
import time
from typing import Any, Literal

import aiohttp
import attrs
from multidict import CIMultiDict

from imgwire_async import errors
from imgwire_async.config import API_ROOT, Options
from imgwire_async.errors import CLOSED
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.intermediaries import ProxyInUse
from imgwire_async.protocol.json import dumps
from imgwire_async.protocol.request import APIResponse, NoAnswerError, Request
from imgwire_async.protocol.status import status_error
from imgwire_async.retry import Failure, is_success, may_repeat, pause, retry_after
from imgwire_async.transport import answers, capture, deadline, watch
from imgwire_async.transport.call_errors import Answer, long_header, refuse_foreign_redirect, too_large
from imgwire_async.transport.connection import Unread
from imgwire_async.transport.errors import FOREIGN, hush, is_answer, no_answer, not_an_answer
from imgwire_async.transport.gate import TooLongError
from imgwire_async.transport.loop_sessions import LoopSessions
from imgwire_async.transport.open_calls import UntilClosed
from imgwire_async.transport.request_url import Address
from imgwire_async.transport.shared_state import SharedState
from imgwire_async.transport.signing import SignedHeaders
from imgwire_async.transport.slots import without_slot

# How long a 429 without a usable Retry-After keeps the gate closed, at least: a bucket needs a moment to fill.
_RATE_PAUSE = 0.25
# What one answer can ask of all callers. Where the service means more, it will say so again.
_LONGEST_PAUSE = 3600.0
# Bytes of a larger request are handed over in pieces: aiohttp warns of them as one, since they hold up the loop.
_LARGE_BODY = 2**20
_LOOK_AROUND = "Check base_url, DNS, proxy and firewall."
_NO_LIMIT = 2**62  # bytes; a bit below what C can count, so that one more fits, too


@attrs.define
class Course:
    """How one call is going: what was tried and waited so far. Lives in one `Api.send`."""

    key: str = attrs.field(repr=False)
    began: float
    attempts: int = 1
    retries: int = 0
    rate_limited: int = 0
    rate_waited: float = 0.0
    told: int = 0  # attempts that hooks know of
    round: int = 0  # of the gate, in which the last attempt left
    in_doubt: bool = False
    key_renewed: bool = False
    proxy: ProxyInUse | None = None  # which may have answered itself


class Api:
    """Sends requests to the API with one set of options."""

    def __init__(self, shared: SharedState, options: Options) -> None:
        self._shared = shared
        self._options = options
        self._lookout = watch.Lookout(options.hooks)
        self._root = f"{shared.config.base_url}{API_ROOT}"
        # Whatever its case, a header is sent once, and what the contract needs wins.
        headers = CIMultiDict({"Accept": "application/json", "Accept-Encoding": answers.ACCEPTED})
        headers.update(options.default_headers)
        if options.environment_id is not None:
            headers["X-Environment-Id"] = options.environment_id
        self._headers = SignedHeaders(headers)
        self._long_header = long_header(options.default_headers)
        clocks = options.timeout
        self._limit = min(clocks.max_answer_bytes or _NO_LIMIT, _NO_LIMIT)
        # No rounding to whole seconds: a clock fires when it says.
        self._clock = aiohttp.ClientTimeout(total=clocks.attempt, connect=clocks.connect, ceil_threshold=1e9)

    async def send(self, request: Request[Any]) -> APIResponse:
        """The answer to `request`, if it is a success; else the error that says why not."""
        async with UntilClosed(self._shared.sessions) as here:
            return await self._send(here, request)

    async def _send(self, here: LoopSessions, request: Request[Any]) -> APIResponse:
        shared = self._shared
        seen = self._lookout.over("api", request.method, request.path)
        course = Course(shared.keys.known or await self._key(seen), time.monotonic())
        address = Address.of(f"{self._root}{request.target}", shared.host)
        body = None if request.json is None else dumps(request.json)
        while True:
            outcome = await self._attempt(here, request, address, body, seen, course)
            if outcome is None:
                continue
            exchange = self._exchange(request, outcome, course)
            if isinstance(outcome, Answer) and is_success(outcome.status):
                capture.record(self._shared, exchange)
                if not outcome.whole:
                    raise too_large(outcome, exchange, self._limit)
                return APIResponse(outcome.status, outcome.headers, outcome.body, exchange)
            if isinstance(outcome, Answer) and self._gone_already(request, outcome, course):
                capture.record(self._shared, exchange)
                return APIResponse(200, outcome.headers, b"{}", exchange)
            if not shared.config.secure:  # else nobody on the way can answer in place of the API
                course.proxy = here.route_to(address).proxy
            try:
                delay = await self._prepare_next(request, outcome, exchange, course)
            except errors.ImgwireError:
                capture.record(self._shared, exchange)
                raise
            failure = _failure(outcome)
            if seen.awake:
                await seen.retry(course.attempts, failure.reason, max(delay, self._shared.gate.remaining()))
            if delay:
                await shared.sessions.sleep(delay)
            course.attempts += 1

    async def _key(self, seen: watch.Watch) -> str:
        began = time.monotonic()
        try:
            return await without_slot(self._shared.keys.get)
        except asyncio.CancelledError:
            elapsed = time.monotonic() - began
            unsent = Exchange("api", seen.method, seen.path, attempts=0, elapsed=elapsed)
            deadline.interrupted(unsent, "waiting for the answer of api_key, for")
            raise

    async def _attempt(
        self,
        here: LoopSessions,
        request: Request[Any],
        address: Address,
        body: bytes | None,
        seen: watch.Watch,
        course: Course,
    ) -> Answer | Failure | None:
        """One request on the wire, after the gate and in a slot. None: nothing was sent, for the gate closed meanwhile."""
        if self._shared.gate.pace is not None:
            await self._pass_gate(seen, course)
        if here.idle_check.is_due():
            await here.idle_check.run()
        awake = seen.awake
        if awake and course.told != course.attempts:
            course.told = course.attempts
            await seen.request(course.attempts)
        began = 0.0
        try:
            async with seen.turn(here.slots.calls) if awake else here.slots.calls:
                if self._shared.sessions.closed:  # while we stood in the queue
                    raise RuntimeError(CLOSED)  # noqa: TRY301  # what hushes it below does it no harm
                if self._shared.gate.closed_since(course.round):
                    return None
                began = time.monotonic()
                answer = await self._round_trip(here, request, address, body, course.key)
        except (*FOREIGN, NoAnswerError) as error:
            hush(error)
            if self._shared.sessions.closed:
                raise RuntimeError(CLOSED) from None
            failure = no_answer(error, here.route_to(address)).failure
            if awake:
                seen.silence(course.attempts, failure.reason, time.monotonic() - began)
            return failure
        except BaseException as error:
            hush(error)
            deadline.interrupted(_unfinished(seen, course, left=began > 0))
            raise
        if awake:
            elapsed = time.monotonic() - began
            await seen.response(course.attempts, answer.status, answer.headers, elapsed, len(answer.body))
        return answer

    async def _round_trip(
        self, here: LoopSessions, request: Request[Any], address: Address, body: bytes | None, key: str
    ) -> Answer:
        """Return what comes back on one request on the wire, read to its end or to the limit."""
        session = here.untraced_api if _has_secret(request) else here.api
        unread: Unread | None = None
        response: aiohttp.ClientResponse | None = None
        try:
            async with session.request(
                request.method,
                address.url,
                data=body if body is None or len(body) <= _LARGE_BODY else io.BytesIO(body),
                headers=self._headers.with_key(key, json=body is not None),
                **here.proxy_for(address),
                timeout=self._clock,
                allow_redirects=False,
                **here.tls,
            ) as response:
                if not response.content.is_eof():
                    here.open_calls.responses.add(
                        response
                    )  # whoever closes the client must find those who wait
                    unread = Unread(response)
                if not is_answer(response.status):
                    raise not_an_answer(response, here.route_to(address))
                content, whole = await answers.read(response, self._limit)
                return Answer(response.status, Headers.view(response.headers.items()), content, whole)
        finally:
            response = None  # it shows its URL
            if unread is not None:
                unread.drop()

    async def _pass_gate(self, seen: watch.Watch, course: Course) -> None:
        """Wait for a turn while a 429, of whichever call, keeps this client slow; at most `max_rate_wait` in all."""
        limit = self._options.retries.max_rate_wait
        try:
            # The slot is lent around all of it: to queue for it again is no wait for the rate limit.
            passed = await without_slot(
                lambda: self._shared.gate.turn(limit - course.rate_waited, self._shared.sessions.sleep)
            )
        except TooLongError as wait:
            exchange = _unfinished(seen, course, left=False)
            error = errors.RateLimitError(
                f"{exchange}: not sent, because the service's rate limit has kept this call waiting for "
                f"{course.rate_waited:.0f} s and would for {wait.seconds:.0f} s more (max_rate_wait is {limit:g} s). "
                "Lower the concurrency, or allow more waiting in RetryPolicy.",
                status=429,
                exchange=exchange,
            )
            error.retry_after = self._shared.gate.remaining() or wait.seconds
            raise error from None
        except BaseException:
            deadline.interrupted(
                _unfinished(seen, course, left=False), "held back by the service's rate limit, with"
            )
            raise
        course.round = passed.round
        course.rate_waited += passed.waited
        if passed.waited > 0.001:
            seen.gated(passed.waited)

    def _exchange(self, request: Request[Any], outcome: Answer | Failure, course: Course) -> Exchange:
        elapsed = time.monotonic() - course.began
        if isinstance(outcome, Failure):
            return Exchange("api", request.method, request.path, attempts=course.attempts, elapsed=elapsed)
        return Exchange(
            "api", request.method, request.path, outcome.status, outcome.headers, course.attempts, elapsed
        )

    @staticmethod
    def _gone_already(request: Request[Any], answer: Answer, course: Course) -> bool:
        """Whether a 404 tells that an earlier attempt, whose answer was lost, did delete it."""
        return request.method == "DELETE" and answer.status == 404 and course.in_doubt

    async def _prepare_next(
        self, request: Request[Any], outcome: Answer | Failure, exchange: Exchange, course: Course
    ) -> float:
        """Seconds to pause before the next attempt, or the error that ends the call."""
        failure = _failure(outcome)
        course.in_doubt = course.in_doubt or failure.in_doubt
        operation = deadline.current()
        if operation is not None:
            operation.note(exchange, failure.reason)
        if failure.status == 401 and await self._renew_key(course):
            return 0.0
        if failure.status == 429:
            delay = self._rate_delay(failure, course)
        else:
            delay = self._retry_delay(request, failure, course)
        if delay is None:
            raise self._error(_without_token(outcome, request), exchange, failure, course)
        return delay

    async def _renew_key(self, course: Course) -> bool:
        """Whether there is another key to try; asked at most once per call. A 401 was not processed, so even a POST may go again."""
        keys = self._shared.keys
        if not keys.renewable or course.key_renewed:
            return False
        course.key_renewed = True
        keys.forget(course.key)
        if self._options.retries.max_retries == 0:
            return False
        key = await without_slot(keys.get)
        changed, course.key = key != course.key, key
        return changed

    def _rate_delay(self, failure: Failure, course: Course) -> float | None:
        """A 429 closes the gate for everybody, and does not use up a retry of this call."""
        policy = self._options.retries
        told = failure.retry_after
        course.rate_limited += 1
        delay = pause(course.rate_limited, told, policy=policy, dice=random.random())
        # Everybody's gate: how patient this call is changes nothing about when the service wants to hear of us again.
        closed_for = min(told, _LONGEST_PAUSE) if told is not None else _RATE_PAUSE
        self._shared.gate.close(closed_for, course.round)
        if delay is None or policy.max_retries == 0 or course.rate_waited + closed_for > policy.max_rate_wait:
            return None
        if told is not None:
            return 0.0  # the gate makes us wait, with its own spread
        course.rate_waited += delay
        return delay

    def _retry_delay(self, request: Request[Any], failure: Failure, course: Course) -> float | None:
        policy = self._options.retries
        if course.retries >= policy.max_retries:
            return None
        if not may_repeat(request.method, failure, repeatable=request.repeatable):
            return None
        course.retries += 1
        return pause(course.retries, failure.retry_after, policy=policy, dice=random.random())

    def _error(
        self, outcome: Answer | Failure, exchange: Exchange, failure: Failure, course: Course
    ) -> errors.ImgwireError:
        if isinstance(outcome, Failure):
            return self._silence_error(exchange, failure)
        if 300 <= outcome.status < 400:
            refuse_foreign_redirect(outcome, exchange, self._shared.config.base_url)
        return status_error(
            outcome.status,
            exchange,
            outcome.body,
            key=course.key,
            retry_after=failure.retry_after,
            proxy=course.proxy,
            long_header=self._long_header,
        )

    def _silence_error(self, exchange: Exchange, failure: Failure) -> errors.APIConnectionError:
        doubt = (
            " The service may have carried it out: look before you repeat it."
            if failure.in_doubt and exchange.method not in {"GET", "HEAD"}
            else ""
        )
        error: errors.APIConnectionError
        if failure.fate == "connect" or failure.fate == "attempt":
            which, seconds = self._shortest(failure.fate)
            clock = "the system's own" if seconds is None else f"Timeouts({which}={seconds:g})"
            error = errors.APITimeoutError(
                f"{exchange}: {failure.reason}.{doubt} The clock was {clock}: allow more, or look at the network. "
                f"{failure.advice}".rstrip(),
                which=which,
                exchange=exchange,
            )
        else:
            error = errors.APIConnectionError(
                f"{exchange}: {failure.reason}.{doubt} {failure.advice or _LOOK_AROUND}",
                exchange=exchange,
            )
        error.sent = not failure.unprocessed
        return error

    def _shortest(
        self, fate: Literal["connect", "attempt"]
    ) -> tuple[Literal["connect", "attempt"], float | None]:
        """Which of the user's clocks ran out, and its seconds: a connection that takes too long may meet either."""
        connect, attempt = self._options.timeout.connect, self._options.timeout.attempt
        if fate == "connect" and connect is not None and (attempt is None or connect < attempt):
            return "connect", connect
        return "attempt", attempt


def _has_secret(request: Request[Any]) -> bool:
    """Return whether the query holds a secret, which tracing of other libraries would store with the URL."""
    return request.params is not None and any("token" in name.lower() for name in request.params)


def _without_token(outcome: Answer | Failure, request: Request[Any]) -> Answer | Failure:
    """Return what came back, without the upload token that the service may echo."""
    if isinstance(outcome, Failure) or not _has_secret(request):
        return outcome
    body = outcome.body
    for token in (request.params or {}).values():
        if isinstance(token, str) and len(token) > 4:
            body = body.replace(token.encode(), b"***")
    return Answer(outcome.status, outcome.headers, body, outcome.whole)


def _unfinished(seen: watch.Watch, course: Course, *, left: bool) -> Exchange:
    """The record of a call that ends here; `left` tells whether its last attempt went out."""
    attempts = course.attempts if left else course.attempts - 1
    elapsed = time.monotonic() - course.began
    return Exchange("api", seen.method, seen.path, attempts=attempts, elapsed=elapsed)


def _failure(outcome: Answer | Failure) -> Failure:
    if isinstance(outcome, Failure):
        return outcome
    told = retry_after(outcome.headers)
    return Failure(f"HTTP {outcome.status}", status=outcome.status, retry_after=told)
