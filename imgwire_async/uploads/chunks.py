"""Split the bytes that readers and iterators return into chunks small enough not to block the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import cast

from imgwire_async import user_code
from imgwire_async.uploads.disk import CHUNK_SIZE

_END = object()
# A reader that is not at its end, but returns no bytes this many times in a row, counts as broken.
_MAX_EMPTY_READS = 100


async def from_reader(
    read: Callable[[int], Awaitable[bytes]], at_eof: Callable[[], object] | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an async `read` method. An empty read is the end, unless `at_eof` returns False."""
    empty_reads = 0
    while empty_reads < _MAX_EMPTY_READS:
        size = 0
        for chunk in split(await read(CHUNK_SIZE)):
            size += len(chunk)
            yield chunk
        if not size and (at_eof is None or at_eof()):
            return
        empty_reads = 0 if size else empty_reads + 1
        if empty_reads:
            # A reader that returns nothing may also never wait, and would block the event loop.
            await asyncio.sleep(0)
    raise OSError(
        f"the file returned no bytes {_MAX_EMPTY_READS} times in a row, but its at_eof() says that it is not at its end"
    )


async def from_async_iterator(items: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the items of an async iterator as chunks."""
    async for item in items:
        empty = True
        for chunk in split(item):
            empty = False
            yield chunk
        if empty:
            # An iterator that yields empty items and never waits would block the event loop.
            await asyncio.sleep(0)


async def from_iterator(items: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the items of an iterator, which runs where user code may block, as chunks."""

    def next_item() -> object:
        return next((item for item in items if type(item) is not bytes or item), _END)

    while (item := await user_code.run_reader(next_item)) is not _END:
        for chunk in split(item):
            yield chunk


def split(data: object) -> Iterator[bytes]:
    """Yield the bytes that a source returned, as chunks. Raises `TypeError` unless it is a buffer."""
    if isinstance(data, bytes):
        if len(data) <= CHUNK_SIZE:
            if data:
                yield data
            return
        view, is_mutable = memoryview(data), False
    else:
        view, is_mutable = flat_view(data, "a source must give bytes"), True
    for start in range(0, view.nbytes, CHUNK_SIZE):
        chunk = view[start : start + CHUNK_SIZE]
        # The source may reuse its buffer while this chunk waits to be sent, so the chunk is copied.
        yield chunk.tobytes() if is_mutable else cast("bytes", chunk)


# What to do about types that sources return by mistake.
_ADVICE: tuple[tuple[type, str], ...] = (
    (str, ": encode it, or open the file with mode 'rb'; paths of many files go to upload_many"),
    (os.PathLike, ": paths of many files go to upload_many"),
    (int, ": give bytes(...) of the numbers, or the array that holds them"),
    (type(None), ": a non-blocking file must be set to blocking mode (os.set_blocking)"),
)


def flat_view(data: object, expected: str) -> memoryview:
    """Return a one-dimensional view of a buffer's bytes, without a copy if they are contiguous.

    Raises `TypeError` for an object that is no buffer; `expected` begins its message.
    """
    advice = next((text for kind, text in _ADVICE if isinstance(data, kind)), "")
    message = f"{expected}, not {type(data).__name__}{advice}"
    try:
        view = memoryview(cast("bytes", data))
    except TypeError:
        raise TypeError(message) from None
    # A buffer without dimensions is a single number. Format "O" means addresses of Python objects.
    if view.ndim == 0 or "O" in view.format:
        raise TypeError(message)
    if not view.nbytes:
        return memoryview(b"")
    try:
        return view.cast("B")
    # The buffer is not contiguous, or its items are structs.
    except (TypeError, ValueError):
        return memoryview(view.tobytes())
