"""The events and the progress of whole runs, in both forms."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import threading
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest
from wire.pictures import png

from imgwire_async import AsyncImgwireClient, ImgwireClient
from imgwire_async.batch import AsyncBatch, Batch, BatchEvent, BatchSummary
from imgwire_async.emulator import Emulator

COUNT = 40


@attrs.define
class Outcome:
    """What a run has reported."""

    events: list[BatchEvent] = attrs.field(factory=list[BatchEvent])
    threads: set[int] = attrs.field(factory=set[int])
    results: int = 0
    summary: BatchSummary | None = None

    def on_event(self, event: BatchEvent) -> None:
        self.events.append(event)
        self.threads.add(threading.get_ident())

    def kinds(self) -> dict[str | None, list[str]]:
        """Return the kinds of the events of each file. Several in a row count as one."""
        kinds = defaultdict[str | None, list[str]](list)
        for event in self.events:
            if event.key is not None:
                kinds[event.key].append(event.kind)
        return {key: [kind for kind, _ in itertools.groupby(row)] for key, row in kinds.items()}


async def run_async(emulator: Emulator, photos: Path, journal: Path, outcome: Outcome) -> None:
    async with (
        AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client,
        AsyncBatch(client, journal, wait=30, on_event=outcome.on_event) as batch,
    ):
        async for _ in batch.upload(photos, progress=True):
            outcome.results += 1
        outcome.summary = batch.summary()


def run_blocking(emulator: Emulator, photos: Path, journal: Path, outcome: Outcome) -> None:
    with (
        ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client,
        Batch(client, journal, wait=30, on_event=outcome.on_event) as batch,
    ):
        for _ in batch.upload(photos, progress=True):
            outcome.results += 1
        outcome.summary = batch.summary()


def run_async_in_a_loop(emulator: Emulator, photos: Path, journal: Path, outcome: Outcome) -> None:
    asyncio.run(run_async(emulator, photos, journal, outcome))


@pytest.mark.parametrize("run", [run_async_in_a_loop, run_blocking], ids=["async", "blocking"])
def test_the_events_of_a_run_are_complete_and_in_order(
    run: Callable[[Emulator, Path, Path, Outcome], None], folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "imgwire_async")
    photos = folder / "photos"
    photos.mkdir()
    for number in range(COUNT):
        (photos / f"{number}.png").write_bytes(png(padding=number))
    (photos / ".hidden").write_bytes(png())
    (photos / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    outcome = Outcome()
    with Emulator(ready_polls=0, ready_after=0.2) as emulator:
        run(emulator, photos, folder / "journal", outcome)
        requests = sum(record.host == "api" and record.method == "GET" for record in emulator.requests)
    assert outcome.threads == {threading.get_ident()}
    kinds = outcome.kinds()
    assert kinds.pop(".hidden") == ["skipped"]
    assert kinds.pop("bad.png") == ["started", "progress", "uploaded", "failed"]
    assert kinds == {f"{n}.png": ["started", "progress", "uploaded", "done"] for n in range(COUNT)}
    counts = Counter(event.kind for event in outcome.events)
    assert (counts["counted"], counts["held"], counts["doubt"]) == (1, 0, 0)
    assert max(event.found or 0 for event in outcome.events) == COUNT + 2
    assert outcome.results == COUNT + 1
    assert outcome.summary is not None
    assert (outcome.summary.uploaded, outcome.summary.failed, outcome.summary.left) == (COUNT, 1, 0)
    # Little more than one request for each image.
    assert requests <= 1.5 * COUNT + 25
    last = [record.getMessage() for record in caplog.records if record.levelno == logging.INFO][-1]
    text = r"42 files: 40 uploaded, 1 skipped, 1 failed; \d+\.\d kB in \d+:\d\d"
    assert re.fullmatch(text, last), last
