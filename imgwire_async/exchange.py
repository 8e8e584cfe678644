"""The record of a call: what `capture()` collects and what every error carries."""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from imgwire_async.formatting import MAX_SHOWN, shortened
from imgwire_async.redaction import escape_unprintable, excerpt, redact

Kind: TypeAlias = Literal["api", "storage", "cdn"]

# The service's own request-id header is unknown [contract 5], so the usual ones are tried in this order.
REQUEST_ID_HEADERS = (
    "x-request-id",
    "request-id",
    "x-correlation-id",
    "x-amz-request-id",
    "x-amzn-requestid",
    "x-trace-id",
    "cf-ray",
)


class Headers(Mapping[str, str]):
    """Response headers: a case-insensitive, read-only mapping; a repeated header's values are joined with ", "."""

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs: Iterable[tuple[str, str]] = tuple(pairs)
        self._values: dict[str, str] | None = None

    @classmethod
    def view(cls, pairs: ItemsView[str, str]) -> Headers:
        """The headers that `pairs` shows, which nobody changes any more: most answers are never asked for one."""
        headers = cls.__new__(cls)
        headers._pairs, headers._values = pairs, None  # noqa: SLF001  # its own
        return headers

    def _index(self) -> dict[str, str]:
        if self._values is None:
            values: dict[str, str] = {}
            for name, value in self._pairs:
                key = name.lower()
                values[key] = f"{values[key]}, {value}" if key in values else value
            self._values = values
        return self._values

    def __getitem__(self, name: str) -> str:
        return self._index()[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index()

    def __iter__(self) -> Iterator[str]:
        return iter(self._index())

    def __len__(self) -> int:
        return len(self._index())

    def __repr__(self) -> str:
        shown = {name: value for name, value in self._index().items() if name != "set-cookie"}
        return f"Headers({redact(repr(shown))})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            theirs: dict[Any, Any] = dict(other)  # pyright: ignore[reportUnknownArgumentType]  # any mapping may be asked
            return self._index() == {str(name).lower(): value for name, value in theirs.items()}
        return NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._index().items()))

    def __reduce__(self) -> tuple[type[Headers], tuple[tuple[tuple[str, str], ...]]]:
        # A Location or Set-Cookie may hold a signed query or a session: neither belongs in a pickle.
        kept = tuple((name, redact(value)) for name, value in self._pairs if name.lower() != "set-cookie")
        return Headers, (kept,)

    @property
    def request_id(self) -> str | None:
        """The request id that the answer names, under any of the usual headers, or None. Fit for messages and logs."""
        values = self._index()
        return next(
            (escape_unprintable(values[name]) for name in REQUEST_ID_HEADERS if values.get(name)), None
        )


@attrs.frozen(slots=True)
class Exchange:
    """One logical call as it went over the wire, attempts included.

    `kind` is "api", "storage" or "cdn"; `path` is the template (`/images/{image_id}`) or, for storage and CDN, host and
    path without the query; `status` is None when no answer came; `elapsed` is in seconds, pauses included.
    """

    kind: Kind
    method: str
    path: str
    status: int | None = None
    headers: Headers = attrs.field(factory=Headers)
    attempts: int = 1
    elapsed: float = 0.0

    @property
    def request_id(self) -> str | None:
        """The service's id for the answer, or None when it named none."""
        return self.headers.request_id

    def __str__(self) -> str:
        tries = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        told = f", request id {excerpt(self.request_id, 120)}" if self.request_id else ""
        return escape_unprintable(
            f"{self.method} {short_path(self.path)} ({tries}, {self.elapsed:.2f} s{told})"
        )


def short_path(path: str) -> str:
    """Return the path of a request for messages and logs: a file's name in it may be as long as its giver liked."""
    return path if len(path) <= MAX_SHOWN else "/".join(map(shortened, path.split("/")))
