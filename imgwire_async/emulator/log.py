"""What the emulator was asked, for assertions."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import overload

from attrs import evolve, field, frozen

from imgwire_async.emulator.http import HostName

__all__ = ["LogEntry", "RequestLog", "RequestRecord"]

_NOTHING = sha256(b"").hexdigest()


@frozen(kw_only=True)
class RequestRecord:
    """One request. `status` is None while it is unanswered and for ever when the connection was reset instead.
    `body_length` and `body_sha256` tell what the emulator read of the body, which a fault may cut short.
    """

    host: HostName
    method: str
    target: str
    headers: list[tuple[str, str]] = field(repr=False)
    connection: int
    at: datetime
    body_length: int = 0
    body_sha256: str = _NOTHING
    status: int | None = None
    answer_length: int = 0

    def header(self, name: str) -> str | None:
        """The first value of a header, whatever its case; None when it was not sent."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class LogEntry:
    """The open line of one request; written by its handler only."""

    def __init__(self, records: list[RequestRecord], index: int) -> None:
        self._records = records
        self._index = index

    def close(self, *, status: int | None, body_length: int, body_sha256: str, answer_length: int) -> None:
        """Fill in how it ended, before the answer leaves: whoever has the answer finds the full record."""
        self._records[self._index] = evolve(
            self._records[self._index],
            status=status,
            body_length=body_length,
            body_sha256=body_sha256,
            answer_length=answer_length,
        )


class RequestLog(Sequence[RequestRecord]):
    """All requests in order of arrival. Written by the emulator's loop; read from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []

    def add(self, record: RequestRecord) -> LogEntry:
        """Write a line down and return it for its end."""
        with self._lock:
            self._records.append(record)
            return LogEntry(self._records, len(self._records) - 1)

    def clear(self) -> None:
        """Forget all lines; requests under way don't come back."""
        with self._lock:
            self._records = []  # a new list: open entries go on writing into the old one

    def snapshot(self) -> list[RequestRecord]:
        """A copy that no later request changes."""
        with self._lock:
            return list(self._records)

    @overload
    def __getitem__(self, index: int) -> RequestRecord: ...
    @overload
    def __getitem__(self, index: slice) -> list[RequestRecord]: ...
    def __getitem__(self, index: int | slice) -> RequestRecord | list[RequestRecord]:
        return self._records[index]

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> Iterator[RequestRecord]:
        return iter(self.snapshot())

    def __repr__(self) -> str:
        return f"<RequestLog of {len(self)}: {', '.join(f'{r.method} {r.target} {r.status}' for r in self[-5:])}>"
