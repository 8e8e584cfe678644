"""Fixtures of the tests of batch runs."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from world_fixtures import *  # noqa: F403  # hooks and fixtures


@pytest.fixture(autouse=True)
def no_journal_stays_open() -> Iterator[None]:
    """Fail a test that leaves a thread of a journal behind."""
    yield
    left = [thread.name for thread in threading.enumerate() if thread.name == "imgwire_async journal"]
    assert not left, "close each journal"


@pytest.fixture(scope="session")
def _memory_folder() -> Iterator[Path | None]:
    """Return a folder in memory, where a journal need not wait for the disk, or None."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        yield None
        return
    with tempfile.TemporaryDirectory(dir=memory) as name:
        yield Path(name)


@pytest.fixture
def folder(_memory_folder: Path | None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an empty folder on a fast disk."""
    if _memory_folder is None:
        return tmp_path_factory.mktemp("journal")
    return Path(tempfile.mkdtemp(dir=_memory_folder))
