"""The stall clock: only what stands still for all of its seconds is given up, however many it looks at."""

from __future__ import annotations

import asyncio
import time

import pytest

from imgwire_async.transport.stall import StallClock

SHORT = 0.2


class Transfer:
    """Moves as told."""

    def __init__(self, *, moves: bool = False, begun: bool = True) -> None:
        self.moves, self.begun = moves, begun
        self.asked = 0
        self.given_up: float | None = None

    def position(self) -> int | None:
        self.asked += 1
        return (self.asked if self.moves else 0) if self.begun else None

    def give_up(self) -> None:
        self.given_up = time.monotonic()


async def until_given_up(transfer: Transfer) -> None:
    async with asyncio.timeout(10):
        while transfer.given_up is None:
            await asyncio.sleep(0.01)


async def test_only_the_one_that_stands_is_given_up() -> None:
    clock = StallClock(SHORT)
    stands, moves, waits = Transfer(), Transfer(moves=True), Transfer(begun=False)
    began = time.monotonic()
    for transfer in (stands, moves, waits):
        clock.watch(transfer)
    await until_given_up(stands)
    assert stands.given_up is not None
    assert SHORT * 0.9 <= stands.given_up - began < SHORT + 2
    await asyncio.sleep(2 * SHORT)
    assert (moves.given_up, waits.given_up) == (None, None)
    clock.leave(moves)
    clock.leave(waits)


async def test_the_clock_runs_from_the_last_step() -> None:
    clock, transfer = StallClock(SHORT), Transfer(moves=True)
    clock.watch(transfer)
    await asyncio.sleep(2 * SHORT)
    transfer.moves, stood = False, time.monotonic()
    await until_given_up(transfer)
    assert transfer.given_up is not None
    assert transfer.given_up - stood >= SHORT * 0.7  # it looks four times in that span


@pytest.mark.parametrize("again", [False, True])
async def test_who_left_is_not_looked_at_any_more(again: bool) -> None:
    clock, gone, stands = StallClock(SHORT), Transfer(), Transfer()
    clock.watch(gone)
    clock.leave(gone)
    clock.leave(gone)  # twice does no harm
    if again:
        await asyncio.sleep(2 * SHORT)  # the clock has run down meanwhile
    clock.watch(stands)
    await until_given_up(stands)
    assert gone.given_up is None


async def test_a_transfer_is_given_up_once() -> None:
    clock, transfer = StallClock(SHORT), Transfer()
    clock.watch(transfer)
    await until_given_up(transfer)
    transfer.given_up = None
    await asyncio.sleep(3 * SHORT)
    assert transfer.given_up is None


async def test_one_that_cannot_be_watched_is_told_and_the_others_are_watched_all_the_same() -> None:
    class Broken(Transfer):
        def position(self) -> int | None:
            raise AttributeError("a transport of another make")

    told: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    clock, broken, stands = StallClock(SHORT), Broken(), Transfer()
    clock.watch(broken)
    clock.watch(stands)
    await until_given_up(stands)
    assert [str(context["exception"]) for context in told] == ["a transport of another make"]
    assert clock.idle


async def test_a_stopped_clock_looks_no_more() -> None:
    clock, stands = StallClock(SHORT), Transfer()
    clock.watch(stands)
    clock.stop()
    await asyncio.sleep(2 * SHORT)
    assert stands.given_up is None
    assert clock.idle
