"""Apply the service's rate limit to one API call. All calls of a client share one `RateGate`."""

from __future__ import annotations

import random

from imgwire_async.retry import Failure, retry_delay
from imgwire_async.transport import deadline
from imgwire_async.transport.call_errors import rate_limit_error
from imgwire_async.transport.call_state import CallState
from imgwire_async.transport.rate_gate import RateGate, WaitTooLongError
from imgwire_async.transport.shared_state import SharedState
from imgwire_async.transport.slots import without_slot

# For how many seconds a 429 closes the rate gate, if the response has no usable Retry-After. A service that
# counts requests in a token bucket needs some time to refill it.
_DEFAULT_CLOSED_TIME = 0.25
# The maximum number of seconds for which one response can close the gate.
_MAXIMUM_CLOSED_TIME = 3600.0


async def wait_for_rate_limit(shared: SharedState, call: CallState) -> None:
    """Wait until the rate gate lets the call send its request.

    The gate delays calls after any call of this client got a 429. Raises `RateLimitError` without a further
    wait if this call would wait for more than `max_rate_wait` seconds in total.
    """
    gate, limit = shared.rate_gate, call.policy.max_rate_wait
    try:
        # `without_slot` may also have to wait until it gets the slot back. That is no wait for the rate
        # limit, so `gate.acquire` measures the wait, and this function does not.
        permit = await without_slot(lambda: gate.acquire(limit - call.rate_limit_wait, shared.sessions.sleep))
    except WaitTooLongError as wait:
        raise rate_limit_error(
            call.interrupted_exchange(),
            waited=call.rate_limit_wait,
            remaining=wait.seconds,
            limit=limit,
            retry_after=gate.seconds_until_open() or wait.seconds,
        ) from None
    except BaseException:
        deadline.note_interrupted(call.interrupted_exchange(), "waiting for the service's rate limit with")
        raise
    call.gate_generation = permit.generation
    call.rate_limit_wait += permit.waited
    if permit.waited > 0.001 and call.events is not None:
        call.events.report_rate_limited(permit.waited)


def close_after_429(gate: RateGate, call: CallState, failure: Failure) -> float | None:
    """Close the gate for all calls after a 429, and return the seconds before this call tries again.

    After these seconds the call waits for the gate. None means that the call must fail. A 429 does not use up
    a retry.
    """
    policy, retry_after = call.policy, failure.retry_after
    call.rate_limit_count += 1
    delay = retry_delay(call.rate_limit_count, retry_after, policy=policy, jitter=random.random())
    # All calls share the gate, so the retry policy of this call does not change how long the gate stays
    # closed.
    closed_for = _DEFAULT_CLOSED_TIME if retry_after is None else min(retry_after, _MAXIMUM_CLOSED_TIME)
    gate.close(closed_for, call.gate_generation)
    if delay is None or policy.max_retries == 0 or call.rate_limit_wait + closed_for > policy.max_rate_wait:
        return None
    if retry_after is not None:
        # The call needs no delay of its own, because it waits for the gate. The gate opens after
        # `Retry-After` and adds jitter.
        return 0.0
    call.rate_limit_wait += delay
    return delay
