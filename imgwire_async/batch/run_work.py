"""The files in work of a run, and the uploads of these files."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

import attrs

from imgwire_async.batch import records
from imgwire_async.batch.fetching import Fetch, KnownRecord
from imgwire_async.batch.items import Entry
from imgwire_async.batch.list_search import ListSearch
from imgwire_async.batch.records import JournalRow
from imgwire_async.batch.reporter import Reporter
from imgwire_async.batch.run_rows import KeySource, row_of_next_generation
from imgwire_async.errors import (
    AuthenticationError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
)
from imgwire_async.models import Image
from imgwire_async.protocol.request import Transport
from imgwire_async.uploads.hooks import UploadHooks
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.requests import retrieve_request
from imgwire_async.uploads.states import ARRIVED
from imgwire_async.uploads.upload import Upload


@attrs.define(eq=False)
class Work:
    """One file of a run, from its row to its result.

    Only the task that works on the file changes it.

    Args:
        entry: The file, as the source passed it.
        item: The file with the arguments of the upload.
        row: The newest row of the file.
        before: The row of an earlier run, if there is one.
        found_id: The id of a record that has, or may have, the bytes of the file: of a lost journal, or of an
            upload that failed.
        upload: The upload in progress, or the last one.
        error: The error of the last upload, if the file is uploaded again at the end of the run.
        failures: The number of uploads in this run that failed for a transient reason.
        has_begun: Whether the service may know `row`, because its upload has begun.
        is_probe: Whether the upload shows whether the service is available again.
        was_uploaded: Whether the file was reported as uploaded.
        is_resumed: Whether an earlier run has sent the bytes.
        attempts: The number of PUT requests of this run.
        bytes_sent: The number of bytes that they sent.
        elapsed: The duration of the uploads in seconds.
        sent_at: The time in seconds since the epoch at which the first upload of a URL began.
        reported_bytes: The bytes of the upload in progress that were reported.
    """

    entry: Entry
    item: UploadItem
    row: JournalRow
    before: JournalRow | None
    found_id: str | None = None
    upload: Upload | None = None
    error: Exception | None = None
    failures: int = 0
    has_begun: bool = False
    is_probe: bool = False
    was_uploaded: bool = False
    is_resumed: bool = False
    attempts: int = 0
    bytes_sent: int = 0
    elapsed: float = 0.0
    sent_at: float = 0.0
    reported_bytes: int = 0

    @property
    def key(self) -> str:
        """The key of the file."""
        return self.entry.key


class Throughput:
    """The uploads in progress of a run, and what they have done so far. Used by its event loop."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.in_progress: set[Work] = set()
        # Uploads that ended with success, and the bytes of these files.
        self.files: int = 0
        self._stored_bytes = 0
        # The integral of the number of uploads in progress over time.
        self._area = 0.0
        self._changed_at = clock()
        # Bytes of uploads that have ended, and that were not reported yet.
        self._unreported_bytes = 0

    def begin(self, work: Work) -> None:
        """Note that the upload of a file begins."""
        self._integrate()
        self.in_progress.add(work)

    def end(self, work: Work, *, is_stored: bool) -> None:
        """Note that the upload of a file has ended."""
        self._integrate()
        self.in_progress.discard(work)
        upload = work.upload
        if upload is not None:
            self._unreported_bytes += upload.bytes_sent - work.reported_bytes
        work.reported_bytes = 0
        if is_stored:
            self.files += 1
            # Bytes of attempts that failed are no throughput.
            if upload is not None and upload.puts:
                self._stored_bytes += work.entry.identity.size or upload.bytes_sent // upload.puts

    def area(self) -> float:
        """Return the number of uploads in progress, multiplied with the seconds, since the beginning."""
        self._integrate()
        return self._area

    def useful_bytes(self) -> int:
        """Return the bytes of stored files and of uploads in progress, without those of failed attempts."""
        return self._stored_bytes + sum(map(_useful_bytes, self.in_progress))

    def take_unreported(self) -> tuple[int, list[Work]]:
        """Return the bytes sent since the last call, and the files in progress that have sent some."""
        total, self._unreported_bytes = self._unreported_bytes, 0
        moved: list[Work] = []
        for work in self.in_progress:
            sent = 0 if work.upload is None else work.upload.bytes_sent
            if sent != work.reported_bytes:
                total += sent - work.reported_bytes
                work.reported_bytes = sent
                moved.append(work)
        return total, moved

    def _integrate(self) -> None:
        now = self._clock()
        self._area += len(self.in_progress) * (now - self._changed_at)
        self._changed_at = now


def _useful_bytes(work: Work) -> int:
    upload = work.upload
    if upload is None:
        return 0
    size = work.entry.identity.size
    if upload.puts <= 1 or size is None:
        return upload.bytes_sent
    # The bytes of the attempts before are not counted apart, so this is an estimate.
    return max(0, min(size, upload.bytes_sent - (upload.puts - 1) * size))


@attrs.frozen(kw_only=True)
class Uploads:
    """Creates the uploads of a run.

    Args:
        transport: The transport of the client.
        keys: The parts of idempotency keys that are the same for all files.
        reporter: The counts and events of the run.
        throughput: The uploads in progress.
        head_bytes: The number of bytes of a file that are read to find its type.
        write: Writes a row soon.
        write_now: Writes a row, and waits until it is on the disk.
        check_record: Called with each record of the service.
        search: Searches the list of images.
    """

    transport: Transport
    keys: KeySource
    reporter: Reporter
    throughput: Throughput
    head_bytes: int
    write: Callable[[JournalRow], object]
    write_now: Callable[[JournalRow], Awaitable[None]]
    check_record: Callable[[Image], Awaitable[None]]
    search: ListSearch

    def start(self, work: Work) -> Upload:
        """Return the upload of a file, which has a durable row."""

        async def next_key(count: int) -> str:
            if count:
                work.row = row_of_next_generation(work.row, work.entry, work.item, self.keys)
                # The key must be durable before it is sent.
                await self.write_now(work.row)
            assert work.row.idempotency_key is not None
            return work.row.idempotency_key

        async def created(image: Image) -> None:
            await self.check_record(image)
            row = records.with_record(work.row, image.id, image.cdn_url)
            if row is not work.row:
                work.row = row
                self.write(row)

        async def stored(image: Image) -> None:
            if self.reporter.is_listening:
                size = work.entry.identity.size
                self.reporter.progress(work.key, size or 0, size)

        upload = work.upload = self._new_upload(work, UploadHooks(next_key, created, stored))
        work.has_begun = True
        work.reported_bytes = 0
        self.throughput.begin(work)
        self.reporter.started(work.key, work.entry.identity.size)
        return upload

    def _new_upload(self, work: Work, hooks: UploadHooks) -> Upload:
        arguments = self.transport, work.item
        if work.entry.remote is not None:
            work.sent_at = work.sent_at or time.time()
            known = KnownRecord(
                image_id=work.found_id or work.row.image_id,
                is_key_used=work.failures > 0,
                since=work.sent_at,
            )
            return Fetch(*arguments, hooks=hooks, search=self.search, known=known)
        # The bytes of an earlier upload in this run may have arrived, although it failed.
        known_id = work.found_id or (work.row.image_id if work.attempts else None)
        if known_id is None:
            return Upload(*arguments, head_bytes=self.head_bytes, hooks=hooks)
        return Adoption(*arguments, head_bytes=self.head_bytes, hooks=hooks, image_id=known_id)


class Adoption(Upload):
    """The upload of a file whose bytes the service has or may have, in a record with a known id.

    If the record has no bytes, the file is uploaded.
    """

    def __init__(
        self, transport: Transport, item: UploadItem, *, head_bytes: int, hooks: UploadHooks, image_id: str
    ) -> None:
        super().__init__(transport, item, head_bytes=head_bytes, hooks=hooks)
        self._found_id = image_id

    def is_fatal(self, error: Exception) -> bool:
        """Return whether this error would occur for every file of a run."""
        if self._is_open:
            return super().is_fatal(error)
        return isinstance(error, AuthenticationError | PaymentRequiredError | PermissionDeniedError)

    async def run(self) -> Image:
        """Return the record that was found, or upload the file."""
        try:
            async with self._transport.operation("images.upload"):
                image = await self._call(retrieve_request(self._found_id))
        except NotFoundError:
            return await super().run()
        if image.status not in ARRIVED or image.deleted_at is not None:
            return await super().run()
        self.image: Image | None = image
        return image
