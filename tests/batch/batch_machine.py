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
# A run that is interrupted ends after so many requests, records with bytes, or results. If it is cancelled at
# a record with bytes, it has not received the response.
INTERRUPTIONS = st.tuples(
    st.sampled_from(["cancel at a request", "cancel at stored bytes", "leave", "stop"]), st.integers(1, 10)
)
SETTINGS = st.fixed_dictionaries(
    {"verify": st.booleans(), "checksum": st.booleans(), "concurrency": st.sampled_from([None, 1, 4])}
)


class BatchStateMachine(RuleBasedStateMachine):
    """Random runs of one journal and one folder."""

    mode: ClassVar[Any] = "same"
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
        self.reconcile = True
        # What has happened to the guarantees.
        self.has_lost_journal = self.has_lost_doubts = self.has_changed_metadata = False

    # --- the world ------------------------------------------------------------------------------------------

    @initialize(
        deleted_keys=st.sampled_from(["forgotten", "remembered"]),
        second_put=st.sampled_from(["accepted", "refused"]),
        list_order=st.sampled_from(["created", "updated", "id"]),
    )
    def start(self, **switches: Any) -> None:
        emulator = Emulator(ready_polls=0, idempotency=self.mode, **switches)
        self.emulator = self.execute(self.stack.enter_async_context(emulator))
        self.add_files()

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
            # If images were deleted and the key is another one, the images do not show the environment.
            environment_id=self.emulator.environment_id if self.deleted else None,
            timeout=Timeouts(stall=STALL, attempt=5.0),
            retries=RetryPolicy(backoff=0.01),
        )

    # --- what happens between runs --------------------------------------------------------------------------

    @rule()
    def add_files(self) -> None:
        for _ in range(6):
            self.versions += 1
            self.write_version(f"{self.versions % 3}/{self.versions:04}.png")

    @rule(numbers=st.lists(st.integers(0, 1_000), min_size=1, max_size=5))
    def change_files(self, numbers: list[int]) -> None:
        for number in numbers:
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

    @rule()
    def lose_journal(self) -> None:
        if self.journal.exists():
            self.counts["journals lost"] += 1
            self.journal.unlink()
            self.has_lost_journal = True

    @rule()
    def do_not_reconcile(self) -> None:
        """Let the next run ignore the list of images."""
        self.reconcile = False

    # --- runs -----------------------------------------------------------------------------------------------

    @rule(interruption=INTERRUPTIONS, arguments=SETTINGS)
    def interrupted_run(self, interruption: tuple[str, int], arguments: dict[str, Any]) -> None:
        self.counts[interruption[0]] += 1
        self.execute(self.interrupt(*interruption, reconcile=self.take_reconcile(True), **arguments))
        self.was_interrupted = True

    def take_reconcile(self, default: Any) -> Any:
        reconcile, self.reconcile = self.reconcile and default, True
        self.has_lost_doubts |= not reconcile and self.was_interrupted
        return reconcile

    async def interrupt(self, how: str, limit: int, **arguments: Any) -> None:
        count = self.count_stored if how == "cancel at stored bytes" else self.emulator.requests.__len__
        end = count() + limit
        run = asyncio.create_task(self.upload(how, limit, **arguments))
        if how.startswith("cancel"):
            while not run.done() and count() < end:
                await asyncio.sleep(0)
            run.cancel()
        with contextlib.suppress(asyncio.CancelledError, ImgwireError):
            await run

    def count_stored(self) -> int:
        return sum(image.status == "READY" for image in self.emulator.images.values())

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

    @rule(interruption=INTERRUPTIONS, arguments=SETTINGS, reconcile=st.sampled_from([True, "all"]))
    def complete_run(self, interruption: tuple[str, int], arguments: dict[str, Any], reconcile: Any) -> None:
        """Run to the end, after a run that was interrupted."""
        self.interrupted_run(interruption, arguments)
        self.emulator.faults.clear()
        reconcile = self.take_reconcile(reconcile)
        records = self.execute(self.run_to_the_end(reconcile=reconcile, **arguments))
        self.was_interrupted = False
        self.check(records, has_verified=arguments["verify"])

    async def run_to_the_end(self, **arguments: Any) -> dict[str, BatchRecord]:
        arguments["custom_metadata"] = {"number": self.metadata}
        async with self.client() as client, AsyncBatch(client, self.journal, **arguments) as batch:
            async for result in batch.upload(self.photos):
                assert result.error is None, result
            summary = batch.summary()
            assert (summary.failed, summary.left, summary.found) == (0, 0, len(self.files)), summary
            return {record.key: record for record in batch.records()}

    # --- the model ------------------------------------------------------------------------------------------

    @property
    def may_upload_twice(self) -> bool:
        """Whether what has happened permits that a file is uploaded twice."""
        if self.has_lost_journal and (self.mode != "same" or self.has_changed_metadata or self.deleted):
            return True
        return self.has_lost_doubts and self.mode != "same"

    def check(self, records: dict[str, BatchRecord], *, has_verified: bool) -> None:
        """Compare the folder, the journal and the images after a complete run."""
        self.counts[f"{'loose' if self.may_upload_twice else 'exact'} {self.mode}"] += 1
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
