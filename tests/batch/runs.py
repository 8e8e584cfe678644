"""Runs over real sockets: an emulator, a client, a folder with pictures, and a journal."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import attrs
from wire.pictures import png

from imgwire_async import AsyncImgwireClient, RetryPolicy, Timeouts
from imgwire_async.batch.journal import Journal, open_journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.options import RunOptions
from imgwire_async.batch.records import JournalRow
from imgwire_async.batch.reporter import BatchEvent, Reporter
from imgwire_async.batch.results import BatchResult
from imgwire_async.batch.run import BatchRun
from imgwire_async.batch.service import service_of
from imgwire_async.batch.sources import as_source
from imgwire_async.emulator import Emulator

_numbers = itertools.count(100_000)
FAST = RetryPolicy(backoff=0.01)


def picture(number: int, size: int = 0) -> bytes:
    """Return a small picture whose bytes differ from those of other numbers."""
    return png() + number.to_bytes(4, "big") + bytes(size)


@attrs.define
class Site:
    """An emulator with a client, a folder with pictures, and the path of a journal."""

    emulator: Emulator
    client: AsyncImgwireClient
    folder: Path
    journal_path: Path
    events: list[BatchEvent] = attrs.field(factory=list)
    reporter: Reporter = attrs.field(factory=Reporter)

    def add(self, *names: str, size: int = 0) -> None:
        """Write pictures to the folder."""
        for name in names:
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(picture(next(_numbers), size))

    def add_many(self, count: int, size: int = 0) -> None:
        """Write pictures with numbers as names to the folder."""
        for number in range(count):
            (self.folder / f"{number:05}.png").write_bytes(picture(number, size))

    @contextlib.contextmanager
    def journal(self) -> Any:
        """Open the journal."""
        journal = open_journal(self.journal_path)
        try:
            yield journal
        finally:
            journal.close()

    def run(self, journal: Journal, files: Any = None, **options: Any) -> BatchRun:
        """Return a run over the folder or over other files."""
        self.events = []
        on_event = options.pop("on_event", self.events.append)
        self.reporter = Reporter(on_event)
        source = as_source(self.folder if files is None else files, journal.own_paths())
        return BatchRun(service_of(self.client), journal, source, RunOptions(**options), self.reporter)

    async def upload(self, files: Any = None, **options: Any) -> dict[str, BatchResult]:
        """Run until the end, and return the results by their keys."""
        results: dict[str, BatchResult] = {}
        with self.journal() as journal:
            async with self.run(journal, files, **options) as run:
                async for result in run:
                    assert result.key not in results, "each file is yielded once"
                    results[result.key] = result
        return results

    def rows(self) -> dict[str, JournalRow]:
        """Return all rows of the journal by their keys."""
        with self.journal() as journal:
            return rows_of(journal)

    def statuses(self) -> dict[str, str]:
        """Return the status of each file."""
        return {key: row.status for key, row in self.rows().items()}

    def images(self, status: str | None = "READY") -> list[Any]:
        """Return the images of the emulator that have bytes."""
        return [image for image in self.emulator.images.values() if status is None or image.status == status]

    def requests(self, method: str) -> int:
        """Return the number of requests with a method."""
        return sum(request.method == method for request in self.emulator.requests)

    @property
    def kinds(self) -> list[str]:
        """The kinds of the events of the last run, without repeated ones."""
        return list(dict.fromkeys(event.kind for event in self.events))


def rows_of(journal: Journal) -> dict[str, JournalRow]:
    """Return all rows of a journal by their keys."""
    destinations: list[Destination] = journal.destinations()
    return {row.key: row for each in destinations for row in journal.rows(each.number)}


@contextlib.asynccontextmanager
async def site(folder: Path, tmp_path: Path, **settings: Any) -> AsyncIterator[Site]:
    """Start an emulator and a client. `switches` are those of the emulator."""
    switches = settings.pop("switches", {})
    settings.setdefault("retries", FAST)
    # A run waits that long for late bytes of interrupted uploads.
    settings.setdefault("timeout", Timeouts(stall=1.0))
    pictures = tmp_path / "pictures"
    pictures.mkdir(parents=True)
    async with Emulator(**switches) as emulator:
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, **settings) as client:
            yield Site(emulator, client, pictures, folder / "photos.journal")
