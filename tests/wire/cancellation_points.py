"""Cancel work at its n-th suspension, and compare the resources that a client holds before and after.

A wrapper steps a coroutine inside its task, and passes everything that it yields to the event loop. At the
n-th suspension it calls a function that cancels the task. So a test can cancel an operation at every possible
point, deterministically, and without changes to the tested code.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from pathlib import Path
from typing import Any, Generic, TypeVar

import anyio
import attrs

from imgwire_async import AsyncImgwireClient
from imgwire_async.uploads import prepare

T = TypeVar("T")

# The modules of the emulator's tasks. The emulator runs on the same event loop.
_EMULATOR_MODULES = ("web_protocol.py", "emulator/tls.py")


class CancelledAt(Awaitable[T], Generic[T]):
    """Runs `work`, and calls `cancel` at its suspension number `at`, counted from 1.

    `cancel` is called with the object that the work waits for.
    """

    def __init__(self, work: Awaitable[T], at: int, cancel: Callable[[Any], object]) -> None:
        self._work = work
        self._at = at
        self._cancel = cancel
        self.suspensions: int = 0

    @property
    def was_reached(self) -> bool:
        """Whether the work had that many suspensions."""
        return self.suspensions >= self._at

    def __await__(self) -> Generator[Any, Any, T]:
        steps = self._work.__await__()
        raised: BaseException | None = None
        while True:
            try:
                awaited = next(steps) if raised is None else steps.throw(raised)
            except StopIteration as done:
                return done.value
            self.suspensions += 1
            if self.suspensions == self._at:
                self._cancel(awaited)
            raised = None
            try:
                yield awaited
            except BaseException as error:
                raised = error


# --- ways to be cancelled -----------------------------------------------------------------------------------
#
# Each function runs `work`, cancels it at suspension `at`, asserts that the cancellation is reported
# correctly, and returns whether the work had that many suspensions.

CancelMethod = Callable[[Awaitable[object], int], Awaitable[bool]]


async def cancelled_at_once(work: Awaitable[object], at: int) -> bool:
    """Call `task.cancel()` while the task waits."""
    return await _cancelled(work, at, lambda task, awaited: task.cancel())


async def cancelled_after_its_result(work: Awaitable[object], at: int) -> bool:
    """Call `task.cancel()` after the awaited result has arrived, and before the task runs again."""

    def cancel(task: asyncio.Task[object], awaited: Any) -> None:
        if awaited is None:
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            awaited.add_done_callback(lambda _: task.cancel())

    return await _cancelled(work, at, cancel)


async def _cancelled(
    work: Awaitable[object], at: int, cancel: Callable[[asyncio.Task[object], Any], object]
) -> bool:
    task: asyncio.Task[object]
    wrapped = CancelledAt(work, at, lambda awaited: cancel(task, awaited))

    async def run() -> object:
        return await wrapped

    task = asyncio.ensure_future(run())
    await asyncio.wait({task}, timeout=20)
    assert task.done(), "the cancelled work hangs"
    assert task.cancelled() is wrapped.was_reached, f"ended with {task!r}"
    if not wrapped.was_reached:
        task.result()
    return wrapped.was_reached


async def cancelled_by_scope(work: Awaitable[object], at: int) -> bool:
    """Cancel an `anyio.CancelScope`, which cancels in every loop iteration until the scope is left."""
    ended = False
    with anyio.fail_after(20), anyio.CancelScope() as scope:
        wrapped = CancelledAt(work, at, lambda awaited: scope.cancel())
        await wrapped
        ended = True
    assert ended or wrapped.was_reached
    return wrapped.was_reached


async def cancelled_repeatedly(work: Awaitable[object], at: int) -> bool:
    """Call `task.cancel()` at that suspension and at every later one, also during the cleanup."""

    def run(task: asyncio.Task[object]) -> None:
        if not task.done():
            task.cancel()
            asyncio.get_running_loop().call_soon(run, task)

    return await _cancelled(work, at, lambda task, awaited: run(task))


async def cancelled_by_timeout(work: Awaitable[object], at: int) -> bool:
    """Let an `asyncio.timeout` expire."""
    async with asyncio.timeout(20):
        try:
            async with asyncio.timeout(None) as limit:
                wrapped = CancelledAt(
                    work, at, lambda awaited: limit.reschedule(asyncio.get_running_loop().time())
                )
                await wrapped
        except TimeoutError as error:
            assert type(error) is TimeoutError  # noqa: PT017
    assert limit.expired() is wrapped.was_reached
    return wrapped.was_reached


async def cancelled_by_task_group(work: Awaitable[object], at: int) -> bool:
    """Let another task of the caller's `TaskGroup` fail. Only the error of that task may be raised."""
    must_fail = asyncio.Event()
    wrapped = CancelledAt(work, at, lambda awaited: must_fail.set())

    async def fail() -> None:
        await must_fail.wait()
        raise LookupError("the other task")

    async def run() -> None:
        await wrapped
        must_fail.set()

    messages: list[str] = []
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(run())
            group.create_task(fail())
    except* LookupError as failed:
        messages = list(map(str, failed.exceptions))
    assert messages == ["the other task"]
    return wrapped.was_reached


# --- the resources of a client ------------------------------------------------------------------------------


@attrs.frozen
class Holdings:
    """The resources that a client and this process hold at one moment.

    Idle connections in a pool do not count.
    """

    calls: int
    transfers: int
    waiting: int
    connections: int
    key_fetches: int
    reading: frozenset[int]
    files: Counter[str]
    folders: frozenset[str]
    tasks: frozenset[str]

    @classmethod
    def of(cls, client: AsyncImgwireClient, *folders: Path) -> Holdings:
        """Return the current resources. `folders` are the folders that may hold leftover files."""
        sessions = client._shared.sessions._by_loop.get(asyncio.get_running_loop())
        slots = [] if sessions is None else [sessions.slots.calls, sessions.slots.puts, sessions.slots.gets]
        connectors = [] if sessions is None else [sessions.api.connector, sessions.uploads.connector]
        free = [slot._value for slot in slots] or [0, 0, 0]
        return cls(
            calls=0 if sessions is None else sessions.slots.call_limit - free[0],
            transfers=0 if sessions is None else 2 * sessions.slots.transfer_limit - free[1] - free[2],
            waiting=sum(len(slot._waiters or ()) for slot in slots),
            connections=sum(len(connector._acquired) for connector in connectors if connector is not None),
            key_fetches=len(client._shared.key_provider._pending),
            reading=frozenset(prepare._being_read),
            files=open_files(),
            folders=frozenset(str(path) for folder in folders for path in folder.rglob("*")),
            tasks=frozenset(map(repr, running_tasks())),
        )


def open_files() -> Counter[str]:
    """Return how often this process has opened each file.

    Sockets and the handles of event loops do not count.
    """
    files: Counter[str] = Counter()
    for handle in Path("/proc/self/fd").iterdir():
        try:
            target = str(handle.readlink())
        except FileNotFoundError:
            # The handle with which the folder itself was read.
            continue
        if not target.startswith(("socket:", "anon_inode:", "/proc/")):
            files[target] += 1
    return files


def sockets() -> int:
    """Return the number of open sockets of this process."""
    count = 0
    for handle in Path("/proc/self/fd").iterdir():
        try:
            count += str(handle.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return count


def running_tasks() -> set[asyncio.Task[Any]]:
    """Return the other tasks of the event loop, without those of the emulator."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return {task for task in others if not any(module in repr(task) for module in _EMULATOR_MODULES)}  # type: ignore[arg-type]


async def holdings_at_rest(client: AsyncImgwireClient, *folders: Path) -> Holdings:
    """Wait until no task runs, and return the resources.

    The loop may still run tasks that close dropped generators.
    """
    for delay in (0, 0, 0, *[0.002] * 2500):
        if not running_tasks():
            break
        await asyncio.sleep(delay)
    return Holdings.of(client, *folders)


async def wait_until_released(client: AsyncImgwireClient, before: Holdings, *folders: Path) -> None:
    """Wait until the resources are the same as `before`.

    Some need time, such as a thread or a closing socket.
    """
    for delay in (0, 0, 0, *[0.002] * 2500):
        now = Holdings.of(client, *folders)
        if now == before:
            return
        await asyncio.sleep(delay)
    leftovers = {
        field: (value, was)
        for (field, value), was in zip(attrs.asdict(now).items(), attrs.astuple(before), strict=True)
        if value != was
    }
    raise AssertionError(f"still held (now, before): {leftovers}")
