"""Merge the journals of several machines into one."""

from __future__ import annotations

import functools
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing

import attrs

from imgwire_async.batch import journal_destinations, journal_file, journal_schema
from imgwire_async.batch.journal import Journal, open_journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.keys import key_bytes
from imgwire_async.batch.records import (
    JournalRow,
    RowStatus,
    all_ids,
    summary_of,
    with_abandoned,
)
from imgwire_async.results import BatchSummary

# What is known about a file is worth more, the further its upload came.
_RANKS: dict[RowStatus, int] = {"skipped": 0, "failed": 1, "started": 2, "stored": 3, "done": 4}
_CHUNK = 1_000


def merge_journals(sources: Iterable[str | os.PathLike[str]], target: str | os.PathLike[str]) -> BatchSummary:
    """Merge the rows of journals into `target`, which is created if it is missing. The sources stay.

    Of the rows of a key, the upload that came furthest wins; of two that are done, the newer one. The other
    image is then listed as abandoned. A merge that was interrupted may be repeated.

    Args:
        sources: The paths of the journals to read.
        target: The path of the journal to write.

    Returns:
        The counts of `target`.

    Raises:
        JournalError: A journal cannot be read or written.
        JournalLockedError: A journal is in use.
        ValueError: `sources` is empty, or `target` is one of the sources.
    """
    if isinstance(sources, str | bytes | os.PathLike):
        raise TypeError("sources must be a list of paths, not one path")
    paths = [*dict.fromkeys(journal_file.real_path(path) for path in sources)]
    if not paths:
        raise ValueError("sources is empty; give the paths of the journals to merge")
    if journal_file.real_path(target) in paths:
        raise ValueError("target is one of the sources; give the path of another journal")
    for path in paths:
        # Before the target is created.
        open_journal(path, must_exist=True).close()
    with closing(open_journal(target)) as merged_into:
        for path in paths:
            with closing(open_journal(path, must_exist=True)) as source:
                _merge(source, merged_into)
        counts: Counter[RowStatus] = Counter()
        for destination in merged_into.destinations():
            counts.update(merged_into.counts(destination.number))
    return summary_of(counts)


def merged(first: JournalRow, second: JournalRow) -> JournalRow:
    """Return the row of a key that two journals know. The order does not matter.

    Ids that are not those of the image are abandoned.
    """
    winner, loser = (first, second) if _order(first) >= _order(second) else (second, first)
    # The old image exists until the new version is stored, so it is not abandoned yet.
    ids = all_ids(loser) - {winner.image_id, winner.replaces}
    return attrs.evolve(winner, abandoned=tuple(sorted({*with_abandoned(winner, ids).abandoned})))


def _order(row: JournalRow) -> tuple[int, float, str, str]:
    finished_at = row.finished_at or row.started_at or 0.0
    # The last two only make the result independent of the order of the journals.
    return _RANKS[row.status], finished_at, row.image_id or "", repr(row)


def _merge(source: Journal, target: Journal) -> None:
    names = source.sources()
    for destination in source.destinations():
        number = target.run(functools.partial(_destination_number, destination=destination))
        for chunk in _chunks(source.rows(destination.number)):
            target.run(functools.partial(_merge_chunk, rows=chunk, destination=number, names=names))


def _chunks(rows: Iterator[JournalRow]) -> Iterator[list[JournalRow]]:
    chunk: list[JournalRow] = []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def _destination_number(connection: sqlite3.Connection, destination: Destination) -> int:
    """Return the number of a destination in the target, where it is added if it is missing."""
    known = journal_destinations.read_all(connection.execute(journal_destinations.SELECT))
    for other in known:
        is_same = (other.base_url, other.environment_id) == (
            destination.base_url,
            destination.environment_id,
        )
        # Without an environment, only the key tells destinations apart.
        if is_same and (
            destination.environment_id is not None or other.fingerprint == destination.fingerprint
        ):
            return other.number
    return journal_destinations.add(
        connection,
        destination.base_url,
        destination.environment_id,
        destination.fingerprint,
        destination.used_at,
    ).number


def _merge_chunk(
    connection: sqlite3.Connection, rows: Sequence[JournalRow], destination: int, names: dict[int, str]
) -> None:
    numbers = {number: _source_number(connection, name) for number, name in names.items()}
    for row in rows:
        row = attrs.evolve(row, destination=destination, source=numbers[row.source], run=0)
        found = connection.execute(
            f"{journal_schema.SELECT} WHERE destination=? AND key=?", (destination, key_bytes(row.key))
        ).fetchone()
        if found is not None:
            row = merged(journal_schema.row_of(found), row)
        connection.execute(journal_schema.PUT, journal_schema.values_of(row))


def _source_number(connection: sqlite3.Connection, name: str) -> int:
    data = key_bytes(name)
    connection.execute("INSERT OR IGNORE INTO sources (name) VALUES (?)", (data,))
    (number,) = connection.execute("SELECT id FROM sources WHERE name=?", (data,)).fetchone()
    return int(number)
