"""The set of keys on disk."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async.batch.scratch import KeyTable
from imgwire_async.batch_errors import BatchError


@pytest.fixture
def table() -> Iterator[KeyTable]:
    with contextlib.closing(KeyTable()) as table:
        yield table


KEYS = st.lists(st.text(st.characters(exclude_categories=()), max_size=3), max_size=8)


@settings(max_examples=examples(100))
@given(st.lists(KEYS, max_size=5))
def test_add_returns_the_keys_that_are_new(calls: list[list[str]]) -> None:
    known: set[str] = set()
    with contextlib.closing(KeyTable()) as table:
        for keys in calls:
            assert table.add(keys) == set(keys) - known
            known |= set(keys)
            assert table.contains([*known, "other"]) == known | ({"other"} & known)


def test_many_keys_can_be_added_at_once(table: KeyTable) -> None:
    keys = [f"{number:06}" for number in range(3_000)]
    assert table.add(keys) == set(keys)
    assert table.contains([*keys, "new"]) == set(keys)


def test_a_table_can_be_closed_twice(table: KeyTable) -> None:
    table.close()
    table.close()


def test_a_full_temporary_directory_is_reported_with_the_way_out(table: KeyTable) -> None:
    table._connection.execute("PRAGMA max_page_count=4")
    with pytest.raises(BatchError, match="SQLITE_TMPDIR") as caught:
        table.add([f"{number:0300}" for number in range(500)])
    assert isinstance(caught.value.__cause__, sqlite3.Error)
