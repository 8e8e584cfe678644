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
from collections.abc import Iterator

import leaks
import pytest
from drawing import examples
from hypothesis import settings

# A busy machine makes single examples slow, not wrong.
settings.register_profile("calm", deadline=None, max_examples=examples(100))
settings.load_profile("calm")


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
