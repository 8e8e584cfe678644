"""A state machine of hypothesis: runs that end or are interrupted, while files, keys and images change.

After each complete run the model compares the folder, the journal and the images of the emulator. It knows
under which settings the emulator has exactly the images that the journal names:

* in all idempotency modes if the journal is never lost, and each run after an interruption reconciles;
* with `verify` also after images were deleted;
* after the loss of the journal only if the service returns the same record for a key, and if neither the
  metadata has changed nor an image was deleted.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from imgwire_async import ImgwireError, RetryPolicy, Timeouts
from imgwire_async.batch import AsyncBatch, BatchRecord
from imgwire_async.emulator import Emulator

from .outcomes import ready_images
from .picture_files import picture, write
from .run_process import quick_client

# Seconds. The emulator runs in the same event loop, so no bytes arrive after the end of a run for long.
STALL = 0.5
STEP_TIMEOUT = 40.0
CREATE, PUT = ("POST", "/api/v1/images/standard_upload"), ("PUT", "/uploads/*")
FAULTS: list[tuple[tuple[str, str], dict[str, Any]]] = [
    (CREATE, {"reset": "after_commit"}), (CREATE, {"reset": "before"}), (CREATE, {"status": 503}), (CREATE, {"status": 409}),
    (PUT, {"reset": "after_commit"}), (PUT, {"reset": 100}), (PUT, {"status": 403}), (PUT, {"status": 503}),
    (PUT, {"stall": 0.1}), (("GET", "*"), {"status": 503}), (("GET", "*"), {"reset": "after_commit"}),
]  # fmt: skip
# A run that is interrupted ends after so many requests or results.
INTERRUPTIONS = st.tuples(st.sampled_from(["cancel", "leave", "stop"]), st.integers(0, 25))


class BatchStateMachine(RuleBasedStateMachine):
    """Random runs of one journal and one folder."""

    counts: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.stack = contextlib.AsyncExitStack()
        self.folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
        self.photos, self.journal = self.folder / "photos", self.folder / "photos.journal"
        self.photos.mkdir()
        # The current content of each file as a hash, and the number of all versions that were written.
        self.files: dict[str, str] = {}
        self.versions = 0
        self.deleted: set[str] = set()
        self.metadata = 0
        self.was_interrupted = False
        # What has happened to the guarantees.
        self.has_lost_journal = self.has_lost_doubts = self.has_changed_metadata = False

    # --- the world ------------------------------------------------------------------------------------------

    @initialize(
        mode=st.sampled_from(["same", "conflict", "same_dead_url", "ignored"]),
        deleted_keys=st.sampled_from(["forgotten", "remembered"]),
        second_put=st.sampled_from(["accepted", "refused"]),
        order=st.sampled_from(["created", "updated", "id"]),
    )
    def start(self, mode: Any, deleted_keys: Any, second_put: Any, order: Any) -> None:
        self.mode = mode
        emulator = Emulator(
            ready_polls=0,
            idempotency=mode,
            deleted_keys=deleted_keys,
            second_put=second_put,
            list_order=order,
        )
        self.emulator = self.execute(self.stack.enter_async_context(emulator))
        for _ in range(8):
            self.add_file()

    def execute(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        async def limited() -> Any:
            async with asyncio.timeout(STEP_TIMEOUT):
                return await coroutine

        return self.runner.run(limited())

    def teardown(self) -> None:
        self.execute(self.stack.aclose())
        self.runner.close()
        shutil.rmtree(self.folder)

    def client(self) -> Any:
        return quick_client(
            lambda: self.emulator.api_key,
            self.emulator.base_url,
            timeout=Timeouts(stall=STALL, attempt=5.0),
            retries=RetryPolicy(backoff=0.01),
        )

    # --- what happens between runs --------------------------------------------------------------------------

    @rule()
    def add_file(self) -> None:
        self.versions += 1
        self.write_version(f"{self.versions % 3}/{self.versions:04}.png")

    @rule(number=st.integers(0, 1_000))
    def change_file(self, number: int) -> None:
        if self.files:
            self.versions += 1
            self.write_version(sorted(self.files)[number % len(self.files)])

    def write_version(self, key: str) -> None:
        # All versions have the same length, so only time or hash show the change.
        self.files[key] = write(self.photos / key, picture(f"version {self.versions:06}"))

    @rule(number=st.integers(0, 1_000))
    def remove_file(self, number: int) -> None:
        if len(self.files) > 3:
            key = sorted(self.files)[number % len(self.files)]
            del self.files[key]
            (self.photos / key).unlink()

    @rule()
    def rotate_key(self) -> None:
        self.emulator.api_key = f"sk_{self.versions}_{len(self.emulator.requests)}"

    @rule(number=st.integers(0, 1_000))
    def delete_image(self, number: int) -> None:
        ready = sorted(image for ids in ready_images(self.emulator).values() for image in ids)
        if ready:
            self.execute(self.delete(ready[number % len(ready)]))

    async def delete(self, image_id: str) -> None:
        self.emulator.faults.clear()
        async with self.client() as client:
            await client.images.delete(image_id)
        self.deleted.add(image_id)

    @rule()
    def change_metadata(self) -> None:
        self.metadata += 1
        self.has_changed_metadata = True

    @rule(fault=st.sampled_from(FAULTS), after=st.integers(0, 10), times=st.integers(1, 3))
    def plan_fault(self, fault: tuple[tuple[str, str], dict[str, Any]], after: int, times: int) -> None:
        (method, path), arguments = fault
        self.emulator.faults.add(method, path, after=after, times=times, **arguments)

    @rule(lose=st.sampled_from([False, False, False, True]))
    def lose_journal(self, lose: bool) -> None:
        if lose and self.journal.exists():
            self.counts["journals lost"] += 1
            self.journal.unlink()
            self.has_lost_journal = True

    # --- runs -----------------------------------------------------------------------------------------------

    @rule(
        interruption=INTERRUPTIONS,
        verify=st.booleans(),
        checksum=st.booleans(),
        reconcile=st.sampled_from([True, True, True, False]),
        concurrency=st.sampled_from([None, 1, 4]),
    )
    def interrupted_run(self, interruption: tuple[str, int], **arguments: Any) -> None:
        self.counts[interruption[0]] += 1
        self.note_reconcile(arguments["reconcile"])
        self.execute(self.interrupt(*interruption, **arguments))
        self.was_interrupted = True

    async def interrupt(self, how: str, limit: int, **arguments: Any) -> None:
        first = len(self.emulator.requests)
        run = asyncio.create_task(self.upload(how, limit, **arguments))
        while how == "cancel" and not run.done() and len(self.emulator.requests) < first + limit:
            await asyncio.sleep(0)
        if how == "cancel":
            run.cancel()
        with contextlib.suppress(asyncio.CancelledError, ImgwireError):
            await run

    async def upload(self, how: str, limit: int, **arguments: Any) -> None:
        arguments["custom_metadata"] = {"number": self.metadata}
        async with self.client() as client, AsyncBatch(client, self.journal, **arguments) as batch:
            seen = 0
            async for _ in batch.upload(self.photos):
                seen += 1
                if seen >= limit and how == "leave":
                    break
                if seen >= limit and how == "stop":
                    batch.stop()

    @rule(
        verify=st.booleans(),
        checksum=st.booleans(),
        reconcile=st.sampled_from([True, True, True, False, "all"]),
        concurrency=st.sampled_from([None, 1, 4]),
    )
    def complete_run(self, **arguments: Any) -> None:
        self.counts["complete"] += 1
        self.emulator.faults.clear()
        self.note_reconcile(arguments["reconcile"])
        self.was_interrupted = False
        records = self.execute(self.run_to_the_end(**arguments))
        self.check(records, has_verified=arguments["verify"])

    async def run_to_the_end(self, **arguments: Any) -> dict[str, BatchRecord]:
        arguments["custom_metadata"] = {"number": self.metadata}
        async with self.client() as client, AsyncBatch(client, self.journal, **arguments) as batch:
            async for result in batch.upload(self.photos):
                assert result.error is None, result
            summary = batch.summary()
            assert (summary.failed, summary.left, summary.found) == (0, 0, len(self.files)), summary
            return {record.key: record for record in batch.records()}

    def note_reconcile(self, reconcile: Any) -> None:
        if not reconcile and self.was_interrupted:
            self.has_lost_doubts = True

    # --- the model ------------------------------------------------------------------------------------------

    @property
    def may_upload_twice(self) -> bool:
        """Whether what has happened permits that a file is uploaded twice."""
        if self.has_lost_journal and (self.mode != "same" or self.has_changed_metadata or self.deleted):
            return True
        return self.has_lost_doubts and self.mode != "same"

    def check(self, records: dict[str, BatchRecord], *, has_verified: bool) -> None:
        """Compare the folder, the journal and the images after a complete run."""
        images = ready_images(self.emulator)
        existing = {image_id for ids in images.values() for image_id in ids}
        assert not [key for key, record in records.items() if record.status in {"started", "stored"}]
        for key, sha256 in self.files.items():
            record = records[key]
            assert record.status == "done", record
            # Without `verify` a run does not notice that an image was deleted.
            if record.image_id in self.deleted:
                assert not has_verified, record
                continue
            assert record.image_id in images.get(sha256, []), (
                f"{record} is not the current version of the file"
            )
            if not self.may_upload_twice:
                assert images[sha256] == [record.image_id], f"{key} was uploaded twice"
        named = {record.image_id for record in records.values() if record.status == "done"}
        named |= {image_id for record in records.values() for image_id in record.abandoned}
        if not self.may_upload_twice and not self.has_lost_journal:
            assert existing <= named, f"the journal does not know {existing - named}"
