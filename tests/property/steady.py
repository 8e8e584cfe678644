"""A steady state under every trouble that there is, for as long as one likes; run by `soak.py`.

Workers upload, list, read back and delete over one client that is closed and made anew now and then, and over the blocking
one. One request in a hundred meets a fault; rounds are cancelled, tasks inside the client are cancelled by others, the
service's clock jumps, children are forked off. What must hold: no wrong byte, no hang, only errors that say what happened,
and at the end memory and open files are where they were after warming up.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

from wire.pictures import png
from wire.resource_usage import memory

from imgwire_async import (
    AsyncImgwireClient,
    Hooks,
    ImgwireClient,
    ImgwireError,
    RetryPolicy,
    Timeouts,
    UploadItem,
)
from imgwire_async.emulator import Emulator
from property import forks

WORKERS = 16
CONNECTIONS = 12  # of each kind: fewer than the workers want
MAY_GROW = (
    24 * 2**20
)  # bytes; what an allocator, the buffers of TLS and the caches of the libraries still take
ROUND = 90.0  # seconds that a round may take; a good one takes far less than one
FAULTS: list[dict[str, Any]] = [
    {"status": 503}, {"status": 500}, {"reset": "before"}, {"reset": "after_commit"}, {"reset": 20_000}, {"cut": 100}, {"stall": 0.3},
    {"status": 503, "early": True}, {"status": 503, "early": True, "headers": {"Connection": "close"}}, {"cut": 100, "close_notify": False},
]  # fmt: skip


# --- the service ------------------------------------------------------------------------------------------------------


async def serve(*, tls: bool) -> None:
    """The emulator, in a process of its own: its memory of what it was asked is not ours.

    A line on its input moves its clock by so many seconds. It ends with its input.
    """
    dice = random.Random(7)
    async with Emulator(ready_polls=0, tls=tls) as emulator:
        where = {"base_url": emulator.base_url, "api_key": emulator.api_key}
        if emulator.ca_path is not None:
            where["ssl"] = str(emulator.ca_path)
        print(json.dumps(where), flush=True)
        commands = asyncio.create_task(asyncio.to_thread(_obey, emulator))
        seen = planned = 0
        while not commands.done():
            await asyncio.sleep(0.02)
            seen += len(emulator.requests)
            emulator.requests.clear()
            while planned < seen // 100:
                planned += 1
                if planned % 50 == 0:
                    emulator.faults.clear()  # those that fired
                emulator.faults.add("*", "*", after=dice.randrange(100), **dice.choice(FAULTS))
        print(json.dumps({"requests": seen, "faults": planned}), flush=True)


def _obey(emulator: Emulator) -> None:
    for line in sys.stdin:
        emulator.clock.advance(float(line))


class Service:
    """The emulator's process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        self.settings: dict[str, Any] = json.loads(self._output.readline())
        self.figures: dict[str, int] = {}

    def jump(self, seconds: float) -> None:
        """Move its clock ahead."""
        self._input.write(f"{seconds}\n")
        self._input.flush()

    def end(self) -> None:
        """Stop it, and keep what it counted."""
        self._input.close()
        self.figures = json.loads(self._output.readline())


@contextlib.contextmanager
def service(*, tls: bool) -> Iterator[Service]:
    soak = Path(__file__).with_name("soak.py")
    command = [sys.executable, str(soak), "serve", *(["--tls"] if tls else [])]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        try:
            yield Service(process)
        finally:
            process.terminate()


# --- the work ---------------------------------------------------------------------------------------------------------


class Steady:
    """The workers, those who disturb them, and what both count."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.tally: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.dice = random.Random(11)
        self.rounds: set[asyncio.Task[None]] = set()  # that may be cancelled
        self.ours: set[asyncio.Task[Any]] = set()  # that must not be
        self.at_work = asyncio.Event()  # cleared when nobody may begin anything
        self.at_work.set()
        settings = self.service.settings | {
            "timeout": Timeouts(attempt=10, stall=10),
            "max_connections": CONNECTIONS,
        }
        self._settings = settings | {"retries": RetryPolicy(backoff=0.02, max_backoff=0.2)}
        hooks = Hooks(on_retry=lambda event: self.tally.update(["retries"]))
        self._make = functools.partial(AsyncImgwireClient, **self._settings, hooks=hooks)
        self.client = self._make()
        self.twin = ImgwireClient(**self._settings)

    async def run(self, seconds: float) -> None:
        """Work under all troubles for so long."""
        end = time.monotonic() + seconds
        this = asyncio.current_task()
        assert this is not None
        self.ours = {this}
        try:
            async with asyncio.TaskGroup() as group:
                for work in (
                    *[self._upload_and_read] * WORKERS, self._use_the_twin,
                ):  # fmt: skip
                    self.ours.add(group.create_task(self._worker(work, end)))
                for pause, trouble in (
                    (0.1, self._cancel), (0.7, self._cancel_a_stranger), (4.0, self._reopen), (1.5, self._jump), (3.0, self._fork), (6.0, self._fork_unseen),
                ):  # fmt: skip
                    self.ours.add(group.create_task(self._trouble(pause, trouble, end)))
        finally:
            self.ours = set()

    async def _worker(self, work: Callable[[int], Awaitable[None]], end: float) -> None:
        """Round after round, each in a task of its own."""
        for number in itertools.count():
            await self.at_work.wait()
            if time.monotonic() >= end:
                return
            task = asyncio.ensure_future(work(number))
            self.rounds.add(task)  # type: ignore[arg-type]  # a coroutine's
            await asyncio.wait({task}, timeout=ROUND)
            self.rounds.discard(task)  # type: ignore[arg-type]  # a coroutine's
            if not task.done():
                raise AssertionError(f"a round hangs; all tasks, and what each waits for:\n{waits()}")
            self.tally["rounds"] += 1
            if not task.cancelled() and (error := task.exception()) is not None:
                self._judge(error)

    def _judge(self, error: BaseException) -> None:
        """Count what a caller may expect: an error of ours, or that its client was closed or its work cancelled."""
        closed = isinstance(error, RuntimeError) and ("closed" in str(error) or "cancelled" in str(error))
        if not isinstance(error, ImgwireError) and not closed:
            raise error
        self.errors[f"{type(error).__name__}: {str(error)[:24]}" if closed else type(error).__name__] += 1

    async def _upload_and_read(self, number: int) -> None:
        client = self.client
        data = png(1 + number % 50, 1, padding=(number * 7919) % 200_000)
        ids: list[str] = []
        try:
            items = [UploadItem(data) for _ in range(4)]
            async with contextlib.aclosing(client.images.upload_many(items, concurrency=4)) as results:
                async for result in results:
                    if "other code cancelled" in str(result.error):
                        self.tally["uploads cancelled by others"] += (
                            1  # as often as those come, not as uploads do
                        )
                    else:
                        self.tally["failed uploads" if result.error else "uploads"] += 1
                    if result.image is not None:
                        ids.append(result.image.id)
                    if result.error is not None:
                        self._judge(result.error)
                        ids = ids[:-1] if result.image is not None else ids  # its bytes may not be there
            if number % 40 == 0:
                self.tally["listed"] += len([image async for image in client.images.list_all(limit=10)])
            for image_id in ids:
                assert await client.images.read(image_id) == data, "other bytes came back"
                self.tally["downloads"] += 1
        finally:
            with contextlib.suppress(ImgwireError, RuntimeError):
                await client.images.bulk_delete(ids)

    async def _use_the_twin(self, number: int) -> None:
        def work() -> None:
            data = png(2, 1, padding=number % 50_000)
            image = self.twin.images.upload(data, wait=True)
            assert self.twin.images.read(image) == data, "other bytes came back"
            self.twin.images.delete(image.id)
            self.tally["rounds of the twin"] += 1

        thread = asyncio.ensure_future(asyncio.to_thread(work))
        await asyncio.shield(thread)

    # --- troubles -------------------------------------------------------------------------------------------------

    async def _trouble(self, pause: float, trouble: Callable[[], Awaitable[None]], end: float) -> None:
        while time.monotonic() < end - 1:
            await asyncio.sleep(pause * self.dice.uniform(0.5, 1.5))
            await self.at_work.wait()
            await trouble()

    async def _cancel(self) -> None:
        if self.rounds:
            self.dice.choice(sorted(self.rounds, key=id)).cancel()
            self.tally["cancellations"] += 1

    async def _cancel_a_stranger(self) -> None:
        """A task that is nobody's business: of the client, or of the library below it. Sometimes all of them at once."""
        strangers = sorted(asyncio.all_tasks() - self.ours - self.rounds, key=id)
        for task in strangers if self.dice.random() < 0.1 else strangers[:1]:
            task.cancel()
            self.tally["cancelled by others"] += 1

    async def _reopen(self) -> None:
        old, self.client = self.client, self._make()
        await old.aclose()
        self.tally["closed and reopened"] += 1

    async def _jump(self) -> None:
        self.service.jump(self.dice.choice([5, 500, 1000]))
        self.tally["clock jumps"] += 1

    async def _fork(self) -> None:
        """In the midst of everything."""

        def work() -> None:
            forks.with_both(self.twin, self.client)  # the client of that moment

        await asyncio.to_thread(forks.in_a_child, forks.fork_seen, work)
        self.tally["forks"] += 1

    async def _fork_unseen(self) -> None:
        """While no other thread runs Python: a child in which another has just asked for the interpreter's lock hangs there.

        (CPython's forced switching: who lets the lock go waits until the other has taken it, and that one is no more.)
        """
        self.at_work.clear()
        try:
            async with asyncio.timeout(ROUND):
                while self.rounds:
                    await asyncio.sleep(0.01)
            work = functools.partial(forks.with_the_twin, self.twin)
            await asyncio.to_thread(forks.in_a_child, forks.fork_unseen, work)
        finally:
            self.at_work.set()
        self.tally["forks that Python does not see"] += 1

    async def close(self) -> None:
        await self.client.aclose()
        await asyncio.to_thread(self.twin.close)


def waits() -> str:
    """All tasks of this loop, each with the places at which it waits, the innermost last."""
    lines: list[str] = []
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        lines.append(f"{task.get_name()} {task._fut_waiter!r}")  # type: ignore[attr-defined]  # C's
        awaited: Any = task.get_coro()
        while awaited is not None:
            frame = next(
                (f for at in ("cr_frame", "gi_frame", "ag_frame") if (f := getattr(awaited, at, None))), None
            )
            where = (
                f"{frame.f_code.co_qualname} {frame.f_code.co_filename}:{frame.f_lineno}"
                if frame
                else repr(awaited)
            )
            lines.append(f"    {where}")
            awaited = next(
                (a for at in ("cr_await", "gi_yieldfrom", "ag_await") if (a := getattr(awaited, at, None))),
                None,
            )
    return "\n".join(lines)


def held() -> tuple[int, int]:
    """Resident bytes and open files of this process."""
    gc.collect()
    return memory("VmRSS"), sum(1 for _ in Path("/proc/self/fd").iterdir())


async def steady(seconds: float, *, tls: bool) -> None:
    """The steady state, measured after a third of the time and at the end."""
    with service(tls=tls) as where:
        first = Steady(where)
        await first.run(min(5.0, seconds / 6))  # what stays once and for all: pools, the loop of the twin
        await first.close()
        _, before = held()
        state = Steady(where)
        state.errors, state.tally = first.errors, first.tally
        await state.run(seconds / 3)
        warm = held()
        await state.run(seconds / 2)
        done = held()
        await state.close()
        await asyncio.sleep(0.5)  # for what the loops let go of later
        _, after = held()
        where.end()
    report(state, where.figures, warm, done, before, after)
    tally = state.tally
    assert tally["retries"], "nothing went wrong, so nothing was shown"
    assert tally["uploads"] > 5 * tally["failed uploads"], "more fails than all the troubles can explain"
    assert done[0] - warm[0] < MAY_GROW, "memory grows"
    # To three hosts; the one that storage and CDN share keeps idle connections to both, for a while. And the twin's.
    assert done[1] <= before + 2 * (3 * CONNECTIONS + 4), "more is open than connections are allowed"
    assert after <= before + 2, "something stays open"


def report(
    state: Steady,
    served: dict[str, int],
    warm: tuple[int, int],
    done: tuple[int, int],
    before: int,
    after: int,
) -> None:
    print(f"steady state: {dict(state.tally)}", flush=True)
    print(f"errors that callers met: {dict(state.errors)}", flush=True)
    print(f"service: {served['requests']} requests, {served['faults']} faults", flush=True)
    grown = (done[0] - warm[0]) / 2**20
    print(f"memory {warm[0] / 2**20:.1f} -> {done[0] / 2**20:.1f} MiB ({grown:+.1f})", flush=True)
    print(f"open files {before}, warm {warm[1]}, at the end {done[1]}, closed {after}", flush=True)
