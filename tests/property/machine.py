"""Any operations in any order, with any faults, cancellations and jumps of the clock between them; after each step all must hold.

What must hold: an image that was acknowledged is there with its bytes; nothing is there twice where keys are honoured; a
file that was downloaded is whole, any other is not there; nobody holds a slot, a connection, a file or a task any more; what
failed says so with an error of ours, and nothing hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import anyio
import attrs
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from wire.cancellation_points import CancelledAt, Holdings, running_tasks, wait_until_released
from wire.pictures import png

from imgwire_async import AsyncImgwireClient, ImgwireError, RetryPolicy, Timeouts, UploadItem
from imgwire_async.emulator import Emulator

LONGEST = 40.0  # seconds that a step may take; a good one takes milliseconds, the worst some timeouts
SMALL_PIECE = 20_011
URL_LIFETIME = 100.0

CALLS = [
    ("POST", "/api/v1/images/standard_upload"), ("PUT", "/uploads/*"), ("GET", "/api/v1/images/*"), ("DELETE", "*"),
    ("POST", "/api/v1/images/bulk_delete"), ("GET", "*"), ("*", "*"),
]  # fmt: skip
FAULTS: list[dict[str, Any]] = [
    {"status": 500}, {"status": 503, "headers": {"Retry-After": "0.05"}}, {"status": 429}, {"status": 408}, {"status": 403}, {"status": 404},
    {"status": 409}, {"status": 200, "body": b"<html>"}, {"status": 302, "headers": {"Location": "/elsewhere"}}, {"status": 413, "early": True},
    {"reset": "before"}, {"reset": "after_commit"}, {"reset": 1}, {"reset": 30_000}, {"stall": 0.02}, {"stall": float("inf")},
    {"cut": 0}, {"cut": 40}, {"cut": 5, "stall": 0.02}, {"slow": 2_000_000},
]  # fmt: skip


@attrs.frozen
class Payload:
    """The bytes of one logical upload, alike nowhere, under a name of their own."""

    number: int
    data: bytes

    @property
    def purpose(self) -> str:
        return f"upload-{self.number}"


@attrs.define
class Table:
    """A source of one's own."""

    data: bytes
    size: int | None
    replayable: bool
    name: str | None = "row.png"

    async def open(self) -> AsyncIterator[bytes]:
        for piece in pieces(self.data):
            await asyncio.sleep(0)
            yield piece


def pieces(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), SMALL_PIECE):
        yield data[at : at + SMALL_PIECE]


async def later(data: bytes) -> AsyncIterator[bytes]:
    for piece in pieces(data):
        await asyncio.sleep(0)
        yield piece


@contextlib.asynccontextmanager
async def on_disk(data: bytes, folder: Path) -> AsyncIterator[Path]:
    path = folder / "picture"
    path.write_bytes(data)
    yield path


@contextlib.asynccontextmanager
async def opened(data: bytes, folder: Path) -> AsyncIterator[Any]:
    async with on_disk(b"before" + data, folder) as path:
        with path.open("rb") as file:
            file.seek(6)
            yield file
            assert not file.closed, "the caller's file was closed"


@contextlib.asynccontextmanager
async def opened_async(data: bytes, folder: Path) -> AsyncIterator[Any]:
    async with on_disk(data, folder) as path, await anyio.open_file(path, "rb") as file:
        yield file
        assert not file.wrapped.closed, "the caller's file was closed"


def just(make: Callable[[bytes], Any]) -> Callable[[bytes, Path], Any]:
    @contextlib.asynccontextmanager
    async def made(data: bytes, folder: Path) -> AsyncIterator[Any]:
        yield make(data)

    return made


KINDS: dict[str, Callable[[bytes, Path], Any]] = {
    "bytes": just(bytes), "memoryview": just(memoryview), "BytesIO": just(io.BytesIO), "path": on_disk, "file": opened,
    "async file": opened_async, "generator": just(pieces), "async generator": just(later),
    "source": just(lambda data: Table(data, len(data), replayable=True)), "source, once": just(lambda data: Table(data, len(data), replayable=False)),
    "source of unknown size": just(lambda data: Table(data, None, replayable=True)),
}  # fmt: skip

kinds = st.sampled_from(sorted(KINDS))
sizes = st.sampled_from([0, 300, 50_000, 600_000])
# At which suspension a cancellation strikes; most steps go undisturbed.
strikes = st.none() | st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 60])
picks = st.integers(0, 10_000)
# What goes wrong with the two requests of an upload, beside what waits for any request.
troubles = st.none() | st.tuples(st.sampled_from(CALLS[:2]), st.sampled_from(FAULTS))


class Cancelled:
    """What came of a step that was cancelled."""


class Failed:
    """What came of a step that ended with an error of ours."""


class Night(RuleBasedStateMachine):
    """A client, an emulator, and what is known about what must be there.

    `tls`: over https. `rough`: others cancel tasks of the client's, and the client is closed and made anew.
    """

    tls: ClassVar[bool] = False
    rough: ClassVar[bool] = False
    tally: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="night-"))
        self.downloads = self.folder / "downloads"
        self.downloads.mkdir()
        self.uploads = 0
        self.payloads: dict[str, Payload] = {}  # by purpose
        self.acknowledged: dict[str, Payload] = {}  # by image id; there for sure
        self.ids: list[str] = []  # of all that ever was
        self.saved: dict[Path, bytes] = {}
        self.client: Any = None
        self.foreign = False  # the next strike hits other tasks than the step's
        self.waiting: asyncio.Task[Any] | None = None

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    @initialize(
        idempotency=st.sampled_from(["same", "same", "same", "same", "conflict", "same_dead_url", "ignored"]),
        second_put=st.sampled_from(["refused", "accepted"]),
        expired_status=st.sampled_from([403, 400]),
        null_sizes=st.booleans(),
        polls=st.sampled_from([0, 1]),
        connections=st.sampled_from([1, 2, 5]),
        retries=st.sampled_from([3, 3, 1, 0]),
    )
    def begin(
        self,
        idempotency: Any,
        second_put: Any,
        expired_status: Any,
        null_sizes: bool,
        polls: int,
        connections: int,
        retries: int,
    ) -> None:
        self.idempotency = idempotency
        self.emulator = Emulator(
            idempotency=idempotency, second_put=second_put, expired_status=expired_status, null_sizes_while_pending=null_sizes,
            ready_polls=polls, url_lifetime=URL_LIFETIME, tls=self.tls,
        )  # fmt: skip
        self.run(self.emulator.__aenter__())
        self.make_client = functools.partial(
            AsyncImgwireClient,
            self.emulator.api_key,
            base_url=self.emulator.base_url,
            ssl=self.emulator.ssl_context,
            max_connections=connections,
            timeout=Timeouts(connect=5, attempt=0.4, stall=0.4),
            retries=RetryPolicy(max_retries=retries, backoff=0.001, max_backoff=0.01, max_rate_wait=1.0),
        )
        self.client = self.make_client()
        self.run(self._note())

    async def _note(self) -> None:
        self.before = Holdings.of(self.client, self.folder)

    # --- one step -----------------------------------------------------------------------------------------------------

    async def step(self, work: Awaitable[Any], strike: int | None) -> Any:
        """What comes of `work`: its result, `Failed` or `Cancelled`."""
        foreign, self.foreign = self.foreign, False
        stepped = CancelledAt(
            work, strike or 0, lambda awaited: self.cancel_others(task) if foreign else task.cancel()
        )
        self.tally["steps"] += 1

        async def run() -> Any:
            return await stepped

        self.waiting = asyncio.current_task()
        task = asyncio.ensure_future(run())
        await asyncio.wait({task}, timeout=LONGEST)
        if not task.done():
            stack = io.StringIO()
            task.print_stack(file=stack)
            raise AssertionError(f"it hangs: {stack.getvalue()}")
        struck = strike is not None and stepped.was_reached
        if struck:
            self.tally["cancelled by others" if foreign else "cancellations"] += 1
        if struck and foreign:
            return self.after_others(task)
        if task.cancelled():
            assert struck, "cancelled by nobody"
            return Cancelled
        error = task.exception()
        assert not struck, f"a cancellation was swallowed: {error or task.result()!r}"
        if error is None:
            return task.result()
        if not isinstance(error, ImgwireError):
            raise error
        str(error)
        return Failed

    def cancel_others(self, task: asyncio.Task[Any]) -> None:
        """What a program does at its end, too early: cancel what runs, but for the step itself and the service."""
        for other in running_tasks() - {task, self.waiting}:
            other.cancel()

    def after_others(self, task: asyncio.Task[Any]) -> Any:
        """What comes of a step below which tasks were cancelled: its result, an error of ours, or a cancellation."""
        error = None if task.cancelled() else task.exception()
        if task.cancelled() or isinstance(error, asyncio.CancelledError):
            return Cancelled
        if error is None:
            return task.result()
        if not isinstance(error, ImgwireError | RuntimeError):
            raise error
        return Failed

    def payload(self, size: int) -> Payload:
        self.uploads += 1
        made = Payload(self.uploads, png(self.uploads, 1, padding=size))
        self.payloads[made.purpose] = made
        return made

    def acknowledge(self, image: Any, payload: Payload) -> None:
        assert image.purpose == payload.purpose
        self.acknowledged[image.id] = payload
        self.ids.append(image.id)

    def some(self, pick: int, count: int = 1) -> list[str]:
        return [self.ids[(pick + n) % len(self.ids)] for n in range(min(count, len(self.ids)))]

    # --- trouble ------------------------------------------------------------------------------------------------------

    @rule(
        call=st.sampled_from(CALLS),
        fault=st.sampled_from(FAULTS),
        times=st.sampled_from([1, 1, 2, 9]),
        after=st.sampled_from([0, 0, 1, 3]),
    )
    def something_will_go_wrong(
        self, call: tuple[str, str], fault: dict[str, Any], times: int, after: int
    ) -> None:
        if "stall" in fault or fault.get("status") == 429:
            times = 1  # each costs real time
        if fault.get("status") == 200 and call[0] != "GET":
            return  # a service that says it did what it did not is beyond any client
        self.emulator.faults.add(*call, times=times, after=after, **fault)

    def trouble(self, planned: tuple[tuple[str, str], dict[str, Any]] | None) -> None:
        if planned is not None and planned[1].get("status") != 200:
            (method, path), fault = planned
            self.emulator.faults.add(method, path, **fault)

    @rule()
    def all_is_well_again(self) -> None:
        self.emulator.faults.clear()

    @rule(seconds=st.sampled_from([1.0, URL_LIFETIME / 2, URL_LIFETIME * 2]))
    def time_jumps(self, seconds: float) -> None:
        self.emulator.clock.advance(seconds)

    @rule()
    def others_will_cancel(self) -> None:
        self.foreign = self.rough

    @rule()
    def it_is_closed_and_made_anew(self) -> None:
        if not self.rough:
            return
        self.tally["closed and reopened"] += 1
        self.run(self.client.aclose())
        self.client = self.make_client()

    # --- operations ---------------------------------------------------------------------------------------------------

    @rule(
        kind=kinds,
        size=sizes,
        strike=strikes,
        wait=st.sampled_from([False, False, 1.0]),
        hashed=st.booleans(),
        late=st.booleans(),
        trouble=troubles,
    )
    def upload(
        self, kind: str, size: int, strike: int | None, wait: Any, hashed: bool, late: bool, trouble: Any
    ) -> None:
        self.trouble(trouble)
        payload = self.payload(size)

        def created(image: Any) -> None:
            self.ids.append(image.id)
            if (
                late and payload.purpose not in jumped
            ):  # once: the URL is too old before its first byte leaves
                jumped.add(payload.purpose)
                self.emulator.clock.advance(URL_LIFETIME + 1)

        async def work() -> Any:
            async with KINDS[kind](payload.data, self.folder) as file:
                return await self.client.images.upload(
                    file, wait=wait, purpose=payload.purpose, hash_sha256=hashed, on_created=created
                )

        jumped: set[str] = set()
        outcome = self.run(self.step(work(), strike))
        if outcome not in (Failed, Cancelled):
            self.acknowledge(outcome, payload)

    @rule(
        what=st.lists(
            st.tuples(kinds.filter(lambda kind: "file" not in kind), sizes), min_size=1, max_size=6
        ),
        concurrency=st.sampled_from([1, 2, 6]),
        leave_after=st.sampled_from([None, None, 0, 1, 2]),
        strike=strikes,
        trouble=troubles,
    )
    def upload_many(
        self,
        what: list[tuple[str, int]],
        concurrency: int,
        leave_after: int | None,
        strike: int | None,
        trouble: Any,
    ) -> None:
        self.trouble(trouble)
        payloads = [self.payload(size) for _, size in what]

        async def work() -> None:
            async with contextlib.AsyncExitStack() as stack:
                items = []
                for (kind, _), payload in zip(what, payloads, strict=True):
                    folder = self.folder / payload.purpose
                    folder.mkdir()
                    stack.callback(shutil.rmtree, folder)
                    items.append(
                        UploadItem(
                            await stack.enter_async_context(KINDS[kind](payload.data, folder)),
                            purpose=payload.purpose,
                        )
                    )
                results = await stack.enter_async_context(
                    contextlib.aclosing(self.client.images.upload_many(items, concurrency=concurrency))
                )
                seen: set[int] = set()
                async for result in results:
                    assert result.index not in seen
                    seen.add(result.index)
                    if result.error is None:
                        self.acknowledge(result.image, payloads[result.index])
                    elif not isinstance(result.error, ImgwireError):
                        raise result.error
                    if leave_after is not None and len(seen) > leave_after:
                        return
                assert len(seen) == len(items), "files without a result"

        self.run(self.step(work(), strike))

    @rule(strike=strikes, trouble=troubles)
    def create(self, strike: int | None, trouble: Any) -> None:
        self.trouble(trouble)
        payload = self.payload(0)
        outcome = self.run(
            self.step(self.client.images.create(file_name="a.png", purpose=payload.purpose), strike)
        )
        if outcome not in (Failed, Cancelled):
            self.ids.append(outcome.image.id)

    @rule(pick=picks, strike=strikes)
    def retrieve(self, pick: int, strike: int | None) -> None:
        if not self.ids:
            return  # no precondition: which rules there are must not depend on what a machine was quick enough for
        (image_id,) = self.some(pick)
        outcome = self.run(self.step(self.client.images.retrieve(image_id), strike))
        if outcome not in (Failed, Cancelled):
            assert outcome.id == image_id

    @rule(pick=picks, strike=strikes)
    def wait(self, pick: int, strike: int | None) -> None:
        if not self.ids:
            return
        (image_id,) = self.some(pick)
        outcome = self.run(self.step(self.client.images.wait_until_ready(image_id, timeout=0.5), strike))
        if outcome not in (Failed, Cancelled):
            assert outcome.status == "READY"

    @rule(
        limit=st.sampled_from([1, 2, 100]),
        prefetch=st.sampled_from([1, 3]),
        strike=strikes,
        leave=st.booleans(),
    )
    def list_all(self, limit: int, prefetch: int, strike: int | None, leave: bool) -> None:
        async def work() -> list[str]:
            found: list[str] = []
            async with contextlib.aclosing(
                self.client.images.list_all(limit=limit, prefetch=prefetch)
            ) as images:
                async for image in images:
                    found.append(image.id)
                    if leave:
                        return []
            return found

        there = set(self.emulator.images)
        outcome = self.run(self.step(work(), strike))
        if outcome not in (Failed, Cancelled) and not leave:
            assert sorted(outcome) == sorted(there)

    @rule(pick=picks, strike=strikes)
    def delete(self, pick: int, strike: int | None) -> None:
        if not self.ids:
            return
        (image_id,) = self.some(pick)
        self.acknowledged.pop(image_id, None)  # from now on it may be gone
        outcome = self.run(self.step(self.client.images.delete(image_id), strike))
        if outcome not in (Failed, Cancelled):
            assert image_id not in self.emulator.images

    @rule(pick=picks, count=st.integers(1, 5), chunk_size=st.sampled_from([1, 2, 100]), strike=strikes)
    def bulk_delete(self, pick: int, count: int, chunk_size: int, strike: int | None) -> None:
        if not self.ids:
            return
        ids = [
            image_id for image_id in dict.fromkeys(self.some(pick, count)) if image_id in self.emulator.images
        ]
        for image_id in ids:
            self.acknowledged.pop(image_id, None)
        outcome = self.run(self.step(self.client.images.bulk_delete(ids, chunk_size=chunk_size), strike))
        if outcome not in (Failed, Cancelled):
            assert sorted(
                [*outcome.deleted, *(image_id for image_id, _ in outcome.failed), *outcome.unknown]
            ) == sorted(ids)
            assert not set(outcome.deleted) & set(self.emulator.images)

    @rule(pick=picks, strike=strikes, kept=st.booleans())
    def download(self, pick: int, strike: int | None, kept: bool) -> None:
        if not self.acknowledged:
            return
        image_id = sorted(self.acknowledged)[pick % len(self.acknowledged)]
        data = self.acknowledged[image_id].data
        if not kept:
            outcome = self.run(self.step(self.client.images.read(image_id), strike))
            assert outcome in (Failed, Cancelled, data)
            return
        path = self.downloads / f"{image_id}-{len(self.saved)}.png"
        outcome = self.run(self.step(self.client.images.download(image_id, path), strike))
        assert outcome is not Failed or not path.exists()
        if path.exists():  # a cancellation may come when the file just got its name; then it is whole
            self.saved[path] = data
            self.before = attrs.evolve(self.before, folders=self.before.folders | {str(path)})

    # --- what must hold -----------------------------------------------------------------------------------------------

    @invariant()
    def what_was_acknowledged_is_there_with_its_bytes(self) -> None:
        there = self.emulator.images
        for image_id, payload in self.acknowledged.items():
            stored = there[image_id].stored
            assert stored is not None
            assert stored.data == payload.data

    @invariant()
    def nothing_is_there_twice_where_keys_are_honoured(self) -> None:
        if self.idempotency == "ignored":
            return
        most = (
            1 if self.idempotency == "same" else 2
        )  # else a second record takes the place of one without bytes
        records = Counter(image.purpose for image in self.emulator.images.values())
        assert {purpose: count for purpose, count in records.items() if count > most} == {}

    @invariant()
    def what_was_downloaded_is_whole_and_nothing_else_lies_there(self) -> None:
        assert {path: path.read_bytes() for path in self.downloads.iterdir()} == self.saved

    @invariant()
    def nobody_holds_anything_any_more(self) -> None:
        (self.folder / "picture").unlink(missing_ok=True)
        self.run(wait_until_released(self.client, self.before, self.folder))

    def teardown(self) -> None:
        try:
            if self.client is not None:
                self.run(self._end())
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _end(self) -> None:
        """After all of it the next calls go as if nothing had been."""
        self.emulator.faults.clear()
        try:
            async with asyncio.timeout(LONGEST):
                image = await self.client.with_options(timeout=Timeouts(), retries=None).images.upload(
                    png(), wait=True
                )
                assert image.id in {
                    each.id async for each in self.client.with_options(timeout=Timeouts()).images.list_all()
                }
        finally:
            await self.client.aclose()
            await self.emulator.__aexit__(None, None, None)
