"""What every exchange of one transport has in common."""

from __future__ import annotations

import aiohttp
import attrs

from imgwire_async.config import Options
from imgwire_async.exchange import Exchange
from imgwire_async.transport import deadline
from imgwire_async.transport.capture import capturing
from imgwire_async.transport.instrumentation import Instrumentation
from imgwire_async.transport.shared_state import SharedState


@attrs.frozen
class Context:
    """The state that clients share, the options of one client, and who follows its exchanges."""

    shared: SharedState
    options: Options
    instrumentation: Instrumentation
    # Of a PUT or GET of bytes. No total: a slow transfer that moves may take as long as it needs.
    transfer_timeout: aiohttp.ClientTimeout

    @classmethod
    def of(cls, shared: SharedState, options: Options) -> Context:
        """Return the context of a transport with these options."""
        timeout = aiohttp.ClientTimeout(total=None, connect=options.timeout.connect, ceil_threshold=1e9)
        return cls(shared, options, Instrumentation(options.hooks), timeout)

    async def sleep_before_retry(self, exchange: Exchange, reason: str, seconds: float) -> None:
        """Report that another attempt to send or get bytes follows, and let the time pass."""
        deadline.note_failure(exchange, reason)
        events = self.instrumentation.for_call(exchange.kind, exchange.method, exchange.path)
        if events is not None:
            await events.retry(exchange.attempts, reason, seconds)
        await self.shared.sessions.sleep(seconds)

    def record_exchange(self, exchange: Exchange) -> None:
        """Give a finished exchange to whoever captures."""
        for owner, exchanges in capturing.get():
            if owner is self.shared:
                exchanges.append(exchange)
