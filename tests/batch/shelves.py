"""A file system of fsspec for tests: it is written for asyncio, and fails on demand.

`shelf://` has the files of the dictionary `Shelf.files`, and lists one folder at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.asyn import AsyncFileSystem


class ServiceError(OSError):
    """An error with the status of an HTTP response."""

    def __init__(self, status: int, text: str = "please wait") -> None:
        super().__init__(text)
        self.status = status


class Shelf(AsyncFileSystem):
    """Files in memory, with faults. `faults` are raised by the next calls, one after the other."""

    protocol = "shelf"
    cachable = False
    files: ClassVar[dict[str, bytes]] = {}
    faults: ClassVar[list[BaseException | float]] = []
    calls: ClassVar[list[str]] = []
    options: ClassVar[list[dict[str, Any]]] = []
    loops: ClassVar[set[asyncio.AbstractEventLoop]] = set()
    closed: ClassVar[int] = 0

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        type(self).options.append(options)
        self._session = self

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        # The user info of the URL does not belong to the path.
        return path.removeprefix("shelf://").rpartition("@")[2].rstrip("/")

    async def close(self) -> None:
        type(self).closed += 1

    async def _fail(self, call: str) -> None:
        type(self).calls.append(call)
        type(self).loops.add(asyncio.get_running_loop())
        if self.faults:
            fault = self.faults.pop(0)
            if isinstance(fault, BaseException):
                raise fault
            await asyncio.sleep(fault)

    def _info_of(self, path: str) -> dict[str, Any]:
        data = self.files[path]
        return {"name": path, "size": len(data), "type": "file", "etag": f'"{hash(data):x}"'}

    async def _info(self, path: str, **options: Any) -> dict[str, Any]:
        await self._fail(f"info {path}")
        if path not in self.files:
            raise FileNotFoundError(path)
        return self._info_of(path)

    async def _ls(self, path: str, detail: bool = True, **options: Any) -> list[dict[str, Any]]:
        await self._fail(f"ls {path}")
        found: dict[str, dict[str, Any]] = {}
        for name in [*self.files]:
            if name.startswith(f"{path}/"):
                first, slash, _ = name[len(path) + 1 :].partition("/")
                child = f"{path}/{first}"
                found[child] = (
                    {"name": child, "size": 0, "type": "directory"} if slash else self._info_of(name)
                )
        if not found:
            raise FileNotFoundError(path)
        return [*found.values()]

    async def _cat_file(self, path: str, start: Any = None, end: Any = None, **options: Any) -> bytes:
        await self._fail(f"cat {path}")
        if path not in self.files:
            raise FileNotFoundError(path)
        return self.files[path][start:end]


@pytest.fixture
def shelf() -> Iterator[type[Shelf]]:
    """Register an empty shelf."""
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    Shelf.files, Shelf.faults, Shelf.calls, Shelf.options = {}, [], [], []
    Shelf.loops, Shelf.closed = set(), 0
    yield Shelf
    Shelf.files = {}
