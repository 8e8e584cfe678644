"""Keep uploaded bodies in memory: all bytes of small bodies, the start and end of large bodies."""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["MAXIMUM_WHOLE_BODY", "BodyRecorder", "StoredBody", "whole_body"]

# The maximum length in bytes of a body that is kept whole.
MAXIMUM_WHOLE_BODY = 32 * 2**20
# How many bytes at the start (head) and at the end (tail) of a longer body are kept.
_HEAD_SIZE = 2**20
_TAIL_SIZE = 64 * 2**10


@frozen(kw_only=True)
class StoredBody:
    """One uploaded body.

    `data` is the whole body. It is None for a PUT of over 32 MiB, and for every PUT while
    `Emulator.keep_bodies` is False. Pictures uploaded by URL are always kept whole. If `data` is None, `head`
    is the first MiB and `tail` the last 64 KiB. Otherwise `head` is the whole body and `tail` is empty.
    `sha256` and `length` always describe the whole body.
    """

    sha256: str
    length: int
    data: bytes | None = field(repr=False)
    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)


class BodyRecorder:
    """Record the body of one request. Bodies over `limit` bytes are not kept whole, to limit the memory."""

    def __init__(self, limit: int = MAXIMUM_WHOLE_BODY) -> None:
        self._limit = limit
        self._chunks: list[bytes] | None = []
        self._head = bytearray()
        self._tail = bytearray()
        self._length = 0

    def add(self, chunk: bytes) -> None:
        """Add the next chunk of the body."""
        self._length += len(chunk)
        if self._chunks is not None and self._length <= self._limit:
            self._chunks.append(chunk)
            return
        if self._chunks is not None:
            chunks, self._chunks = self._chunks, None
            for earlier_chunk in chunks:
                self._keep_ends(earlier_chunk)
        self._keep_ends(chunk)

    def finish(self, sha256: str) -> StoredBody:
        """Return the recorded body. `sha256` is the hash of the whole body, which the caller has computed."""
        if self._chunks is None:
            return StoredBody(
                sha256=sha256, length=self._length, data=None, head=bytes(self._head), tail=bytes(self._tail)
            )
        return whole_body(b"".join(self._chunks), sha256)

    def _keep_ends(self, chunk: bytes) -> None:
        self._head += chunk[: _HEAD_SIZE - len(self._head)]
        self._tail += chunk[-_TAIL_SIZE:]
        del self._tail[:-_TAIL_SIZE]


def whole_body(data: bytes, sha256: str) -> StoredBody:
    """Return a `StoredBody` that keeps all of `data`."""
    return StoredBody(sha256=sha256, length=len(data), data=data, head=data, tail=b"")
