"""The gate that one 429 closes for all requests of a client."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import warnings

import pytest

from imgwire_async.transport.rate_gate import RateGate, WaitTooLongError


async def test_an_open_gate_delays_no_caller() -> None:
    gate = RateGate()
    assert gate.controller is None
    assert gate.seconds_until_open() == 0
    assert (await gate.acquire(0)).waited < 1


async def test_a_caller_waits_until_a_closed_gate_opens() -> None:
    gate = RateGate()
    gate.close(0.2, 0)
    opens_at = time.monotonic() + gate.seconds_until_open()
    permit = await gate.acquire(10)
    assert time.monotonic() >= opens_at
    assert permit.waited >= 0.19
    assert permit.generation > 0


async def test_a_caller_that_cannot_wait_so_long_gets_the_seconds_until_it_could_send() -> None:
    gate = RateGate()
    gate.close(50, 0)
    started_at = time.monotonic()
    with pytest.raises(WaitTooLongError) as caught:
        await gate.acquire(10)
    assert 49 < caught.value.seconds < 52
    assert time.monotonic() - started_at < 2


@pytest.mark.slow
async def test_callers_keep_waiting_when_the_gate_closes_again() -> None:
    closed_again = asyncio.Event()

    # No caller may get its permit before the gate closes again, however slow the machine.
    async def sleep(seconds: float) -> None:
        await closed_again.wait()
        await asyncio.sleep(min(seconds, 0.01))

    gate = RateGate()
    gate.close(0.1, 0)
    first_waiting = asyncio.create_task(gate.acquire(10))
    waiting = [asyncio.create_task(gate.acquire(10, sleep)) for _ in range(4)]
    first = await first_waiting
    gate.close(0.3, first.generation)
    opens_at = time.monotonic() + gate.seconds_until_open()
    closed_again.set()
    for permit in await asyncio.gather(*waiting):
        assert permit.generation == first.generation + 1
    assert time.monotonic() >= opens_at


async def test_the_send_time_of_a_cancelled_caller_goes_to_the_next_caller() -> None:
    gate = RateGate()
    gate.close(0.3, 0)
    cancelled = asyncio.create_task(gate.acquire(10))
    await asyncio.sleep(0)
    second = asyncio.create_task(gate.acquire(10))
    await asyncio.sleep(0)
    cancelled.cancel()
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    third = await gate.acquire(10)
    assert not second.done(), "the third caller went first, at the send time that had become free"
    assert third.waited < (await second).waited + 1


async def test_a_429_of_an_older_generation_does_not_change_the_rate() -> None:
    gate = RateGate()
    gate.close(0.05, 0)
    permit = await gate.acquire(10)
    gate.close(0.05, 0)
    assert gate.controller is not None
    assert gate.controller.accepted_rate is None
    assert gate.controller.generation == permit.generation + 1, "its retry_after still counts"


@pytest.mark.slow
def test_many_threads_close_and_pass_one_gate() -> None:
    gate = RateGate()
    gate.close(1, 0)
    barrier = threading.Barrier(8)

    async def pass_through() -> int:
        return (await gate.acquire(20)).generation

    def caller() -> None:
        barrier.wait(10)
        gate.close(0.01, 0)
        asyncio.run(pass_through())

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_lock_held_during_a_fork_does_not_block_the_child() -> None:
    gate = RateGate()
    with gate._lock, warnings.catch_warnings():
        # Python warns about a fork with threads, which this test is about.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            gate.close(1, 0)
            os._exit(0 if gate.seconds_until_open() > 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert gate.seconds_until_open() == 0, "the child closed its own gate, not the parent's"


# --- frozen clocks, and clocks that are set -----------------------------------------------------------------


class SettableClock:
    """A clock that the test sets, while the event loop's clock continues."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sleeps = 0

    def __call__(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.sleeps += 1
        await asyncio.sleep(seconds)


@pytest.mark.parametrize(
    "jump",
    [
        pytest.param(0.0, id="frozen"),
        pytest.param(1e9, id="forwards"),
        pytest.param(-1e9, id="backwards", marks=pytest.mark.slow),
    ],
)
async def test_setting_the_clock_neither_blocks_a_caller_nor_keeps_the_loop_busy(jump: float) -> None:
    clock = SettableClock()
    gate = RateGate(clock)
    gate.close(0.2, 0)
    started_at = time.monotonic()
    waiting = asyncio.create_task(gate.acquire(10, clock.sleep))
    await asyncio.sleep(0)
    clock.time += jump
    permit = await asyncio.wait_for(waiting, 5)
    assert time.monotonic() - started_at >= 0.2
    assert permit.waited >= 0.2
    for _ in range(3):
        await asyncio.wait_for(gate.acquire(10, clock.sleep), 5)
    assert time.monotonic() - started_at < 5
    assert clock.sleeps <= 4


async def test_setting_the_clock_back_does_not_keep_the_gate_closed() -> None:
    clock = SettableClock()
    gate = RateGate(clock)
    clock.time += 1e9
    gate.close(0.1, 0)
    clock.time -= 1e9
    assert gate.seconds_until_open() < 1
    await asyncio.wait_for(gate.acquire(10, clock.sleep), 5)


async def test_a_frozen_clock_does_not_hide_that_the_wait_is_too_long() -> None:
    clock = SettableClock()
    gate = RateGate(clock)
    gate.close(0.2, 0)
    waited = 0.0
    with pytest.raises(WaitTooLongError):
        for _ in range(20):
            permit = await asyncio.wait_for(gate.acquire(0.5 - waited, clock.sleep), 5)
            waited += permit.waited
            # Each request gets a 429.
            gate.close(0.2, permit.generation)
    # More than 0.5, because a busy machine may make the last wait longer.
    assert waited < 2
