"""Settle the rows in doubt of interrupted runs, before a run uploads anything.

A process that was killed may have left records with bytes that its journal does not know. Their files must
not be uploaded again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import TypeAlias

import attrs

from imgwire_async import disk_work
from imgwire_async.batch import doubts, records
from imgwire_async.batch.doubts import Doubt
from imgwire_async.batch.found_records import FoundRecords
from imgwire_async.batch.held_calls import HeldCalls, OnHeld, run_for_all, run_until
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.keys import KEY_PREFIX, Shard
from imgwire_async.batch.list_walk import walk_images
from imgwire_async.batch.options import Reconcile
from imgwire_async.batch.records import JournalRow, RowOwner, RowStatus
from imgwire_async.batch.service import Service
from imgwire_async.errors import (
    APIStatusError,
    AuthenticationError,
    DecodeError,
    ImgwireError,
    NotFoundError,
    PaginationError,
    PaymentRequiredError,
    PermissionDeniedError,
)
from imgwire_async.logs import logger
from imgwire_async.models import Image
from imgwire_async.protocol import codec
from imgwire_async.uploads.requests import retrieve_request

OnDoubt: TypeAlias = Callable[[int, int], object]

# The limit for late bytes if `Timeouts.stall` is None.
_DEFAULT_STALL = 60.0
# Seconds before a PENDING record is retrieved again. The delay grows.
_FIRST_DELAY = 0.1
_LONGEST_DELAY = 5.0
_DELAY_FACTOR = 1.5
# The number of rows that one transaction writes.
_ROWS_PER_WRITE = 500
# A time in the past: the record cannot get bytes any more.
_FINAL = -1.0
# These errors end a run.
_FATAL = (AuthenticationError, PaymentRequiredError, PermissionDeniedError)


@attrs.frozen(eq=False)
class Settled:
    """The result of `settle`.

    `images` contains the records that were adopted, by the keys of their files. `unsure` is the number of
    files that may be uploaded twice, because the list of images was not read to its end.
    """

    images: Mapping[str, Image]
    unsure: int
    _found: FoundRecords | None = attrs.field(default=None, repr=False)

    async def find(self, idempotency_keys: Sequence[str]) -> Mapping[str, str]:
        """Return the ids of records with bytes for keys that the journal may not know.

        Only with `reconcile="all"`. Otherwise the result is empty, and no thread is used.
        """
        return {} if self._found is None else await disk_work.run(self._found.find, idempotency_keys)

    async def aclose(self) -> None:
        """Remove the temporary file. Idempotent."""
        if self._found is not None:
            await disk_work.run_cleanup(self._found.close)


async def settle(
    service: Service,
    journal: Journal,
    owner: RowOwner,
    *,
    stop: asyncio.Event,
    report: OnDoubt,
    shard: Shard | None = None,
    reconcile: Reconcile = True,
    wait: bool = False,
    with_failed: bool = True,
    is_moved: bool = False,
    on_held: OnHeld | None = None,
) -> Settled:
    """Find out for all rows in doubt whether the service has the bytes of their files.

    Rows whose bytes have arrived become "done", or "stored" if the run waits for READY. Other rows stay as
    they are, and the run uploads their files again. Requests that fail for a transient reason are repeated.

    Args:
        service: The client of the run.
        journal: The journal of the run.
        owner: The run, which owns the rows that become "done" or "stored".
        stop: Ends the work soon after it is set. The rows that are left stay in doubt.
        report: Called with the number of rows that are still in doubt, and the number of all rows.
        shard: The part of the keys that this run uploads. None means all.
        reconcile: Whether to search the list of images for rows without an id. `"all"` also keeps the records
            of a lost journal for `Settled.find`.
        wait: Whether the run waits until images are READY.
        with_failed: Whether the run uploads files again that have failed. Their bytes may have arrived.
        is_moved: Whether rows of other sources may belong to this one, because the user has moved it.
        on_held: Called when the service is not available, and when it is available again.

    Returns:
        The adopted records, and the number of rows that may be uploaded twice.
    """
    found = FoundRecords() if reconcile == "all" else None
    rows = functools.partial(
        _rows_in_doubt, journal, owner, shard, with_failed=with_failed, any_source=is_moved
    )
    settling = _Settling(service, journal, owner, report, found, wait=wait, on_held=on_held)
    try:
        await run_until(stop, settling.run(rows, reconcile))
    except BaseException:
        if found is not None:
            await disk_work.run_cleanup(found.close)
        raise
    return Settled(settling.images, settling.unsure, found)


async def fail_missing(journal: Journal, owner: RowOwner, shard: Shard | None, now: float) -> int:
    """Mark files as failed that are in doubt and no longer exist. Return their number.

    Called after a complete walk, which has found every file that exists. The rows of those files belong to
    this run.
    """

    def fail_all() -> int:
        with contextlib.closing(journal.in_doubt(owner, shard)) as rows:
            missing = [row for row in rows if row.run != owner.run]
        for start in range(0, len(missing), _ROWS_PER_WRITE):
            part = missing[start : start + _ROWS_PER_WRITE]
            journal.put_blocking([_missing_row(row, owner, now) for row in part])
        return len(missing)

    return await disk_work.run(fail_all)


def _missing_row(row: JournalRow, owner: RowOwner, now: float) -> JournalRow:
    row = attrs.evolve(row, run=owner.run)
    return records.failed(row, "FileNotFoundError", "the file is no longer there", now=now)


class _Settling:
    """One call of `settle`: a task of its own runs it."""

    def __init__(
        self,
        service: Service,
        journal: Journal,
        owner: RowOwner,
        report: OnDoubt,
        found: FoundRecords | None,
        *,
        wait: bool,
        on_held: OnHeld | None,
    ) -> None:
        self.images: dict[str, Image] = {}
        self.unsure: int = 0
        self._service = service
        self._journal = journal
        self._owner = owner
        self._report = report
        self._found = found
        self._wait = wait
        self._limit = service.shared.config.max_connections
        self._calls = HeldCalls(lambda: service.images.list(limit=1), on_held)
        # The rows that are not settled yet, by their keys.
        self._doubts: dict[str, Doubt] = {}
        self._total = 0
        # When records become final that are PENDING, by their ids.
        self._final_at: dict[str, float] = {}
        self._now = asyncio.get_running_loop().time

    async def run(self, read_rows: Callable[[], list[JournalRow]], reconcile: Reconcile) -> None:
        rows = await disk_work.run(read_rows)
        self._doubts = {row.key: Doubt(row) for row in rows}
        self._total = len(rows)
        self._report_left()
        with_id = [row.key for row in rows if row.image_id is not None]
        await run_for_all(with_id, self._retrieve_own, self._limit)
        await self._settle_all()
        is_complete = await self._walk(reconcile)
        await self._settle_all()
        await self._wait_for_late_bytes()
        await self._leave_rest(is_complete=is_complete)

    # --- single records -------------------------------------------------------------------------------------

    async def _retrieve_own(self, key: str) -> None:
        image_id = self._doubts[key].row.image_id
        assert image_id is not None
        await self._retrieve(key, image_id)
        await self._settle([key])

    async def _retrieve(self, key: str, image_id: str) -> None:
        """Retrieve a record of a row, and note its state."""
        try:
            image, server_time = await self._calls.run(lambda: self._send(image_id))
        except NotFoundError:
            self._doubts[key] = self._doubts[key].without_image(image_id)
            return
        except _FATAL:
            raise
        except ImgwireError as error:
            logger.info("image %s cannot be retrieved: %s", image_id, error)
            self._give_up(key, image_id)
            return
        if image.id != image_id:
            logger.warning("image %s cannot be retrieved: the service returned %s", image_id, image.id)
            self._give_up(key, image_id)
            return
        # Other records of the same row may have changed during the request.
        doubt = self._doubts[key]
        if image.deleted_at is not None:
            self._doubts[key] = doubt.without_image(image_id)
            return
        self._doubts[key] = doubt.with_image(image)
        if not doubts.has_arrived(image) and image_id not in self._final_at:
            stall = self._service.transport.options.timeout.stall or _DEFAULT_STALL
            seconds = doubts.seconds_until_final(
                image, doubt.row, stall=stall, server_time=server_time, now=time.time()
            )
            self._final_at[image_id] = self._now() + seconds if seconds > 0 else _FINAL

    def _give_up(self, key: str, image_id: str) -> None:
        """Note that the service does not say whether a record has bytes."""
        self._doubts[key] = attrs.evolve(self._doubts[key], is_unknown=True)
        self._final_at[image_id] = _FINAL

    async def _send(self, image_id: str) -> tuple[Image, datetime | None]:
        """Retrieve a record, and return it with the time of the server."""
        response = await self._service.transport.send(retrieve_request(image_id))
        image = codec.decode(response, Image)
        return image, doubts.parse_date(response.headers.get("Date"))

    async def _wait_for_late_bytes(self) -> None:
        """Retrieve young PENDING records again, until their bytes have arrived or can no longer arrive."""
        # The walk has shown records that were not retrieved.
        new = [
            (key, image.id)
            for key, doubt in self._doubts.items()
            for image in doubt.pending
            if image.id not in self._final_at
        ]
        await run_for_all(new, lambda item: self._retrieve(*item), self._limit)
        await self._settle_all()
        delay = _FIRST_DELAY
        while young := self._young():
            remaining = max(0.0, min(self._final_at[image_id] for _, image_id in young) - self._now())
            await asyncio.sleep(min(delay * random.uniform(0.75, 1.25), max(remaining, _FIRST_DELAY)))
            delay = min(_LONGEST_DELAY, delay * _DELAY_FACTOR)
            started_at = self._now()
            await run_for_all(young, lambda item: self._retrieve(*item), self._limit)
            await self._settle_all()
            for _, image_id in young:
                if self._final_at[image_id] <= started_at:
                    self._final_at[image_id] = _FINAL

    def _young(self) -> list[tuple[str, str]]:
        """Return the keys of rows and the ids of their records that may still get bytes."""
        return [
            (key, image.id)
            for key, doubt in self._doubts.items()
            for image in doubt.pending
            if self._final_at.get(image.id, _FINAL) > _FINAL
        ]

    # --- the list -------------------------------------------------------------------------------------------

    async def _walk(self, reconcile: Reconcile) -> bool:
        """Search the list of images. Return whether all images were read."""
        wanted: dict[str, list[str]] = {}
        for key, doubt in self._doubts.items():
            if doubts.needs_walk(doubt):
                wanted.setdefault(doubt.row.idempotency_key or "", []).append(key)
        if reconcile is False:
            return False
        if reconcile is True and not wanted:
            return True

        async def on_page(images: Sequence[Image]) -> None:
            for image in images:
                for key in wanted.get(image.idempotency_key or "", ()):
                    if doubts.is_record_of(self._doubts[key], image):
                        self._doubts[key] = self._doubts[key].with_image(image)
            if self._found is not None:
                await disk_work.run(self._found.add, [*filter(_is_of_a_batch, images)])
            self._report_left()

        max_pages = None if reconcile == "all" else doubts.max_pages(len(wanted))
        try:
            return await walk_images(self._service.images, self._calls, on_page, max_pages=max_pages)
        except (AuthenticationError, PaymentRequiredError):
            raise
        except (APIStatusError, DecodeError, PaginationError) as error:
            # A client key may not list images.
            logger.info("the list of images cannot be searched for interrupted uploads: %s", error)
            return False

    # --- rows -----------------------------------------------------------------------------------------------

    async def _settle_all(self) -> None:
        await self._settle([*self._doubts])

    async def _settle(self, keys: Sequence[str]) -> None:
        """Write the rows whose bytes have arrived, and wait until they are on the disk."""
        settled: dict[str, tuple[JournalRow, Image]] = {}
        for key in keys:
            doubt = self._doubts[key]
            row = doubts.settled_row(doubt, self._owner, wait=self._wait, now=time.time())
            if row is not None and doubt.best is not None:
                settled[key] = row, doubt.best
        if not settled:
            return
        await self._journal.put([row for row, _ in settled.values()])
        for key, (row, image) in settled.items():
            del self._doubts[key]
            if row.has_bytes:
                self.images[key] = image
        self._report_left()

    async def _leave_rest(self, *, is_complete: bool) -> None:
        """Write what is known about the rows that have no bytes. The run uploads their files."""
        changed: list[JournalRow] = []
        for doubt in self._doubts.values():
            row = doubts.remaining_row(doubt)
            if row != doubt.row:
                changed.append(row)
            self.unsure += doubts.is_unsure(doubt, is_complete=is_complete)
        if changed:
            await self._journal.put(changed)
        self._doubts.clear()
        self._report_left()

    def _report_left(self) -> None:
        self._report(len(self._doubts), self._total)


def _rows_in_doubt(
    journal: Journal, owner: RowOwner, shard: Shard | None, *, with_failed: bool, any_source: bool
) -> list[JournalRow]:
    statuses: tuple[RowStatus, ...] = ("started", "failed") if with_failed else ("started",)
    rows: list[JournalRow] = []
    for status in statuses:
        with contextlib.closing(journal.rows(owner.destination, status)) as candidates:
            rows += [
                row
                for row in candidates
                if (any_source or row.source == owner.source)
                and (shard is None or row.key in shard)
                and doubts.is_in_doubt(row)
            ]
    return rows


def _is_of_a_batch(image: Image) -> bool:
    """Return whether a batch run has created a record and sent its bytes."""
    key = image.idempotency_key or ""
    return key.startswith(KEY_PREFIX) and image.deleted_at is None and doubts.has_arrived(image)
