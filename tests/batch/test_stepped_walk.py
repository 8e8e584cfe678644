"""Walks in steps: when a step ends, and when the generator is closed."""

from __future__ import annotations

from collections.abc import Generator

from imgwire_async.batch.items import MAX_BYTES, Entry, Identity, Skip
from imgwire_async.batch.sources.stepped_walk import SteppedWalk
from imgwire_async.uploads.item import UploadItem

ENTRY = Entry("a", UploadItem(bytes(MAX_BYTES // 2)), Identity(MAX_BYTES // 2))


def test_a_step_ends_when_its_items_keep_much_memory() -> None:
    walk = SteppedWalk(lambda: (ENTRY for _ in range(5)))
    steps = [walk.read() for _ in range(3)]
    assert [(len(items), is_over) for items, is_over in steps] == [(2, False), (2, False), (1, True)]


def test_a_walk_that_is_stopped_closes_its_generator() -> None:
    closed: list[bool] = []

    def items() -> Generator[Entry | Skip | None, None, None]:
        try:
            while True:
                yield ENTRY
        finally:
            closed.append(True)

    walk = SteppedWalk(items)
    walk.read()
    assert walk.stop()
    assert not closed
    walk.close()
    assert closed == [True]
