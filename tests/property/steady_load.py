"""A steady load with faults, for any duration. `soak.py` runs it.

Workers upload, list, read and delete with an asynchronous client, which is closed and created again now and
then, and with a blocking client. One request in a hundred meets a fault. Tasks of the workers and of the
client are cancelled, the clock of the service jumps, and the process forks. These conditions have to hold:
the bytes are right, nothing hangs, only expected errors are raised, and memory and open files do not grow
after the warm-up.
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
# Of each kind of slot. The workers need more.
CONNECTIONS = 12
# In bytes, for the memory allocator, TLS buffers and caches of libraries.
MAX_GROWTH = 24 * 2**20
# Seconds. A normal round takes far less than a second.
ROUND_TIMEOUT = 90.0
FAULTS: list[dict[str, Any]] = [
    {"status": 503}, {"status": 500}, {"reset": "before"}, {"reset": "after_commit"}, {"reset": 20_000}, {"cut": 100}, {"stall": 0.3},
    {"status": 503, "early": True}, {"status": 503, "early": True, "headers": {"Connection": "close"}}, {"cut": 100, "close_notify": False},
]  # fmt: skip


# --- the service --------------------------------------------------------------------------------------------


async def serve(*, tls: bool) -> None:
    """Run the emulator. `Service` starts this function in a process of its own.

    So the emulator's memory does not count for the client.

    A line of the input advances the clock of the emulator by this number of seconds. The end of the input
    stops it.
    """
    rng = random.Random(7)
    async with Emulator(ready_polls=0, tls=tls) as emulator:
        settings = {"base_url": emulator.base_url, "api_key": emulator.api_key}
        if emulator.ca_path is not None:
            settings["ssl"] = str(emulator.ca_path)
        print(json.dumps(settings), flush=True)
        commands = asyncio.create_task(asyncio.to_thread(_advance_clock_on_input, emulator))
        requests = faults = 0
        while not commands.done():
            await asyncio.sleep(0.02)
            requests += len(emulator.requests)
            emulator.requests.clear()
            while faults < requests // 100:
                faults += 1
                if faults % 50 == 0:
                    # Removes the faults that have been used.
                    emulator.faults.clear()
                emulator.faults.add("*", "*", after=rng.randrange(100), **rng.choice(FAULTS))
        print(json.dumps({"requests": requests, "faults": faults}), flush=True)


def _advance_clock_on_input(emulator: Emulator) -> None:
    for line in sys.stdin:
        emulator.clock.advance(float(line))


class Service:
    """The process of the emulator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._input, self._output = process.stdin, process.stdout
        self.settings: dict[str, Any] = json.loads(self._output.readline())
        self.counts: dict[str, int] = {}

    def advance_clock(self, seconds: float) -> None:
        """Advance the clock of the emulator."""
        self._input.write(f"{seconds}\n")
        self._input.flush()

    def end(self) -> None:
        """Stop the emulator and store its counts."""
        self._input.close()
        self.counts = json.loads(self._output.readline())


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


# --- workers ------------------------------------------------------------------------------------------------


class SteadyLoad:
    """The workers, the tasks that disturb them, and their counts."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.counts: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.rng = random.Random(11)
        # Tasks that may be cancelled.
        self.rounds: set[asyncio.Task[None]] = set()
        # Tasks that must not be cancelled.
        self.own_tasks: set[asyncio.Task[Any]] = set()
        # Cleared while no round may start.
        self.may_start = asyncio.Event()
        self.may_start.set()
        settings = self.service.settings | {
            "timeout": Timeouts(attempt=10, stall=10),
            "max_connections": CONNECTIONS,
        }
        self._settings = settings | {"retries": RetryPolicy(backoff=0.02, max_backoff=0.2)}
        hooks = Hooks(on_retry=lambda event: self.counts.update(["retries"]))
        self._make_client = functools.partial(AsyncImgwireClient, **self._settings, hooks=hooks)
        self.client = self._make_client()
        self.blocking_client = ImgwireClient(**self._settings)

    async def run(self, seconds: float) -> None:
        """Run the workers for this number of seconds, and disturb them."""
        end = time.monotonic() + seconds
        this = asyncio.current_task()
        assert this is not None
        self.own_tasks = {this}
        try:
            async with asyncio.TaskGroup() as group:
                for work in (
                    *[self._upload_and_read] * WORKERS, self._use_blocking_client,
                ):  # fmt: skip
                    self.own_tasks.add(group.create_task(self._worker(work, end)))
                for interval, disturb in (
                    (0.1, self._cancel_round), (0.7, self._cancel_other_task), (4.0, self._close_and_reopen), (1.5, self._advance_clock), (3.0, self._fork), (6.0, self._fork_without_hooks),
                ):  # fmt: skip
                    self.own_tasks.add(group.create_task(self._repeat(interval, disturb, end)))
        finally:
            self.own_tasks = set()

    async def _worker(self, work: Callable[[int], Awaitable[None]], end: float) -> None:
        """Run one round after the other, each in a new task."""
        for number in itertools.count():
            await self.may_start.wait()
            if time.monotonic() >= end:
                return
            task = asyncio.ensure_future(work(number))
            self.rounds.add(task)  # type: ignore[arg-type]  # a coroutine
            await asyncio.wait({task}, timeout=ROUND_TIMEOUT)
            self.rounds.discard(task)  # type: ignore[arg-type]  # a coroutine
            if not task.done():
                raise AssertionError(f"a round hangs; all tasks:\n{describe_tasks()}")
            self.counts["rounds"] += 1
            if not task.cancelled() and (error := task.exception()) is not None:
                self._count_error(error)

    def _count_error(self, error: BaseException) -> None:
        """Count an expected error, and raise any other.

        Expected are our errors, and a `RuntimeError` for a closed client or for work that other code
        cancelled.
        """
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
                        # Counted separately, because they depend on the number of cancellations.
                        self.counts["uploads cancelled by others"] += 1
                    else:
                        self.counts["failed uploads" if result.error else "uploads"] += 1
                    if result.image is not None:
                        ids.append(result.image.id)
                    if result.error is not None:
                        self._count_error(result.error)
                        # The image of a failed upload may have no bytes.
                        ids = ids[:-1] if result.image is not None else ids
            if number % 40 == 0:
                self.counts["listed"] += len([image async for image in client.images.list_all(limit=10)])
            for image_id in ids:
                assert await client.images.read(image_id) == data, "wrong bytes"
                self.counts["downloads"] += 1
        finally:
            with contextlib.suppress(ImgwireError, RuntimeError):
                await client.images.bulk_delete(ids)

    async def _use_blocking_client(self, number: int) -> None:
        def work() -> None:
            data = png(2, 1, padding=number % 50_000)
            image = self.blocking_client.images.upload(data, wait=True)
            assert self.blocking_client.images.read(image) == data, "wrong bytes"
            self.blocking_client.images.delete(image.id)
            self.counts["rounds of the blocking client"] += 1

        thread = asyncio.ensure_future(asyncio.to_thread(work))
        await asyncio.shield(thread)

    # --- disturbances ---------------------------------------------------------------------------------------

    async def _repeat(self, interval: float, disturb: Callable[[], Awaitable[None]], end: float) -> None:
        while time.monotonic() < end - 1:
            await asyncio.sleep(interval * self.rng.uniform(0.5, 1.5))
            await self.may_start.wait()
            await disturb()

    async def _cancel_round(self) -> None:
        if self.rounds:
            self.rng.choice(sorted(self.rounds, key=id)).cancel()
            self.counts["cancellations"] += 1

    async def _cancel_other_task(self) -> None:
        """Cancel a task of the client or of the HTTP library, and sometimes all of them."""
        other_tasks = sorted(asyncio.all_tasks() - self.own_tasks - self.rounds, key=id)
        for task in other_tasks if self.rng.random() < 0.1 else other_tasks[:1]:
            task.cancel()
            self.counts["cancelled by others"] += 1

    async def _close_and_reopen(self) -> None:
        old, self.client = self.client, self._make_client()
        await old.aclose()
        self.counts["closed and reopened"] += 1

    async def _advance_clock(self) -> None:
        self.service.advance_clock(self.rng.choice([5, 500, 1000]))
        self.counts["clock jumps"] += 1

    async def _fork(self) -> None:
        """Fork while the workers run."""

        def work() -> None:
            forks.use_both_clients(self.blocking_client, self.client)

        await asyncio.to_thread(forks.run_in_child, forks.fork_with_hooks, work)
        self.counts["forks"] += 1

    async def _fork_without_hooks(self) -> None:
        """Fork without hooks while no other thread runs Python code.

        Otherwise the child may hang in CPython: a thread that releases the lock of the interpreter waits
        until the next thread has taken it, and that thread does not exist in the child.
        """
        self.may_start.clear()
        try:
            async with asyncio.timeout(ROUND_TIMEOUT):
                while self.rounds:
                    await asyncio.sleep(0.01)
            work = functools.partial(forks.use_blocking_client, self.blocking_client)
            await asyncio.to_thread(forks.run_in_child, forks.fork_without_hooks, work)
        finally:
            self.may_start.set()
        self.counts["forks without hooks"] += 1

    async def close(self) -> None:
        await self.client.aclose()
        await asyncio.to_thread(self.blocking_client.close)


def describe_tasks() -> str:
    """Return the stacks of all tasks of this loop as text, with the innermost frame last."""
    lines: list[str] = []
    for task in sorted(asyncio.all_tasks(), key=lambda task: task.get_name()):
        lines.append(f"{task.get_name()} {task._fut_waiter!r}")  # type: ignore[attr-defined]  # an attribute of the C class
        awaited: Any = task.get_coro()
        while awaited is not None:
            frame = next(
                (f for at in ("cr_frame", "gi_frame", "ag_frame") if (f := getattr(awaited, at, None))), None
            )
            location = (
                f"{frame.f_code.co_qualname} {frame.f_code.co_filename}:{frame.f_lineno}"
                if frame
                else repr(awaited)
            )
            lines.append(f"    {location}")
            awaited = next(
                (a for at in ("cr_await", "gi_yieldfrom", "ag_await") if (a := getattr(awaited, at, None))),
                None,
            )
    return "\n".join(lines)


def measure() -> tuple[int, int]:
    """Return the resident memory in bytes and the number of open files of this process."""
    gc.collect()
    return memory("VmRSS"), sum(1 for _ in Path("/proc/self/fd").iterdir())


async def steady_load(seconds: float, *, tls: bool) -> None:
    """Run the load, and measure memory and files after a third of the time and at the end."""
    with service(tls=tls) as emulator:
        warm_up = SteadyLoad(emulator)
        # The warm-up starts threads and loops that stay for the life of the process.
        await warm_up.run(min(5.0, seconds / 6))
        await warm_up.close()
        _, files_before = measure()
        state = SteadyLoad(emulator)
        state.errors, state.counts = warm_up.errors, warm_up.counts
        await state.run(seconds / 3)
        after_warm_up = measure()
        await state.run(seconds / 2)
        at_end = measure()
        await state.close()
        # Loops release some objects later.
        await asyncio.sleep(0.5)
        _, files_after = measure()
        emulator.end()
    report(state, emulator.counts, after_warm_up, at_end, files_before, files_after)
    counts = state.counts
    assert counts["retries"], "there were no retries, so this run proves nothing"
    assert counts["uploads"] > 5 * counts["failed uploads"], "more uploads failed than the faults explain"
    assert at_end[0] - after_warm_up[0] < MAX_GROWTH, "memory grows"
    # Connections to three hosts for both clients. The session for storage and CDN keeps idle connections to
    # both.
    assert at_end[1] <= files_before + 2 * (3 * CONNECTIONS + 4), (
        "more files are open than connections are allowed"
    )
    assert files_after <= files_before + 2, "some files stay open"


def report(
    state: SteadyLoad,
    service_counts: dict[str, int],
    after_warm_up: tuple[int, int],
    at_end: tuple[int, int],
    files_before: int,
    files_after: int,
) -> None:
    print(f"steady load: {dict(state.counts)}", flush=True)
    print(f"errors that callers met: {dict(state.errors)}", flush=True)
    print(f"service: {service_counts['requests']} requests, {service_counts['faults']} faults", flush=True)
    growth = (at_end[0] - after_warm_up[0]) / 2**20
    print(f"memory {after_warm_up[0] / 2**20:.1f} -> {at_end[0] / 2**20:.1f} MiB ({growth:+.1f})", flush=True)
    print(
        f"open files {files_before}, after the warm-up {after_warm_up[1]}, at the end {at_end[1]}, closed {files_after}",
        flush=True,
    )
