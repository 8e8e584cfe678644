"""The stall watchdog ends only transfers that make no progress for the whole timeout."""

from __future__ import annotations

import asyncio
import time

import pytest

from imgwire_async.transport.stall_watchdog import StallWatchdog

SHORT = 0.2


class Transfer:
    """A transfer whose progress the test controls."""

    def __init__(self, *, is_moving: bool = False, started: bool = True) -> None:
        self.is_moving, self.started = is_moving, started
        self.checks = 0
        self.ended_at: float | None = None

    def progress(self) -> int | None:
        self.checks += 1
        return (self.checks if self.is_moving else 0) if self.started else None

    def on_stall(self) -> None:
        self.ended_at = time.monotonic()


async def until_ended(transfer: Transfer) -> None:
    async with asyncio.timeout(10):
        while transfer.ended_at is None:
            await asyncio.sleep(0.01)


async def test_only_a_stalled_transfer_is_ended() -> None:
    watchdog = StallWatchdog(SHORT)
    stalled, moving, waiting = Transfer(), Transfer(is_moving=True), Transfer(started=False)
    started_at = time.monotonic()
    for transfer in (stalled, moving, waiting):
        watchdog.add(transfer)
    await until_ended(stalled)
    assert stalled.ended_at is not None
    assert SHORT * 0.9 <= stalled.ended_at - started_at < SHORT + 2
    await asyncio.sleep(2 * SHORT)
    assert (moving.ended_at, waiting.ended_at) == (None, None)
    watchdog.remove(moving)
    watchdog.remove(waiting)


async def test_the_timeout_starts_at_the_last_progress() -> None:
    watchdog, transfer = StallWatchdog(SHORT), Transfer(is_moving=True)
    watchdog.add(transfer)
    await asyncio.sleep(2 * SHORT)
    transfer.is_moving, stopped_at = False, time.monotonic()
    await until_ended(transfer)
    assert transfer.ended_at is not None
    assert transfer.ended_at - stopped_at >= SHORT * 0.7  # the watchdog checks four times in that time


@pytest.mark.parametrize("later", [False, True])
async def test_a_removed_transfer_is_not_checked_any_more(later: bool) -> None:
    watchdog, removed, stalled = StallWatchdog(SHORT), Transfer(), Transfer()
    watchdog.add(removed)
    watchdog.remove(removed)
    watchdog.remove(removed)  # the second call does nothing
    if later:
        await asyncio.sleep(2 * SHORT)  # the timer has fired meanwhile
    watchdog.add(stalled)
    await until_ended(stalled)
    assert removed.ended_at is None


async def test_a_transfer_is_ended_only_once() -> None:
    watchdog, transfer = StallWatchdog(SHORT), Transfer()
    watchdog.add(transfer)
    await until_ended(transfer)
    transfer.ended_at = None
    await asyncio.sleep(3 * SHORT)
    assert transfer.ended_at is None


async def test_a_transfer_whose_progress_raises_is_reported_and_the_others_are_still_checked() -> None:
    class Broken(Transfer):
        def progress(self) -> int | None:
            raise AttributeError("an unknown kind of transport")

    contexts: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: contexts.append(context))
    watchdog, broken, stalled = StallWatchdog(SHORT), Broken(), Transfer()
    watchdog.add(broken)
    watchdog.add(stalled)
    await until_ended(stalled)
    assert [str(context["exception"]) for context in contexts] == ["an unknown kind of transport"]
    assert watchdog.is_idle


async def test_a_stopped_watchdog_ends_no_transfer() -> None:
    watchdog, stalled = StallWatchdog(SHORT), Transfer()
    watchdog.add(stalled)
    watchdog.stop()
    await asyncio.sleep(2 * SHORT)
    assert stalled.ended_at is None
    assert watchdog.is_idle
