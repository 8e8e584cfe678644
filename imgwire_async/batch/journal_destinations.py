"""The places to which a journal has uploaded, and the choice between them. The choice is a pure function."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

import attrs


@attrs.frozen
class Destination:
    """A place to which runs upload: a base URL and an environment.

    `environment_id` is None until it is known. `fingerprint` is that of the last API key.
    """

    number: int
    base_url: str
    environment_id: str | None
    fingerprint: str | None
    used_at: float


@attrs.frozen
class Choice:
    """The destination of a run, or None for a new one.

    With `needs_check`, the environment is not known, and the API key is another one or that of several
    destinations. Then the run retrieves one image of this destination before it continues.
    """

    destination: Destination | None
    needs_check: bool = False


def choose(
    known: Iterable[Destination], base_url: str, environment_id: str | None, fingerprint: str | None
) -> Choice:
    """Return the destination of a run.

    The environment decides if it is known. Otherwise the last destination with the same API key is used,
    and otherwise the last one with the same base URL, after a check.
    """
    newest_first = sorted(known, key=lambda destination: destination.used_at, reverse=True)
    here = [destination for destination in newest_first if destination.base_url == base_url]
    if environment_id is not None:
        same = [found for found in here if found.environment_id == environment_id]
        # An earlier run with the same key stopped before it knew its environment.
        unknown = [
            found for found in here if found.environment_id is None and found.fingerprint == fingerprint
        ]
        return Choice(next(iter([*same, *unknown]), None))
    same_key = [found for found in here if found.fingerprint == fingerprint]
    if same_key:
        # A key belongs to one environment, so all but one of these were given by a wrong `environment_id`.
        return Choice(same_key[0], needs_check=len(same_key) > 1)
    return Choice(here[0], needs_check=True) if here else Choice(None)


def read_all(rows: Iterable[tuple[int, str, str | None, str | None, float]]) -> list[Destination]:
    """Return the destinations of rows of `SELECT`."""
    return [Destination(*row) for row in rows]


SELECT = "SELECT id, base_url, environment_id, fingerprint, used_at FROM destinations"


def add(
    connection: sqlite3.Connection,
    base_url: str,
    environment_id: str | None,
    fingerprint: str | None,
    now: float,
) -> Destination:
    """Add a destination to a journal."""
    values = (base_url, environment_id, fingerprint, now)
    cursor = connection.execute(
        "INSERT INTO destinations (base_url, environment_id, fingerprint, used_at) VALUES (?, ?, ?, ?)",
        values,
    )
    assert cursor.lastrowid is not None
    return Destination(cursor.lastrowid, *values)


def update(connection: sqlite3.Connection, destination: Destination) -> None:
    """Write what is known about a destination."""
    connection.execute(
        "UPDATE destinations SET environment_id=?, fingerprint=?, used_at=? WHERE id=?",
        (destination.environment_id, destination.fingerprint, destination.used_at, destination.number),
    )
