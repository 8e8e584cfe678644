"""The gate that one 429 closes for a whole client."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
import warnings

import pytest

from imgwire_async.transport.gate import Gate, TooLongError


async def test_an_open_gate_stands_in_nobodys_way() -> None:
    gate = Gate()
    assert gate.pace is None
    assert gate.remaining() == 0
    assert (await gate.turn(0)).waited < 1


async def test_a_closed_gate_is_waited_for_and_not_a_moment_less() -> None:
    gate = Gate()
    gate.close(0.2, 0)
    opens = time.monotonic() + gate.remaining()
    passed = await gate.turn(10)
    assert time.monotonic() >= opens
    assert passed.waited >= 0.19
    assert passed.round > 0


async def test_whoever_has_not_the_patience_is_told_how_long_it_would_take() -> None:
    gate = Gate()
    gate.close(50, 0)
    began = time.monotonic()
    with pytest.raises(TooLongError) as caught:
        await gate.turn(10)
    assert 49 < caught.value.seconds < 52
    assert time.monotonic() - began < 2


@pytest.mark.slow
async def test_those_who_wait_wait_on_when_the_gate_closes_again() -> None:
    closed_again = asyncio.Event()

    async def pause(seconds: float) -> None:  # nobody leaves between the two, however slow the machine
        await closed_again.wait()
        await asyncio.sleep(min(seconds, 0.01))

    gate = Gate()
    gate.close(0.1, 0)
    first_one = asyncio.create_task(gate.turn(10))
    waiting = [asyncio.create_task(gate.turn(10, pause)) for _ in range(4)]
    first = await first_one
    gate.close(0.3, first.round)
    opens = time.monotonic() + gate.remaining()
    closed_again.set()
    for passed in await asyncio.gather(*waiting):
        assert passed.round == first.round + 1
    assert time.monotonic() >= opens


async def test_whoever_leaves_gives_the_place_to_the_next() -> None:
    gate = Gate()
    gate.close(0.3, 0)
    left = asyncio.create_task(gate.turn(10))
    await asyncio.sleep(0)
    behind = asyncio.create_task(gate.turn(10))
    await asyncio.sleep(0)
    left.cancel()
    with pytest.raises(asyncio.CancelledError):
        await left
    next_one = await gate.turn(10)
    assert not behind.done(), "the later one went first, in the place that had become free"
    assert next_one.waited < (await behind).waited + 1


async def test_a_straggler_of_an_older_round_teaches_nothing() -> None:
    gate = Gate()
    gate.close(0.05, 0)
    passed = await gate.turn(10)
    gate.close(0.05, 0)
    assert gate.pace is not None
    assert gate.pace.accepted is None
    assert gate.pace.round == passed.round + 1, "the word of the straggler counts all the same"


@pytest.mark.slow
def test_many_threads_close_and_read_one_gate() -> None:
    gate = Gate()
    gate.close(1, 0)
    began = threading.Barrier(8)

    async def pass_through() -> int:
        return (await gate.turn(20)).round

    def caller() -> None:
        began.wait(10)
        gate.close(0.01, 0)
        asyncio.run(pass_through())

    threads = [threading.Thread(target=caller) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(20)
    assert not any(each.is_alive() for each in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_lock_that_was_held_during_a_fork_does_not_stop_the_child() -> None:
    gate = Gate()
    with gate._lock, warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # the risk of forking is what this is about
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            gate.close(1, 0)
            os._exit(0 if gate.remaining() > 0 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert gate.remaining() == 0, "the parent's gate is its own"


# --- clocks that tests freeze and set ---------------------------------------------------------------------------------


class SetClock:
    """A clock that somebody sets, while the loop goes on by its own."""

    def __init__(self) -> None:
        self.shows = 1000.0
        self.pauses = 0

    def __call__(self) -> float:
        return self.shows

    async def pause(self, seconds: float) -> None:
        self.pauses += 1
        await asyncio.sleep(seconds)


@pytest.mark.parametrize(
    "jump",
    [
        pytest.param(0.0, id="frozen"),
        pytest.param(1e9, id="forwards"),
        pytest.param(-1e9, id="backwards", marks=pytest.mark.slow),
    ],
)
async def test_a_clock_that_is_set_neither_holds_anybody_up_nor_keeps_a_loop_busy(jump: float) -> None:
    clock = SetClock()
    gate = Gate(clock)
    gate.close(0.2, 0)
    began = time.monotonic()
    waiting = asyncio.create_task(gate.turn(10, clock.pause))
    await asyncio.sleep(0)
    clock.shows += jump
    passed = await asyncio.wait_for(waiting, 5)
    assert time.monotonic() - began >= 0.2
    assert passed.waited >= 0.2
    for _ in range(3):
        await asyncio.wait_for(gate.turn(10, clock.pause), 5)
    assert time.monotonic() - began < 5
    assert clock.pauses <= 4


async def test_a_clock_set_back_does_not_close_the_gate_for_years() -> None:
    clock = SetClock()
    gate = Gate(clock)
    clock.shows += 1e9
    gate.close(0.1, 0)
    clock.shows -= 1e9
    assert gate.remaining() < 1
    await asyncio.wait_for(gate.turn(10, clock.pause), 5)


async def test_with_a_frozen_clock_a_caller_is_told_in_time_that_the_wait_would_be_too_long() -> None:
    clock = SetClock()
    gate = Gate(clock)
    gate.close(0.2, 0)
    waited = 0.0
    with pytest.raises(TooLongError):
        for _ in range(20):
            passed = await asyncio.wait_for(gate.turn(0.5 - waited, clock.pause), 5)
            waited += passed.waited
            gate.close(0.2, passed.round)  # each request meets a 429
    assert waited < 2  # what a busy machine adds to the last of them is nobody's patience
