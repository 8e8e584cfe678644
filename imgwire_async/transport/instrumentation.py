"""Report calls and transfers to the hooks, the tracer and the log.

The reports do not change what is sent. To save time, no `CallEvents` is created for a client without hooks
and tracer while the debug log is off.
"""

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
        else:
            # With the blocking client, the caller's thread has to run the hook, but it is busy with other
            # code. Release the put slot, if this task holds one, while the task waits for the thread, so that
            # other uploads can use the slot.
            await without_slot(lambda: user_code.run_callback(hook, event))
    except Exception:
        logger.exception("a hook raised; the call goes on")


class Instrumentation:
    """The hooks and the tracer of a client.

    The debug log may be switched on at any time, so `for_call` checks it for every call.
    """

    def __init__(self, hooks: Hooks) -> None:
        self._hooks = hooks
        self.tracer: Tracer | None = tracer_of(hooks)
        functions = (hooks.on_request, hooks.on_response, hooks.on_retry)
        self._has_hooks = any(hook is not None for hook in functions) or self.tracer is not None

    def for_call(self, kind: Kind, method: str, path: str) -> CallEvents | None:
        """Return the `CallEvents` of one call or transfer.

        Return None if the client has no hook and no tracer, and the debug log is off.
        """
        if self._has_hooks or logger.isEnabledFor(logging.DEBUG):
            return CallEvents(self._hooks, self.tracer, kind, method, path)
        return None


@attrs.frozen
class CallEvents:
    """Reports the events of one call or transfer to the hooks, the tracer and the log."""

    hooks: Hooks
    tracer: Tracer | None
    kind: Kind
    method: str
    path: str

    def wrap_slot(self, slot: AbstractAsyncContextManager[None]) -> AbstractAsyncContextManager[None]:
        """Return a context manager that acquires `slot` for an attempt of an API call.

        If there is a tracer, the context manager also records the attempt.
        """
        return slot if self.tracer is None else self.tracer.wrap_slot(slot)

    def report_rate_limited(self, seconds: float) -> None:
        """Report that the call waited `seconds` seconds for the service's rate limit."""
        logger.debug(
            "%s %s: delayed for %.2f s by the rate limit", self.method, short_path(self.path), seconds
        )
        if self.tracer is not None:
            self.tracer.on_rate_limited(seconds)

    async def report_request(self, attempt: int) -> None:
        """Report that attempt number `attempt` will be sent."""
        if self.hooks.on_request is not None:
            await _notify(self.hooks.on_request, RequestEvent(self.kind, self.method, self.path, attempt))

    async def report_response(
        self, attempt: int, status: int, headers: Headers, elapsed: float, size: int | None = None
    ) -> None:
        """Report the response to attempt number `attempt`.

        `elapsed` is the duration of the attempt in seconds. `size` is the size of the response body in bytes,
        or None for a transfer.
        """
        # This method reports only API calls to the tracer. `TracedResponse` and `send_traced_put` report
        # transfers, because the last byte of a transfer arrives later.
        if self.kind == "api" and self.tracer is not None:
            self.tracer.on_call_response(status, headers, size)
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

    def report_no_response(self, attempt: int, reason: str, elapsed: float) -> None:
        """Report that attempt number `attempt` got no response after `elapsed` seconds. `reason` says why."""
        logger.debug(
            "%s %s -> %s after %.0f ms (attempt %d)",
            self.method,
            short_path(self.path),
            reason,
            elapsed * 1000,
            attempt,
        )

    async def report_retry(self, attempt: int, reason: str, delay: float) -> None:
        """Report that attempt number `attempt` failed, and that the next one starts after `delay` seconds."""
        logger.debug(
            "%s %s: retry in %.2f s because of %s (attempt %d)",
            self.method,
            short_path(self.path),
            delay,
            reason,
            attempt,
        )
        if self.tracer is not None:
            self.tracer.before_retry(self.kind, self.method, reason, delay)
        if self.hooks.on_retry is not None:
            event = RetryEvent(self.kind, self.method, self.path, attempt, reason, delay)
            await _notify(self.hooks.on_retry, event)
