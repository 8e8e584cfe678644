"""Read pipes, FIFOs and devices in a way that can be cancelled.

A thread that reads an empty pipe cannot be cancelled. So the event loop waits until a pipe is readable, and
only then a thread reads the bytes that have arrived.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import AsyncGenerator, Callable
from typing import IO, cast

from imgwire_async import disk_work, user_code
from imgwire_async.uploads.chunks import split
from imgwire_async.uploads.disk import CHUNK_SIZE, Handle


async def from_special_file(file: Handle) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a FIFO or device, then close it. Wait for the first writer of a FIFO."""
    try:
        while True:
            await _wait_readable(file.fileno())
            chunk = await disk_work.run(file.read_some, CHUNK_SIZE)
            # None means that another reader took the bytes after the wait.
            if chunk is None:
                continue
            if not chunk:
                return
            yield chunk
    finally:
        await disk_work.run_cleanup(file.close)


async def from_unseekable(file: IO[bytes], first: bytes = b"") -> AsyncGenerator[bytes, None]:
    """Yield `first`, then the rest of a file object that cannot seek.

    `first` holds bytes that were read from the file before. The bytes of a buffered file are yielded as they
    arrive, not when its buffer is full.
    """
    for chunk in split(first) if first else ():
        yield chunk
    # The casts are needed because `read` of a non-blocking file may return None, which its type does not say.
    read_all = cast("Callable[[int], object]", file.read)
    read = cast("Callable[[int], object]", file.read1 if isinstance(file, io.BufferedIOBase) else file.read)
    async with contextlib.AsyncExitStack() as stack:
        descriptor = _pipe_descriptor(file, stack)
        # A buffered file may have bytes in its buffer already, so its first read must not wait for the pipe.
        must_wait = descriptor is not None and isinstance(file, io.FileIO)
        while True:
            if must_wait:
                assert descriptor is not None
                await _wait_readable(descriptor)
            data, size = await user_code.run_reader(read, CHUNK_SIZE), 0
            # None means that no bytes have arrived yet.
            if data is None and descriptor is not None:
                must_wait = True
                continue
            for chunk in split(data):
                size += len(chunk)
                yield chunk
            # A short read has emptied the buffer, so the next read has to wait for the pipe.
            must_wait = descriptor is not None and size < CHUNK_SIZE
            if size:
                continue
            if _is_end(file, descriptor):
                return
            # `read1` returns no bytes at the end of a file, and also if it would block. `read` distinguishes
            # these cases, because it returns None if it would block.
            data = await user_code.run_reader(read_all, 1)
            must_wait = data is None and descriptor is not None
            if must_wait:
                continue
            for chunk in split(data):
                size += len(chunk)
                yield chunk
            if not size:
                return


def _is_end(file: object, descriptor: int | None) -> bool:
    """Return whether an empty read is certain to be the end of `file`.

    `read1` of a non-blocking buffered file also returns no bytes when it would block.
    """
    if not isinstance(file, io.BufferedIOBase):
        return True
    # In blocking mode an empty result of `read1` means the end. A second read is avoided, because it would
    # make a terminal ask for input again.
    return descriptor is not None and hasattr(os, "get_blocking") and os.get_blocking(descriptor)


def _pipe_descriptor(file: object, stack: contextlib.AsyncExitStack) -> int | None:
    """Return a descriptor that shows when `file` is readable, or None if it is not a plain pipe.

    A TLS connection, for example, buffers decrypted bytes, so its descriptor does not show whether bytes can
    be read. `stack` closes the returned descriptor.
    """
    raw: object = cast("io.BufferedReader", file).raw if isinstance(file, io.BufferedReader) else file
    if not isinstance(raw, io.FileIO):
        return None
    # Return a duplicate, because the caller may watch or close the descriptor of the file.
    descriptor = os.dup(raw.fileno())
    stack.push_async_callback(disk_work.run_cleanup, os.close, descriptor)
    return descriptor


async def _wait_readable(descriptor: int) -> None:
    """Wait until the descriptor has bytes or is at its end. Return at once if the loop cannot watch it."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(descriptor, ready.set)
    # epoll rejects devices that are always ready, and the event loops of Windows reject all pipes.
    except (OSError, NotImplementedError):
        return
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)
