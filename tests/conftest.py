"""The pytest configuration of all tests.

The modules beside this file are imported by tests of several folders.
"""

# ruff: noqa: E402  # the environment has to change before the imports

from __future__ import annotations

import os

# Remove proxies and keys of the machine, before the import of the package, which reads some variables.
# Processes that tests start inherit the environment.
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


# --- the order of slow tests --------------------------------------------------------------------------------


# trylast: deselected tests are removed by then.
@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the files with the longest slow tests first, then the files with the most tests.

    Each process of a slow session gets one file at a time. Otherwise one process might start a long file at
    the end.
    """
    if not any(item.get_closest_marker("slow") for item in items):
        return
    counts = Counter(item.path for item in items)
    longest: dict[Path, float] = {}
    for item in items:
        mark = item.get_closest_marker("timeout")
        if mark is not None and mark.args:
            longest[item.path] = max(longest.get(item.path, 0.0), float(mark.args[0]))
    items.sort(key=lambda item: (-longest.get(item.path, 0.0), -counts[item.path]))


# --- no test may leak a secret ------------------------------------------------------------------------------


def pytest_sessionstart() -> None:
    leaks.session.start()


def pytest_sessionfinish() -> None:
    leaks.session.stop()


@pytest.fixture(autouse=True)
def no_secret_leaks(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test if an error or a log record shows a key, a presigned URL or an upload token."""
    reads_output = not {"caplog", "capsys", "capfd"}.isdisjoint(request.fixturenames)
    with contextlib.nullcontext() if reads_output else leaks.debug_logging():
        yield
    found = leaks.session.take()
    assert not found, found


@pytest.fixture
def intended_leaks() -> Iterator[None]:
    """Ignore the leaks of a test that checks the detection itself."""
    yield
    leaks.session.take()
