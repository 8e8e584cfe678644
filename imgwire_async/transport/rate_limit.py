"""How one call obeys the service's rate limit, which holds back all calls of a client: the gate is what they share."""

from __future__ import annotations

import random

from imgwire_async.retry import Failure, retry_delay
from imgwire_async.transport import deadline
from imgwire_async.transport.call_errors import rate_limit_error
from imgwire_async.transport.call_state import CallState
from imgwire_async.transport.rate_gate import RateGate, WaitTooLongError
from imgwire_async.transport.shared_state import SharedState
from imgwire_async.transport.slots import without_slot

# How long a 429 without a usable Retry-After keeps the gate closed, at least: a bucket needs a moment to fill.
_RATE_PAUSE = 0.25
# What one response can ask of all callers. Where the service means more, it will say so again.
_LONGEST_PAUSE = 3600.0


async def pass_gate(shared: SharedState, call: CallState) -> None:
    """Wait for a turn while a 429, of whichever call, keeps this client slow; at most `max_rate_wait` in all."""
    gate, limit = shared.rate_gate, call.policy.max_rate_wait
    try:
        # The slot is lent around all of it: to queue for it again is no wait for the rate limit.
        permit = await without_slot(lambda: gate.acquire(limit - call.rate_waited, shared.sessions.sleep))
    except WaitTooLongError as wait:
        raise rate_limit_error(
            call.unfinished(),
            waited=call.rate_waited,
            more=wait.seconds,
            limit=limit,
            retry_after=gate.seconds_until_open() or wait.seconds,
        ) from None
    except BaseException:
        deadline.interrupted(call.unfinished(), "held back by the service's rate limit, with")
        raise
    call.gate_generation = permit.generation
    call.rate_waited += permit.waited
    if permit.waited > 0.001 and call.events is not None:
        call.events.rate_limited(permit.waited)


def close_gate(gate: RateGate, call: CallState, failure: Failure) -> float | None:
    """Close the gate for everybody after a 429, and return the delay of this call before it waits there, None when it gives up.

    A 429 does not use up one of its retries.
    """
    policy, retry_after = call.policy, failure.retry_after
    call.rate_limited += 1
    delay = retry_delay(call.rate_limited, retry_after, policy=policy, jitter=random.random())
    # Everybody's gate: how patient this call is changes nothing about when the service wants to hear of us again.
    closed_for = _RATE_PAUSE if retry_after is None else min(retry_after, _LONGEST_PAUSE)
    gate.close(closed_for, call.gate_generation)
    if delay is None or policy.max_retries == 0 or call.rate_waited + closed_for > policy.max_rate_wait:
        return None
    if retry_after is not None:
        return 0.0  # the gate makes us wait, with its own spread
    call.rate_waited += delay
    return delay
