"""Hooks, tracer and log lines of exchanges. They change nothing, and cost next to nothing while nobody follows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import attrs

from imgwire_async import user_code
from imgwire_async.exchange import Headers, Kind, short_path
from imgwire_async.hooks import Hooks, RequestEvent, ResponseEvent, RetryEvent
from imgwire_async.logs import logger
from imgwire_async.transport.slots import without_slot
from imgwire_async.transport.tracing import Tracer, tracer_of


async def _notify(hook: Callable[[Any], object], event: object) -> None:
    try:
        if user_code.busy_caller() is None:
            await user_code.run_callback(hook, event)
        else:  # it may be long in coming, and an upload's slot is for others meanwhile
            await without_slot(lambda: user_code.run_callback(hook, event))
    except Exception:  # it is logged
        logger.exception("a hook raised; the call goes on")


class Instrumentation:
    """Who follows the exchanges of a client: the hooks it was made with, and the log, which may be switched on any time."""

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.tracer: Tracer | None = tracer_of(hooks)
        functions = (hooks.on_request, hooks.on_response, hooks.on_retry)
        self._is_hooked = any(hook is not None for hook in functions) or self.tracer is not None

    def for_call(self, kind: Kind, method: str, path: str) -> CallEvents | None:
        """Return what reports the events of one exchange; None while nobody follows."""
        if self._is_hooked or logger.isEnabledFor(logging.DEBUG):
            return CallEvents(self._hooks, self.tracer, kind, method, path)
        return None


@attrs.frozen
class CallEvents:
    """Reports what happens to one exchange to hooks, tracer and log."""

    hooks: Hooks
    tracer: Tracer | None
    kind: Kind
    method: str
    path: str

    def wrap_slot(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        """Return the slot for an attempt of an API call, which a tracer sees from the queue to the response."""
        return slot if self.tracer is None else self.tracer.turn(slot)

    def rate_limited(self, seconds: float) -> None:
        """Report that the service's rate limit held this call back."""
        logger.debug(
            "%s %s: held back for %.2f s by the rate limit", self.method, short_path(self.path), seconds
        )
        if self.tracer is not None:
            self.tracer.gated(seconds)

    async def request(self, attempt: int) -> None:
        """Report that attempt number `attempt` is about to be sent."""
        if self.hooks.on_request is not None:
            await _notify(self.hooks.on_request, RequestEvent(self.kind, self.method, self.path, attempt))

    async def response(
        self, attempt: int, status: int, headers: Headers, elapsed: float, size: int | None = None
    ) -> None:
        """Report that a response came, of so many bytes."""
        # Transfers end when their bytes do, so the transport reports them.
        if self.kind == "api" and self.tracer is not None:
            self.tracer.answered(status, headers, size)
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
            await _notify(self.hooks.on_response, event)

    def no_response(self, attempt: int, reason: str, elapsed: float) -> None:
        """Report that no response came."""
        logger.debug(
            "%s %s -> %s after %.0f ms (attempt %d)",
            self.method,
            short_path(self.path),
            reason,
            elapsed * 1000,
            attempt,
        )

    async def retry(self, attempt: int, reason: str, delay: float) -> None:
        """Report that another attempt follows after `delay` seconds."""
        logger.debug(
            "%s %s: again in %.2f s because of %s (attempt %d)",
            self.method,
            short_path(self.path),
            delay,
            reason,
            attempt,
        )
        if self.tracer is not None:
            self.tracer.repeated(self.kind, self.method, reason, delay)
        if self.hooks.on_retry is not None:
            event = RetryEvent(self.kind, self.method, self.path, attempt, reason, delay)
            await _notify(self.hooks.on_retry, event)
