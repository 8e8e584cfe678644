"""Looking in: hooks and log lines. Watching changes nothing, and costs nothing while nobody does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs

from imgwire_async import userland
from imgwire_async.exchange import Headers, Kind, short_path
from imgwire_async.hooks import Hooks, RequestEvent, ResponseEvent, RetryEvent
from imgwire_async.logs import logger
from imgwire_async.transport.slots import without_slot
from imgwire_async.transport.tracing import tracer_of


async def _tell(hook: Callable[[Any], object], event: object) -> None:
    try:
        if userland.absent() is None:
            await userland.call(hook, event)
        else:  # it may be long in coming, and an upload's slot is for others meanwhile
            await without_slot(lambda: userland.call(hook, event))
    except Exception:
        logger.exception("a hook raised; the call goes on")


class Lookout:
    """Who looks at the exchanges of a client: asked when it is made, but for the log, which may be switched on any time."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        told = (hooks.on_request, hooks.on_response, hooks.on_retry)
        self._hooked = any(hook is not None for hook in told) or tracer_of(hooks) is not None

    def over(self, kind: Kind, method: str, path: str) -> Watch:
        """The watch over one exchange."""
        return Watch(self._hooks, kind, method, path, self._hooked or logger.isEnabledFor(logging.DEBUG))


@attrs.frozen(slots=False)  # made for each call, and twice as fast without slots
class Watch:
    """One kind of exchange as hooks and log see it."""

    hooks: Hooks
    kind: Kind
    method: str
    path: str
    awake: bool  # whether anybody looks

    def turn(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        """The slot for an attempt of an API call, which a tracer sees from the queue to the answer."""
        tracer = tracer_of(self.hooks)
        return slot if tracer is None else tracer.turn(slot)

    def gated(self, seconds: float) -> None:
        """Note that the service's rate limit holds this call back."""
        logger.debug(
            "%s %s: held back for %.2f s by the rate limit", self.method, short_path(self.path), seconds
        )
        if (tracer := tracer_of(self.hooks)) is not None:
            tracer.gated(seconds)

    async def request(self, attempt: int) -> None:
        """Tell that attempt number `attempt` is about to be sent."""
        if self.hooks.on_request is not None:
            await _tell(self.hooks.on_request, RequestEvent(self.kind, self.method, self.path, attempt))

    async def response(
        self, attempt: int, status: int, headers: Headers, elapsed: float, size: int | None = None
    ) -> None:
        """Tell that an answer came, of so many bytes."""
        # Transfers end when their bytes do, so the transport tells of them.
        if self.kind == "api" and (tracer := tracer_of(self.hooks)) is not None:
            tracer.answered(status, headers, size)
        logger.debug(
            "%s %s -> %d in %.0f ms (attempt %d, request id %s)",
            self.method,
            short_path(self.path),
            status,
            elapsed * 1000,
            attempt,
            headers.request_id,
        )
        if self.hooks.on_response is not None:
            event = ResponseEvent(
                self.kind, self.method, self.path, attempt, status, elapsed, headers.request_id
            )
            await _tell(self.hooks.on_response, event)

    def silence(self, attempt: int, reason: str, elapsed: float) -> None:
        """Note that no answer came."""
        logger.debug(
            "%s %s -> %s after %.0f ms (attempt %d)",
            self.method,
            short_path(self.path),
            reason,
            elapsed * 1000,
            attempt,
        )

    async def retry(self, attempt: int, reason: str, delay: float) -> None:
        """Tell that another attempt follows after `delay` seconds."""
        logger.debug(
            "%s %s: again in %.2f s because of %s (attempt %d)",
            self.method,
            short_path(self.path),
            delay,
            reason,
            attempt,
        )
        if (tracer := tracer_of(self.hooks)) is not None:
            tracer.repeated(self.kind, self.method, reason, delay)
        if self.hooks.on_retry is not None:
            await _tell(
                self.hooks.on_retry, RetryEvent(self.kind, self.method, self.path, attempt, reason, delay)
            )
