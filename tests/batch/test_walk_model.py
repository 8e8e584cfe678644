"""A walk decides on drawn files and rows as the pure functions do, and counts all of them."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import attrs
from drawing import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batch.journals import begin, opened
from batch.rows import rows
from batch.walks import Counts, ListSource, entry, walk_all
from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.plan import decide
from imgwire_async.batch.records import JournalRow
from imgwire_async.batch.walk import Walk

KEYS = st.sampled_from(["a", "b", "c", "d", "e\udcff"])
IDENTITIES = st.builds(Identity, st.just(3), st.sampled_from([4, 5]), st.sampled_from([None, "aa"]))
ITEMS = st.lists(st.builds(entry, KEYS, IDENTITIES) | st.builds(Skip, KEYS, st.just("empty")), max_size=12)


def expected(
    items: list[Entry | Skip], known: dict[str, JournalRow], shard: Shard | None
) -> tuple[list[tuple[str, str]], int]:
    """Return the key and the action of each file that a walk passes on, and the number of those done."""
    found: list[tuple[str, str]] = []
    done_before = 0
    seen: set[str] = set()
    for item in items:
        if shard is not None and item.key not in shard:
            continue
        row = known.get(item.key)
        if item.key in seen or isinstance(item, Skip):
            found.append((item.key, "skip"))
        else:
            action = decide(row, item.identity).action
            if action == "done" and row is not None and row.status == "done":
                done_before += 1
            else:
                found.append((item.key, action))
        seen.add(item.key)
    return sorted(found), done_before


@settings(
    max_examples=examples(100),
    deadline=None,
    # Each example has a journal of its own in the folder.
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    items=ITEMS,
    drawn=st.lists(st.tuples(KEYS, rows()), max_size=5),
    shard=st.sampled_from([None, Shard(1, 2)]),
)
def test_a_walk_decides_as_the_pure_functions_do(
    folder: Path, items: list[Entry | Skip], drawn: list[tuple[str, JournalRow]], shard: Shard | None
) -> None:
    counts = Counts()
    with opened(Path(tempfile.mkdtemp(dir=folder)) / "photos.journal") as journal:
        begin(journal)
        known = {
            key: attrs.evolve(row, key=key, identity=Identity(3, 4, row.identity.sha256))
            for key, row in drawn
        }
        journal.put_blocking([*known.values()])
        walk = Walk(ListSource(items, may_repeat=True), journal, begin(journal), shard=shard, listener=counts)
        files = asyncio.run(walk_all(walk))
    left, done_before = expected(items, known, shard)
    assert sorted((file.entry.key, file.decision.action) for file in files) == left
    assert counts == Counts(len(left) + done_before, done_before, was_counted=True)
    assert walk.is_complete
