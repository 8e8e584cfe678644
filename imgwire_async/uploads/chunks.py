"""Yield the bytes of readers and iterators in small chunks, because a large chunk blocks the event loop."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import cast

from imgwire_async import user_code
from imgwire_async.uploads.disk import CHUNK_SIZE

_END = object()
# A reader whose `at_eof()` returns False counts as broken after this many empty reads in a row.
_MAX_EMPTY_READS = 100


async def from_reader(
    read: Callable[[int], Awaitable[bytes]], at_eof: Callable[[], object] | None = None
) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of an async `read` method until a read returns no bytes.

    If `at_eof` is given, an empty read is the end only if `at_eof()` returns True. Raises `OSError` after too
    many empty reads in a row.
    """
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
            # A `read` that returns no bytes may never wait, so a loop of empty reads would block the event
            # loop.
            await asyncio.sleep(0)
    raise OSError(
        f"the file returned no bytes {_MAX_EMPTY_READS} times in a row, but its at_eof() says that it is not at its end"
    )


async def from_async_iterator(items: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the items of an async iterator, split into chunks."""
    async for item in items:
        empty = True
        for chunk in split(item):
            empty = False
            yield chunk
        if empty:
            # An iterator that yields empty items without waiting would block the event loop.
            await asyncio.sleep(0)


async def from_iterator(items: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Yield the items of a plain iterator, split into chunks.

    The iterator is user code and may block, so it runs in the thread that `user_code` chooses.
    """

    def next_item() -> object:
        return next((item for item in items if type(item) is not bytes or item), _END)

    while (item := await user_code.run_reader(next_item)) is not _END:
        for chunk in split(item):
            yield chunk


def split(data: object) -> Iterator[bytes]:
    """Yield the bytes of a buffer in chunks. Raises `TypeError` if `data` is no buffer."""
    if isinstance(data, bytes):
        if len(data) <= CHUNK_SIZE:
            if data:
                yield data
            return
        view, is_mutable = memoryview(data), False
    else:
        view, is_mutable = flat_view(data, "a source must yield bytes"), True
    for start in range(0, view.nbytes, CHUNK_SIZE):
        chunk = view[start : start + CHUNK_SIZE]
        # The source may reuse its buffer before this chunk is sent, so the chunk is a copy.
        yield chunk.tobytes() if is_mutable else cast("bytes", chunk)


# Advice for types that sources return by mistake. The advice is the end of the error message.
_ADVICE: tuple[tuple[type, str], ...] = (
    (str, ": encode it, or open the file with mode 'rb'; paths of many files go to upload_many"),
    (os.PathLike, ": paths of many files go to upload_many"),
    (int, ": pass bytes(...) of the numbers, or the array that holds them"),
    (type(None), ": a non-blocking file must be set to blocking mode (os.set_blocking)"),
)


def flat_view(data: object, expected: str) -> memoryview:
    """Return a one-dimensional view of the bytes of a buffer. Contiguous bytes are not copied.

    Raises `TypeError` for an object that is no buffer. The error message begins with `expected`.
    """
    advice = next((advice for kind, advice in _ADVICE if isinstance(data, kind)), "")
    message = f"{expected}, not {type(data).__name__}{advice}"
    try:
        view = memoryview(cast("bytes", data))
    except TypeError:
        raise TypeError(message) from None
    # Reject a single number, which has no dimensions, and an array of references to Python objects, which has
    # the format "O".
    if view.ndim == 0 or "O" in view.format:
        raise TypeError(message)
    if not view.nbytes:
        return memoryview(b"")
    try:
        return view.cast("B")
    # `cast` fails for a buffer that is not contiguous, and for a buffer of structs. So copy its bytes.
    except (TypeError, ValueError):
        return memoryview(view.tobytes())
