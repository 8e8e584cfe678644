"""Work that is struck at a suspension of choice, and a ledger of everything that it may hold meanwhile.

A coroutine is driven by hand inside its task: what it yields goes on to the loop, and at its n-th suspension a strike falls.
So a test walks through every point at which a cancellation can reach an operation, without luck and without touching what
it tests.
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

# Where the tasks of the emulator, which runs on the same loop, come from.
_SERVING = ("web_protocol.py", "emulator/tls.py")


class CancelledAt(Awaitable[T], Generic[T]):
    """`work`, with `strike` at its `at`-th suspension, counted from 1; it is given what the work then waits for."""

    def __init__(self, work: Awaitable[T], at: int, strike: Callable[[Any], object]) -> None:
        self._work = work
        self._at = at
        self._strike = strike
        self.suspensions: int = 0

    @property
    def struck(self) -> bool:
        """Whether it came that far."""
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
                self._strike(awaited)
            raised = None
            try:
                yield awaited
            except BaseException as error:
                raised = error


# --- ways to be cancelled ---------------------------------------------------------------------------------------------
#
# Each runs `work`, cancels it at suspension `at`, holds that it was told of as that way promises, and returns whether the
# work came that far.

Way = Callable[[Awaitable[object], int], Awaitable[bool]]


async def cancelled_at_once(work: Awaitable[object], at: int) -> bool:
    """`task.cancel()` while it waits."""
    return await _cancelled(work, at, lambda task, awaited: task.cancel())


async def cancelled_with_its_result_there(work: Awaitable[object], at: int) -> bool:
    """`task.cancel()` after what it waits for has come, and before it has run again: whoever holds the result now?"""

    def strike(task: asyncio.Task[object], awaited: Any) -> None:
        if awaited is None:
            asyncio.get_running_loop().call_soon(task.cancel)
        else:
            awaited.add_done_callback(lambda _: task.cancel())

    return await _cancelled(work, at, strike)


async def _cancelled(
    work: Awaitable[object], at: int, strike: Callable[[asyncio.Task[object], Any], object]
) -> bool:
    task: asyncio.Task[object]
    stepped = CancelledAt(work, at, lambda awaited: strike(task, awaited))

    async def run() -> object:
        return await stepped

    task = asyncio.ensure_future(run())
    await asyncio.wait({task}, timeout=20)
    assert task.done(), "the cancelled work hangs"
    assert task.cancelled() is stepped.struck, f"ended with {task!r}"
    if not stepped.struck:
        task.result()
    return stepped.struck


async def left_by_a_scope(work: Awaitable[object], at: int) -> bool:
    """`anyio.CancelScope.cancel()`, which cancels in every round of the loop until the scope is left, or the work done."""
    ended = False
    with anyio.fail_after(20), anyio.CancelScope() as scope:
        stepped = CancelledAt(work, at, lambda awaited: scope.cancel())
        await stepped
        ended = True
    assert ended or stepped.struck
    return stepped.struck


async def cancelled_again_and_again(work: Awaitable[object], at: int) -> bool:
    """`task.cancel()` there and at each suspension after it: somebody does not want to wait for what has to be tidied up."""

    def run(task: asyncio.Task[object]) -> None:
        if not task.done():
            task.cancel()
            asyncio.get_running_loop().call_soon(run, task)

    return await _cancelled(work, at, lambda task, awaited: run(task))


async def out_of_time(work: Awaitable[object], at: int) -> bool:
    """`asyncio.timeout` that passes."""
    async with asyncio.timeout(20):
        try:
            async with asyncio.timeout(None) as limit:
                stepped = CancelledAt(
                    work, at, lambda awaited: limit.reschedule(asyncio.get_running_loop().time())
                )
                await stepped
        except TimeoutError as error:
            assert type(error) is TimeoutError  # noqa: PT017
    assert limit.expired() is stepped.struck
    return stepped.struck


async def beside_one_that_fails(work: Awaitable[object], at: int) -> bool:
    """A task of the caller's `TaskGroup` fails; of its errors none is ours."""
    wrong = asyncio.Event()
    stepped = CancelledAt(work, at, lambda awaited: wrong.set())

    async def fail() -> None:
        await wrong.wait()
        raise LookupError("the other one")

    async def run() -> None:
        await stepped
        wrong.set()

    seen: list[str] = []
    try:
        async with asyncio.timeout(20), asyncio.TaskGroup() as group:
            group.create_task(run())
            group.create_task(fail())
    except* LookupError as failed:
        seen = list(map(str, failed.exceptions))
    assert seen == ["the other one"]
    return stepped.struck


# --- what is held -----------------------------------------------------------------------------------------------------


@attrs.frozen
class Holdings:
    """What a client, and this process for it, hold at one moment. Idle connections in a pool are nobody's."""

    calls: int
    transfers: int
    waiting: int
    connections: int
    questions: int
    reading: frozenset[int]
    files: Counter[str]
    folders: frozenset[str]
    tasks: frozenset[str]

    @classmethod
    def of(cls, client: AsyncImgwireClient, *folders: Path) -> Holdings:
        """What is held now; `folders` are those in which files may be left."""
        here = client._shared.sessions._by_loop.get(asyncio.get_running_loop())
        slots = [] if here is None else [here.slots.calls, here.slots.puts, here.slots.gets]
        connectors = [] if here is None else [here.api.connector, here.uploads.connector]
        in_use = [slot._value for slot in slots] or [0, 0, 0]
        return cls(
            calls=0 if here is None else here.slots.call_limit - in_use[0],
            transfers=0 if here is None else 2 * here.slots.transfer_limit - in_use[1] - in_use[2],
            waiting=sum(len(slot._waiters or ()) for slot in slots),
            connections=sum(len(connector._acquired) for connector in connectors if connector is not None),
            questions=len(client._shared.key_provider._pending),
            reading=frozenset(prepare._being_read),
            files=open_files(),
            folders=frozenset(str(path) for folder in folders for path in folder.rglob("*")),
            tasks=frozenset(map(repr, running_tasks())),
        )


def open_files() -> Counter[str]:
    """How often this process has each file open; sockets and the loops' own handles don't count."""
    found: Counter[str] = Counter()
    for each in Path("/proc/self/fd").iterdir():
        try:
            target = str(each.readlink())
        except FileNotFoundError:  # the handle by which the folder itself was read
            continue
        if not target.startswith(("socket:", "anon_inode:", "/proc/")):
            found[target] += 1
    return found


def sockets() -> int:
    """How many sockets this process has open."""
    count = 0
    for each in Path("/proc/self/fd").iterdir():
        try:
            count += str(each.readlink()).startswith("socket:")
        except FileNotFoundError:
            continue
    return count


def running_tasks() -> set[asyncio.Task[Any]]:
    """The loop's other tasks, those of the emulator's connections left out."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return {task for task in others if not any(place in repr(task) for place in _SERVING)}  # type: ignore[arg-type]


async def holdings_at_rest(client: AsyncImgwireClient, *folders: Path) -> Holdings:
    """What is held once no task runs: a generator that was dropped is closed by one of the loop's own."""
    for pause in (0, 0, 0, *[0.002] * 2500):
        if not running_tasks():
            break
        await asyncio.sleep(pause)
    return Holdings.of(client, *folders)


async def wait_until_released(client: AsyncImgwireClient, before: Holdings, *folders: Path) -> None:
    """Return once no more is held than before: at once, or after what needs a moment (a thread's work, a closing socket)."""
    for pause in (0, 0, 0, *[0.002] * 2500):
        now = Holdings.of(client, *folders)
        if now == before:
            return
        await asyncio.sleep(pause)
    left = {
        field: (value, was)
        for (field, value), was in zip(attrs.asdict(now).items(), attrs.astuple(before), strict=True)
        if value != was
    }
    raise AssertionError(f"still held (now, before): {left}")
