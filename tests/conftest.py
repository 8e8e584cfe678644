"""What all tests share. Beside it stand the modules that tests of several folders import."""

# ruff: noqa: E402  # the environment comes first

from __future__ import annotations

import os

# A runner behind a proxy, or with a key of its own, tests the same; before the package is imported, which reads some of them.
# Processes that tests start inherit it.
for _name in list(os.environ):
    if _name.upper().endswith("_PROXY") or (
        _name.startswith("IMGWIRE_") and _name != "IMGWIRE_TESTS_THOROUGH"
    ):
        del os.environ[_name]

import contextlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import leaks
import pytest
from drawing import examples
from hypothesis import settings

# A busy machine makes single examples slow, not wrong.
settings.register_profile("calm", deadline=None, max_examples=examples(100))
settings.load_profile("calm")


# --- what takes long begins first ---------------------------------------------------------------------------------------


@pytest.hookimpl(trylast=True)  # what is not asked for has gone
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Among slow tests, brings the files forward whose tests may take longest, then those with most tests.

    The slow sessions hand out a file at a time: one process would be left with a long one when all others are done.
    """
    if not any(item.get_closest_marker("slow") for item in items):
        return
    counts = Counter(item.path for item in items)
    most: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        if mark is not None and mark.args:
            most[item.path] = max(most.get(item.path, 0.0), float(mark.args[0]))
    items.sort(key=lambda item: (-most.get(item.path, 0.0), -counts[item.path]))


# --- no secret is told, whatever a test is about --------------------------------------------------------------------------


def pytest_sessionstart() -> None:
    leaks.session.start()


def pytest_sessionfinish() -> None:
    leaks.session.stop()


@pytest.fixture(autouse=True)
def no_secret_is_told(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fails a test in which an error or a log record showed a key, a signed URL or an upload token."""
    reads_itself = not {"caplog", "capsys", "capfd"}.isdisjoint(request.fixturenames)
    with contextlib.nullcontext() if reads_itself else leaks.talkative():
        yield
    found = leaks.session.take()
    assert not found, found


@pytest.fixture
def planted() -> Iterator[None]:
    """For tests that plant secrets to see them found."""
    yield
    leaks.session.take()
