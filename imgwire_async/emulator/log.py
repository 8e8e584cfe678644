"""The log of all requests that the emulator received, for assertions in tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import overload

from attrs import evolve, field, frozen

from imgwire_async.emulator.http import HostName

__all__ = ["LogEntry", "RequestLog", "RequestRecord"]

_EMPTY_SHA256 = sha256(b"").hexdigest()


@frozen(kw_only=True)
class RequestRecord:
    """One received request.

    `host` is `"api"`, `"storage"` or `"cdn"`. `target` is the path and query as sent, still percent-encoded.
    `headers` are the headers as sent. `connection` is the number of the TCP connection. `at` is the time at
    which the request arrived, by the emulator's clock.

    `status` is the status of the response. It is None while the request runs, and if the request ended
    without a response, because a fault reset the connection or the client disconnected. `response_length` is
    the length of the response body, 0 for a HEAD. A fault with `cut` does not change it. `body_length` and
    `body_sha256` describe the bytes of the request body that the emulator read. These may be fewer than the
    client sent.
    """

    host: HostName
    method: str
    target: str
    headers: list[tuple[str, str]] = field(repr=False)
    connection: int
    at: datetime
    body_length: int = 0
    body_sha256: str = _EMPTY_SHA256
    status: int | None = None
    response_length: int = 0

    def header(self, name: str) -> str | None:
        """Return the first value of a header, or None if the request does not have the header.

        The case of `name` does not matter.
        """
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


class LogEntry:
    """The log entry of a request that is still running."""

    def __init__(self, records: list[RequestRecord], index: int) -> None:
        self._records = records
        self._index = index

    def close(self, *, status: int | None, body_length: int, body_sha256: str, response_length: int) -> None:
        """Set the fields of the record that are known at the end of the request.

        The emulator calls this before it sends the response. So a test that has received the response finds
        the complete record.
        """
        self._records[self._index] = evolve(
            self._records[self._index],
            status=status,
            body_length=body_length,
            body_sha256=body_sha256,
            response_length=response_length,
        )


class RequestLog(Sequence[RequestRecord]):
    """All requests in order of arrival.

    The emulator's event loop writes the log. Any thread may read it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._records: list[RequestRecord] = []

    def add(self, record: RequestRecord) -> LogEntry:
        """Add the record of a new request, and return the entry that completes the record later."""
        with self._lock:
            self._records.append(record)
            return LogEntry(self._records, len(self._records) - 1)

    def clear(self) -> None:
        """Remove all records. A request that is still running does not appear again when it ends."""
        with self._lock:
            # Running requests complete their records in the old list, which is no longer visible.
            self._records = []

    def snapshot(self) -> list[RequestRecord]:
        """Return a copy of the records. Later requests do not change it."""
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
        recent = ", ".join(f"{record.method} {record.target} {record.status}" for record in self[-5:])
        return f"<RequestLog of {len(self)}: {recent}>"
