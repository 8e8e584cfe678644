"""The state that all requests of one transport use."""

from __future__ import annotations

import aiohttp
import attrs

from imgwire_async.config import Options
from imgwire_async.exchange import Exchange
from imgwire_async.transport import deadline
from imgwire_async.transport.capture import active_captures
from imgwire_async.transport.instrumentation import Instrumentation
from imgwire_async.transport.shared_state import SharedState


@attrs.frozen
class Context:
    """The shared state, the options and the instrumentation that requests need.

    A client and its `with_options` clones have the same `shared`. Each of them has its own `options` and its
    own `instrumentation`, which reports to hooks, tracer and log.
    """

    shared: SharedState
    options: Options
    instrumentation: Instrumentation
    # The timeout of a PUT or GET of bytes. It limits only the time to connect, because a slow transfer that
    # makes progress may take any time.
    transfer_timeout: aiohttp.ClientTimeout

    @classmethod
    def of(cls, shared: SharedState, options: Options) -> Context:
        """Return the context of a transport with these options."""
        timeout = aiohttp.ClientTimeout(total=None, connect=options.timeout.connect, ceil_threshold=1e9)
        return cls(shared, options, Instrumentation(options.hooks), timeout)

    async def sleep_before_retry(self, exchange: Exchange, reason: str, seconds: float) -> None:
        """Report that another attempt to send or fetch bytes follows, and sleep for `seconds` seconds."""
        deadline.note_failure(exchange, reason)
        events = self.instrumentation.for_call(exchange.kind, exchange.method, exchange.path)
        if events is not None:
            await events.report_retry(exchange.attempts, reason, seconds)
        await self.shared.sessions.sleep(seconds)

    def record_exchange(self, exchange: Exchange) -> None:
        """Append a finished exchange to the list of every active `client.capture()` of this client."""
        for owner, exchanges in active_captures.get():
            if owner is self.shared:
                exchanges.append(exchange)
