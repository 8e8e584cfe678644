"""Uploaded bytes at rest: whole when they are small, otherwise their hash, their length and both ends."""

from __future__ import annotations

from attrs import field, frozen

__all__ = ["MAXIMUM_WHOLE_BODY", "BodyRecorder", "StoredBody", "whole_body"]

MAXIMUM_WHOLE_BODY = 32 * 2**20
_HEAD = 2**20
_TAIL = 64 * 2**10


@frozen(kw_only=True)
class StoredBody:
    """What arrived. `data` is None for a body over 32 MiB (or when `keep_bodies` is off): then only `head` (its first
    MiB) and `tail` (its last 64 KiB) are there. `sha256` and `length` are always those of the whole.
    """

    sha256: str
    length: int
    data: bytes | None = field(repr=False)
    head: bytes = field(repr=False)
    tail: bytes = field(repr=False)


class BodyRecorder:
    """Collects one body chunk by chunk in bounded memory. Owned by one request."""

    def __init__(self, limit: int = MAXIMUM_WHOLE_BODY) -> None:
        self._limit = limit
        self._parts: list[bytes] | None = []
        self._head = bytearray()
        self._tail = bytearray()
        self._length = 0

    def add(self, chunk: bytes) -> None:
        """Take the next bytes."""
        self._length += len(chunk)
        if self._parts is not None and self._length <= self._limit:
            self._parts.append(chunk)
            return
        if self._parts is not None:
            held, self._parts = self._parts, None
            for part in held:
                self._keep_ends(part)
        self._keep_ends(chunk)

    def done(self, sha256: str) -> StoredBody:
        """The record of what came."""
        if self._parts is None:
            return StoredBody(
                sha256=sha256, length=self._length, data=None, head=bytes(self._head), tail=bytes(self._tail)
            )
        return whole_body(b"".join(self._parts), sha256)

    def _keep_ends(self, chunk: bytes) -> None:
        self._head += chunk[: _HEAD - len(self._head)]
        self._tail += chunk[-_TAIL:]
        del self._tail[:-_TAIL]


def whole_body(data: bytes, sha256: str) -> StoredBody:
    """The record of a body that is kept whole."""
    return StoredBody(sha256=sha256, length=len(data), data=data, head=data, tail=b"")
