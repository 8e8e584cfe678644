"""Pipes, FIFOs and devices: bytes as they come, and a wait for them that can be broken off.

A thread that reads an empty pipe cannot be called back. So what waits here is the loop, and threads read only what is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncGenerator
from typing import IO, cast

from imgwire_async import userland
from imgwire_async.uploads.disk import PIECE, opened
from imgwire_async.uploads.source import bytes_of, patiently


async def from_special_file(path: str) -> AsyncGenerator[bytes, None]:
    """What a FIFO or a device gives, from the moment somebody writes to it."""
    file = await opened(_unblocking, path)
    try:
        while True:
            await _readable(file.fileno())
            piece = cast("bytes | None", await patiently(userland.disk, file.read, PIECE))
            if piece is None:  # somebody else was quicker
                continue
            if not piece:
                return
            yield piece
    finally:
        file.close()


def _unblocking(path: str) -> io.FileIO:
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    return io.FileIO(os.open(path, flags), "r")  # to open a FIFO otherwise takes until it has a writer


async def from_unseekable(file: IO[bytes]) -> AsyncGenerator[bytes, None]:
    """What a file object without positions gives: of a buffered one each piece as it comes, not buffers full of them."""
    read = file.read1 if isinstance(file, io.BufferedIOBase) else file.read
    with contextlib.ExitStack() as stack:
        handle = _handle_of(file, stack)
        waits = handle is not None and isinstance(file, io.FileIO)  # a buffer may hold something already
        while True:
            if waits:
                assert handle is not None
                await _readable(handle)
            piece = bytes_of(await patiently(userland.read, read, PIECE))
            if not piece:
                return
            yield piece
            waits = handle is not None and len(piece) < PIECE  # then no buffer holds more


def _handle_of(file: object, stack: contextlib.ExitStack) -> int | None:
    """A descriptor that tells when there is something to read; None for all but plain pipes. TLS keeps bytes to itself."""
    raw: object = cast("io.BufferedReader", file).raw if isinstance(file, io.BufferedReader) else file
    if not isinstance(raw, io.FileIO):
        return None
    handle = os.dup(raw.fileno())  # the caller may watch, or close, the other
    stack.callback(os.close, handle)
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
