"""What must hold after the runs of a batch: compare the files, the journal and the images of the emulator."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from imgwire_async.batch.journal import open_journal
from imgwire_async.batch.records import BatchRecord, record_of
from imgwire_async.emulator import Emulator

# The sizes of the slow tests. By hand: `BATCH_TESTS_FILES=20000 BATCH_TESTS_KILLS=30 nox -s slow`.
FILES = int(os.environ.get("BATCH_TESTS_FILES", "2000"))
KILLS = int(os.environ.get("BATCH_TESTS_KILLS", "10"))


def ready_images(emulator: Emulator) -> dict[str, list[str]]:
    """Return the IDs of all images that are READY, by the SHA-256 of their bytes."""
    found: dict[str, list[str]] = {}
    for image in emulator.images.values():
        if image.status == "READY":
            assert image.stored is not None
            found.setdefault(image.stored.sha256, []).append(image.id)
    return found


def records_of(journal: Path) -> dict[str, BatchRecord]:
    """Return the records of all destinations of a journal that no run uses, by their keys."""
    opened = open_journal(journal, must_exist=True)
    try:
        destinations = opened.destinations()
        return {
            row.key: record_of(row) for destination in destinations for row in opened.rows(destination.number)
        }
    finally:
        opened.close()


def check_exactly_once(emulator: Emulator, hashes: Mapping[str, str], journal: Path) -> None:
    """Check that each file is exactly one image, and that the journal says which."""
    images = ready_images(emulator)
    twice = {key: images[sha256] for key, sha256 in hashes.items() if len(images.get(sha256, [])) > 1}
    assert not twice, f"{len(twice)} files are there more than once: {dict([*twice.items()][:3])}"
    missing = [key for key, sha256 in hashes.items() if sha256 not in images]
    assert not missing, f"{len(missing)} files are missing: {missing[:5]}"
    assert set(images) == set(hashes.values())
    records = records_of(journal)
    assert Counter(record.status for record in records.values()) == {"done": len(hashes)}
    assert {key: records[key].image_id for key in hashes} == {
        key: images[sha256][0] for key, sha256 in hashes.items()
    }
