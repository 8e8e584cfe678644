"""The destination of a run, by what the journal knows."""

from __future__ import annotations

import pytest

from imgwire_async.batch.journal_destinations import Choice, Destination, choose

OLD = Destination(1, "https://api", "e1", "key1", used_at=1.0)
NEW = Destination(2, "https://api", "e2", "key2", used_at=2.0)
UNKNOWN = Destination(3, "https://api", None, "key3", used_at=3.0)
OTHER = Destination(4, "https://other", "e1", "key1", used_at=9.0)


@pytest.mark.parametrize(
    ("environment_id", "fingerprint", "expected"),
    [
        ("e1", "another key", Choice(OLD)),
        ("e2", "key1", Choice(NEW)),
        ("e3", "key1", Choice(None)),
        ("e3", "key3", Choice(UNKNOWN)),
        ("e1", "key3", Choice(OLD)),
        (None, "key1", Choice(OLD)),
        (None, "key2", Choice(NEW)),
        (None, "key3", Choice(UNKNOWN)),
        (None, "another key", Choice(UNKNOWN, needs_check=True)),
    ],
)
def test_the_environment_decides_and_otherwise_the_key(
    environment_id: str | None, fingerprint: str, expected: Choice
) -> None:
    assert choose([OLD, NEW, UNKNOWN, OTHER], "https://api", environment_id, fingerprint) == expected


def test_another_base_url_is_another_destination() -> None:
    assert choose([OLD], "https://elsewhere", "e1", "key1") == Choice(None)


def test_a_key_with_several_environments_needs_a_check() -> None:
    mistaken = Destination(5, "https://api", "mistaken", "key1", used_at=5.0)
    assert choose([OLD, mistaken], "https://api", None, "key1") == Choice(mistaken, needs_check=True)
    assert choose([OLD, mistaken], "https://api", "e1", "key1") == Choice(OLD)


def test_another_key_without_an_environment_needs_a_check() -> None:
    assert choose([OLD], "https://api", None, "new key") == Choice(OLD, needs_check=True)
    assert choose([], "https://api", None, "new key") == Choice(None)
