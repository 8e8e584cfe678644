"""Whatever a library gives as bytes, cut into pieces that hold the loop only briefly."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from typing import cast

from imgwire_async import user_code
from imgwire_async.uploads.disk import CHUNK_SIZE

_END = object()
_TRIES = 100  # reads that may give nothing, one after the other, before the end


async def from_reader(
    read: Callable[[int], Awaitable[bytes]], at_eof: Callable[[], object] | None = None
) -> AsyncGenerator[bytes, None]:
    """What an async `read` gives. Nothing is the end, unless `at_eof` says otherwise."""
    in_vain = 0
    while in_vain < _TRIES:
        size = 0
        for piece in slices_of(await read(CHUNK_SIZE)):
            size += len(piece)
            yield piece
        if not size and (at_eof is None or at_eof()):
            return
        in_vain = 0 if size else in_vain + 1
        if in_vain:
            await asyncio.sleep(0)  # such a reader may not wait by itself
    raise OSError(f"the file gave nothing {_TRIES} times, and is not at its end either, as its at_eof() says")


async def from_async_iterator(items: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    async for item in items:
        empty = True
        for piece in slices_of(item):
            empty = False
            yield piece
        if empty:
            await asyncio.sleep(0)  # nothing, for ever and without waiting, would hold the loop


async def from_iterator(items: Iterator[bytes]) -> AsyncGenerator[bytes, None]:
    def step() -> object:
        return next((item for item in items if type(item) is not bytes or item), _END)

    while (item := await user_code.run_reader(step)) is not _END:
        for piece in slices_of(item):
            yield piece


def slices_of(given: object) -> Iterator[bytes]:
    """What a source gave, cut into pieces that hold the loop only briefly; a `TypeError` unless that is bytes."""
    if isinstance(given, bytes):
        if len(given) <= CHUNK_SIZE:
            if given:
                yield given
            return
        view, copied = memoryview(given), False
    else:
        view, copied = flat(given, "a source must give bytes"), True
    for start in range(0, view.nbytes, CHUNK_SIZE):
        piece = view[start : start + CHUNK_SIZE]
        # A copy where the source may use its buffer again while this piece waits.
        yield piece.tobytes() if copied else cast("bytes", piece)


# None would mean a non-blocking source, text an undecided encoding, and a number one byte per step.
_INSTEAD: tuple[tuple[type, str], ...] = (
    (str, ": encode it, or open the file with mode 'rb'; paths of many files go to upload_many"),
    (os.PathLike, ": paths of many files go to upload_many"),
    (int, ": give bytes(...) of the numbers, or the array that holds them"),
    (type(None), ": a file that never waits has to be set to wait (os.set_blocking)"),
)


def flat(given: object, expected: str) -> memoryview:
    """A view of whatever a library calls its bytes, as bytes in a row, without a copy where they lie so."""
    instead = next((advice for kind, advice in _INSTEAD if isinstance(given, kind)), "")
    refused = f"{expected}, not {type(given).__name__}{instead}"
    try:
        view = memoryview(cast("bytes", given))
    except TypeError:
        raise TypeError(refused) from None
    # A single number, of which there would be many; or places in memory.
    if view.ndim == 0 or "O" in view.format:
        raise TypeError(refused)
    if not view.nbytes:
        return memoryview(b"")
    try:
        return view.cast("B")
    except (TypeError, ValueError):  # not in a row, or of a kind with fields
        return memoryview(view.tobytes())
