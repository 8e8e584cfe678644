"""Drawn rows for property tests of the journal."""

from __future__ import annotations

from typing import Any

import attrs
from hypothesis import strategies as st

from imgwire_async.batch.items import Identity
from imgwire_async.batch.records import STATUSES, JournalRow

IDS = st.sampled_from(["i1", "i2", "i3", "i4"])


def rows(**fixed: Any) -> st.SearchStrategy[JournalRow]:
    """Draw rows as they may stand in a journal."""
    drawn: dict[str, Any] = {
        "key": st.text(st.characters(exclude_categories=()), min_size=1),
        "identity": st.builds(
            Identity,
            st.none() | st.integers(0, 2**62),
            st.none() | st.integers(-(2**70), 2**70),
            st.none() | st.sampled_from(["aa", "bb"]),
            st.none() | st.sampled_from(["t1", "t2"]),
        ),
        "status": st.sampled_from(STATUSES),
        "generation": st.integers(0, 3),
        "idempotency_key": st.none() | st.sampled_from(["k1", "k2"]),
        "image_id": st.none() | IDS,
        "cdn_url": st.none() | st.just("https://cdn.example/i"),
        "replaces": st.none() | IDS,
        "abandoned": st.lists(IDS, unique=True).map(tuple),
        "error_type": st.none() | st.just("UploadError"),
        "error": st.none() | st.just("an error"),
        "attempts": st.integers(0, 5),
        "started_at": st.none() | st.floats(0, 2e9),
        "finished_at": st.none() | st.floats(0, 2e9),
    }
    drawn |= {name: st.just(value) for name, value in fixed.items()}
    numbers = {name: st.just(1) for name in ("destination", "source", "run")}
    return st.builds(JournalRow, **numbers, **drawn).map(_as_written)


def _as_written(row: JournalRow) -> JournalRow:
    """Return the row as a run would write it: with bytes it has an image, which is not in other fields."""
    if row.has_bytes:
        row = attrs.evolve(row, image_id=row.image_id or "i5", replaces=None)
    others = {row.image_id, row.replaces} if row.has_bytes else {row.replaces}
    return attrs.evolve(row, abandoned=tuple(i for i in row.abandoned if i not in others))
