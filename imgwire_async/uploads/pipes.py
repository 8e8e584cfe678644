"""Pipes, FIFOs and devices: bytes as they come, and a wait for them that can be broken off.

A thread that reads an empty pipe cannot be called back. So what waits here is the loop, and threads read only what is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncGenerator, Callable
from typing import IO, cast

from imgwire_async import disk_work, user_code
from imgwire_async.uploads.chunks import slices_of
from imgwire_async.uploads.disk import CHUNK_SIZE, Handle


async def from_special_file(file: Handle) -> AsyncGenerator[bytes, None]:
    """What a FIFO or a device gives, from the moment somebody writes to it. Closes the file."""
    try:
        while True:
            await _readable(file.fileno())
            piece = await disk_work.run(file.read_some, CHUNK_SIZE)
            if piece is None:  # somebody else was quicker
                continue
            if not piece:
                return
            yield piece
    finally:
        await disk_work.run_cleanup(file.close)


async def from_unseekable(file: IO[bytes], first: bytes = b"") -> AsyncGenerator[bytes, None]:
    """What a file object without positions gives: of a buffered one each piece as it comes, not buffers full of them.

    `first` was read before.
    """
    for piece in slices_of(first) if first else ():
        yield piece
    # They give None, too, whatever their types say.
    read_all = cast("Callable[[int], object]", file.read)
    read = cast("Callable[[int], object]", file.read1 if isinstance(file, io.BufferedIOBase) else file.read)
    async with contextlib.AsyncExitStack() as stack:
        handle = _handle_of(file, stack)
        waits = handle is not None and isinstance(file, io.FileIO)  # a buffer may hold something already
        while True:
            if waits:
                assert handle is not None
                await _readable(handle)
            given, size = await user_code.run_reader(read, CHUNK_SIZE), 0
            if given is None and handle is not None:  # nothing just now
                waits = True
                continue
            for piece in slices_of(given):
                size += len(piece)
                yield piece
            waits = handle is not None and size < CHUNK_SIZE  # then no buffer holds more
            if size:
                continue
            if _ends_for_sure(file, handle):
                return
            given = await user_code.run_reader(read_all, 1)
            waits = given is None and handle is not None
            if waits:
                continue
            for piece in slices_of(given):
                size += len(piece)
                yield piece
            if not size:
                return


def _ends_for_sure(file: object, handle: int | None) -> bool:
    """Whether nothing given means the end. `read1` of a buffered file gives nothing, too, when a read would have to wait."""
    if not isinstance(file, io.BufferedIOBase):
        return True
    # Not asked for where reading blocks: a terminal would have to end once more.
    return handle is not None and hasattr(os, "get_blocking") and os.get_blocking(handle)


def _handle_of(file: object, stack: contextlib.AsyncExitStack) -> int | None:
    """A descriptor that tells when there is something to read; None for all but plain pipes. TLS keeps bytes to itself."""
    raw: object = cast("io.BufferedReader", file).raw if isinstance(file, io.BufferedReader) else file
    if not isinstance(raw, io.FileIO):
        return None
    handle = os.dup(raw.fileno())  # the caller may watch, or close, the other
    stack.push_async_callback(disk_work.run_cleanup, os.close, handle)
    return handle


async def _readable(handle: int) -> None:
    """Return when there are bytes, or the end of them; at once where that cannot be told."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(handle, ready.set)
    except (OSError, NotImplementedError):  # epoll takes no device that is always ready, Windows none at all
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(handle)
