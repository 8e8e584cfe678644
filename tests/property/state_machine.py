"""A state machine of hypothesis: random operations with random faults, cancellations and clock jumps.

After each step these conditions have to hold. An image whose upload succeeded exists with its bytes. No
image exists twice if the service supports idempotency keys. A downloaded file is complete, and no other
files exist. Slots, connections, files and tasks are released. An operation that fails raises one of our
errors, and none hangs.
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

# Seconds. A normal step takes milliseconds, and a slow one a few timeouts.
STEP_TIMEOUT = 40.0
CHUNK = 20_011
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
    """The unique bytes of one upload. `purpose` marks the image records of this upload."""

    number: int
    data: bytes

    @property
    def purpose(self) -> str:
        return f"upload-{self.number}"


@attrs.define
class CustomSource:
    """An `UploadSource` of the caller."""

    data: bytes
    size: int | None
    replayable: bool
    name: str | None = "row.png"

    async def open(self) -> AsyncIterator[bytes]:
        for chunk in chunks(self.data):
            await asyncio.sleep(0)
            yield chunk


def chunks(data: bytes) -> Iterator[bytes]:
    for at in range(0, len(data), CHUNK):
        yield data[at : at + CHUNK]


async def async_chunks(data: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks(data):
        await asyncio.sleep(0)
        yield chunk


@contextlib.asynccontextmanager
async def on_disk(data: bytes, folder: Path) -> AsyncIterator[Path]:
    path = folder / "picture"
    path.write_bytes(data)
    yield path


@contextlib.asynccontextmanager
async def open_file(data: bytes, folder: Path) -> AsyncIterator[Any]:
    async with on_disk(b"before" + data, folder) as path:
        with path.open("rb") as file:
            file.seek(6)
            yield file
            assert not file.closed, "the client closed a file of the caller"


@contextlib.asynccontextmanager
async def open_async_file(data: bytes, folder: Path) -> AsyncIterator[Any]:
    async with on_disk(data, folder) as path, await anyio.open_file(path, "rb") as file:
        yield file
        assert not file.wrapped.closed, "the client closed a file of the caller"


def without_file(make: Callable[[bytes], Any]) -> Callable[[bytes, Path], Any]:
    @contextlib.asynccontextmanager
    async def open_source(data: bytes, folder: Path) -> AsyncIterator[Any]:
        yield make(data)

    return open_source


SOURCES: dict[str, Callable[[bytes, Path], Any]] = {
    "bytes": without_file(bytes), "memoryview": without_file(memoryview), "BytesIO": without_file(io.BytesIO), "path": on_disk, "file": open_file,
    "async file": open_async_file, "generator": without_file(chunks), "async generator": without_file(async_chunks),
    "source": without_file(lambda data: CustomSource(data, len(data), replayable=True)), "source, once": without_file(lambda data: CustomSource(data, len(data), replayable=False)),
    "source of unknown size": without_file(lambda data: CustomSource(data, None, replayable=True)),
}  # fmt: skip

source_kinds = st.sampled_from(sorted(SOURCES))
sizes = st.sampled_from([0, 300, 50_000, 600_000])
# The number of the suspension at which a step is cancelled. Most steps are not cancelled.
cancel_points = st.none() | st.sampled_from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 60])
indices = st.integers(0, 10_000)
# A fault for one of the two requests of an upload, in addition to faults for all requests.
upload_faults = st.none() | st.tuples(st.sampled_from(CALLS[:2]), st.sampled_from(FAULTS))


class Cancelled:
    """The outcome of a step that was cancelled."""


class Failed:
    """The outcome of a step that raised one of our errors."""


class ClientStateMachine(RuleBasedStateMachine):
    """A client, an emulator, and the images and files that have to exist.

    With `tls` the client uses https. With `is_rough` other code cancels tasks of the client, and the client
    is closed and created again.
    """

    tls: ClassVar[bool] = False
    is_rough: ClassVar[bool] = False
    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp(prefix="imgwire-"))
        self.downloads = self.folder / "downloads"
        self.downloads.mkdir()
        self.uploads = 0
        # By purpose.
        self.payloads: dict[str, Payload] = {}
        # By the ids of images that certainly exist.
        self.acknowledged: dict[str, Payload] = {}
        # The ids of all images that ever existed.
        self.ids: list[str] = []
        self.saved: dict[Path, bytes] = {}
        self.client: Any = None
        # Whether the next cancellation hits other tasks than that of the step.
        self.next_cancels_others = False
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
    def start(
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
        self.run(self._record_holdings())

    async def _record_holdings(self) -> None:
        self.holdings = Holdings.of(self.client, self.folder)

    # --- running a step -----------------------------------------------------------------------------------

    async def run_step(self, work: Awaitable[Any], cancel_point: int | None) -> Any:
        """Return the outcome of `work`: its result, `Failed` or `Cancelled`."""
        next_cancels_others, self.next_cancels_others = self.next_cancels_others, False
        awaitable = CancelledAt(
            work,
            cancel_point or 0,
            lambda awaited: self.cancel_others(task) if next_cancels_others else task.cancel(),
        )
        self.counts["steps"] += 1

        async def run() -> Any:
            return await awaitable

        self.waiting = asyncio.current_task()
        task = asyncio.ensure_future(run())
        await asyncio.wait({task}, timeout=STEP_TIMEOUT)
        if not task.done():
            stack = io.StringIO()
            task.print_stack(file=stack)
            raise AssertionError(f"the step hangs: {stack.getvalue()}")
        was_cancelled = cancel_point is not None and awaitable.was_reached
        if was_cancelled:
            self.counts["cancelled by others" if next_cancels_others else "cancellations"] += 1
        if was_cancelled and next_cancels_others:
            return self.outcome_with_cancelled_tasks(task)
        if task.cancelled():
            assert was_cancelled, "cancelled without a reason"
            return Cancelled
        error = task.exception()
        assert not was_cancelled, f"a cancellation was swallowed: {error or task.result()!r}"
        if error is None:
            return task.result()
        if not isinstance(error, ImgwireError):
            raise error
        str(error)
        return Failed

    def cancel_others(self, task: asyncio.Task[Any]) -> None:
        """Cancel all tasks except the step and the emulator, as programs do when they end."""
        for other in running_tasks() - {task, self.waiting}:
            other.cancel()

    def outcome_with_cancelled_tasks(self, task: asyncio.Task[Any]) -> Any:
        """Return the outcome of a step whose inner tasks were cancelled by other code."""
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
        created = Payload(self.uploads, png(self.uploads, 1, padding=size))
        self.payloads[created.purpose] = created
        return created

    def acknowledge(self, image: Any, payload: Payload) -> None:
        assert image.purpose == payload.purpose
        self.acknowledged[image.id] = payload
        self.ids.append(image.id)

    def choose_ids(self, index: int, count: int = 1) -> list[str]:
        return [self.ids[(index + n) % len(self.ids)] for n in range(min(count, len(self.ids)))]

    # --- faults ---------------------------------------------------------------------------------------------

    @rule(
        call=st.sampled_from(CALLS),
        fault=st.sampled_from(FAULTS),
        times=st.sampled_from([1, 1, 2, 9]),
        after=st.sampled_from([0, 0, 1, 3]),
    )
    def add_fault(self, call: tuple[str, str], fault: dict[str, Any], times: int, after: int) -> None:
        if "stall" in fault or fault.get("status") == 429:
            # Each of these faults takes real time.
            times = 1
        if fault.get("status") == 200 and call[0] != "GET":
            # No client can detect a service that reports success without doing anything.
            return
        self.emulator.faults.add(*call, times=times, after=after, **fault)

    def add_upload_fault(self, fault_of_upload: tuple[tuple[str, str], dict[str, Any]] | None) -> None:
        if fault_of_upload is not None and fault_of_upload[1].get("status") != 200:
            (method, path), fault = fault_of_upload
            self.emulator.faults.add(method, path, **fault)

    @rule()
    def clear_faults(self) -> None:
        self.emulator.faults.clear()

    @rule(seconds=st.sampled_from([1.0, URL_LIFETIME / 2, URL_LIFETIME * 2]))
    def advance_clock(self, seconds: float) -> None:
        self.emulator.clock.advance(seconds)

    @rule()
    def let_next_cancellation_hit_other_tasks(self) -> None:
        self.next_cancels_others = self.is_rough

    @rule()
    def close_and_reopen(self) -> None:
        if not self.is_rough:
            return
        self.counts["closed and reopened"] += 1
        self.run(self.client.aclose())
        self.client = self.make_client()

    # --- operations -----------------------------------------------------------------------------------------

    @rule(
        kind=source_kinds,
        size=sizes,
        cancel_point=cancel_points,
        wait=st.sampled_from([False, False, 1.0]),
        hashed=st.booleans(),
        expires=st.booleans(),
        upload_fault=upload_faults,
    )
    def upload(
        self,
        kind: str,
        size: int,
        cancel_point: int | None,
        wait: Any,
        hashed: bool,
        expires: bool,
        upload_fault: Any,
    ) -> None:
        self.add_upload_fault(upload_fault)
        payload = self.payload(size)

        def created(image: Any) -> None:
            self.ids.append(image.id)
            # The first upload URL expires before the first byte is sent.
            if expires and payload.purpose not in expired:
                expired.add(payload.purpose)
                self.emulator.clock.advance(URL_LIFETIME + 1)

        async def work() -> Any:
            async with SOURCES[kind](payload.data, self.folder) as file:
                return await self.client.images.upload(
                    file, wait=wait, purpose=payload.purpose, hash_sha256=hashed, on_created=created
                )

        expired: set[str] = set()
        outcome = self.run(self.run_step(work(), cancel_point))
        if outcome not in (Failed, Cancelled):
            self.acknowledge(outcome, payload)

    @rule(
        files=st.lists(
            st.tuples(source_kinds.filter(lambda kind: "file" not in kind), sizes), min_size=1, max_size=6
        ),
        concurrency=st.sampled_from([1, 2, 6]),
        leave_after=st.sampled_from([None, None, 0, 1, 2]),
        cancel_point=cancel_points,
        upload_fault=upload_faults,
    )
    def upload_many(
        self,
        files: list[tuple[str, int]],
        concurrency: int,
        leave_after: int | None,
        cancel_point: int | None,
        upload_fault: Any,
    ) -> None:
        self.add_upload_fault(upload_fault)
        payloads = [self.payload(size) for _, size in files]

        async def work() -> None:
            async with contextlib.AsyncExitStack() as stack:
                items = []
                for (kind, _), payload in zip(files, payloads, strict=True):
                    folder = self.folder / payload.purpose
                    folder.mkdir()
                    stack.callback(shutil.rmtree, folder)
                    items.append(
                        UploadItem(
                            await stack.enter_async_context(SOURCES[kind](payload.data, folder)),
                            purpose=payload.purpose,
                        )
                    )
                results = await stack.enter_async_context(
                    contextlib.aclosing(self.client.images.upload_many(items, concurrency=concurrency))
                )
                indices_seen: set[int] = set()
                async for result in results:
                    assert result.index not in indices_seen
                    indices_seen.add(result.index)
                    if result.error is None:
                        self.acknowledge(result.image, payloads[result.index])
                    elif not isinstance(result.error, ImgwireError):
                        raise result.error
                    if leave_after is not None and len(indices_seen) > leave_after:
                        return
                assert len(indices_seen) == len(items), "some files have no result"

        self.run(self.run_step(work(), cancel_point))

    @rule(cancel_point=cancel_points, upload_fault=upload_faults)
    def create(self, cancel_point: int | None, upload_fault: Any) -> None:
        self.add_upload_fault(upload_fault)
        payload = self.payload(0)
        outcome = self.run(
            self.run_step(self.client.images.create(file_name="a.png", purpose=payload.purpose), cancel_point)
        )
        if outcome not in (Failed, Cancelled):
            self.ids.append(outcome.image.id)

    @rule(index=indices, cancel_point=cancel_points)
    def retrieve(self, index: int, cancel_point: int | None) -> None:
        if not self.ids:
            # Not a precondition, because the set of rules must not depend on timing.
            return
        (image_id,) = self.choose_ids(index)
        outcome = self.run(self.run_step(self.client.images.retrieve(image_id), cancel_point))
        if outcome not in (Failed, Cancelled):
            assert outcome.id == image_id

    @rule(index=indices, cancel_point=cancel_points)
    def wait(self, index: int, cancel_point: int | None) -> None:
        if not self.ids:
            return
        (image_id,) = self.choose_ids(index)
        outcome = self.run(
            self.run_step(self.client.images.wait_until_ready(image_id, timeout=0.5), cancel_point)
        )
        if outcome not in (Failed, Cancelled):
            assert outcome.status == "READY"

    @rule(
        limit=st.sampled_from([1, 2, 100]),
        prefetch=st.sampled_from([1, 3]),
        cancel_point=cancel_points,
        leave=st.booleans(),
    )
    def list_all(self, limit: int, prefetch: int, cancel_point: int | None, leave: bool) -> None:
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

        existing = set(self.emulator.images)
        outcome = self.run(self.run_step(work(), cancel_point))
        if outcome not in (Failed, Cancelled) and not leave:
            assert sorted(outcome) == sorted(existing)

    @rule(index=indices, cancel_point=cancel_points)
    def delete(self, index: int, cancel_point: int | None) -> None:
        if not self.ids:
            return
        (image_id,) = self.choose_ids(index)
        # From now on the image may be deleted.
        self.acknowledged.pop(image_id, None)
        outcome = self.run(self.run_step(self.client.images.delete(image_id), cancel_point))
        if outcome not in (Failed, Cancelled):
            assert image_id not in self.emulator.images

    @rule(
        index=indices,
        count=st.integers(1, 5),
        chunk_size=st.sampled_from([1, 2, 100]),
        cancel_point=cancel_points,
    )
    def bulk_delete(self, index: int, count: int, chunk_size: int, cancel_point: int | None) -> None:
        if not self.ids:
            return
        ids = [
            image_id
            for image_id in dict.fromkeys(self.choose_ids(index, count))
            if image_id in self.emulator.images
        ]
        for image_id in ids:
            self.acknowledged.pop(image_id, None)
        outcome = self.run(
            self.run_step(self.client.images.bulk_delete(ids, chunk_size=chunk_size), cancel_point)
        )
        if outcome not in (Failed, Cancelled):
            assert sorted(
                [*outcome.deleted, *(image_id for image_id, _ in outcome.failed), *outcome.unknown]
            ) == sorted(ids)
            assert not set(outcome.deleted) & set(self.emulator.images)

    @rule(index=indices, cancel_point=cancel_points, to_file=st.booleans())
    def download(self, index: int, cancel_point: int | None, to_file: bool) -> None:
        if not self.acknowledged:
            return
        image_id = sorted(self.acknowledged)[index % len(self.acknowledged)]
        data = self.acknowledged[image_id].data
        if not to_file:
            outcome = self.run(self.run_step(self.client.images.read(image_id), cancel_point))
            assert outcome in (Failed, Cancelled, data)
            return
        path = self.downloads / f"{image_id}-{len(self.saved)}.png"
        outcome = self.run(self.run_step(self.client.images.download(image_id, path), cancel_point))
        assert outcome is not Failed or not path.exists()
        # A cancellation may come just after the complete file was renamed.
        if path.exists():
            self.saved[path] = data
            self.holdings = attrs.evolve(self.holdings, folders=self.holdings.folders | {str(path)})

    # --- invariants -----------------------------------------------------------------------------------------

    @invariant()
    def uploaded_images_exist_with_their_bytes(self) -> None:
        existing = self.emulator.images
        for image_id, payload in self.acknowledged.items():
            stored = existing[image_id].stored
            assert stored is not None
            assert stored.data == payload.data

    @invariant()
    def no_image_exists_twice(self) -> None:
        if self.idempotency == "ignored":
            return
        # With "conflict" or "same_dead_url" a second record replaces one without bytes.
        maximum = 1 if self.idempotency == "same" else 2
        records = Counter(image.purpose for image in self.emulator.images.values())
        assert {purpose: count for purpose, count in records.items() if count > maximum} == {}

    @invariant()
    def downloaded_files_are_complete(self) -> None:
        assert {path: path.read_bytes() for path in self.downloads.iterdir()} == self.saved

    @invariant()
    def everything_is_released(self) -> None:
        (self.folder / "picture").unlink(missing_ok=True)
        self.run(wait_until_released(self.client, self.holdings, self.folder))

    def teardown(self) -> None:
        try:
            if self.client is not None:
                self.run(self._close())
        finally:
            self.runner.close()
            shutil.rmtree(self.folder)

    async def _close(self) -> None:
        """Check that the client still works, and close it."""
        self.emulator.faults.clear()
        try:
            async with asyncio.timeout(STEP_TIMEOUT):
                uploaded = await self.client.with_options(timeout=Timeouts(), retries=None).images.upload(
                    png(), wait=True
                )
                assert uploaded.id in {
                    image.id async for image in self.client.with_options(timeout=Timeouts()).images.list_all()
                }
        finally:
            await self.client.aclose()
            await self.emulator.__aexit__(None, None, None)
