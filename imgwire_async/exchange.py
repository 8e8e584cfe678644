"""The class `Exchange`, which describes a finished call.

`capture()` collects exchanges, and errors contain one.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from imgwire_async.formatting import MAX_SHOWN, shortened
from imgwire_async.redaction import escape_unprintable, excerpt, redact

Kind: TypeAlias = Literal["api", "storage", "cdn"]

# The contract does not name the service's request-id header [contract 5], so the usual ones are tried in this
# order.
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
    """The headers of a response as a read-only mapping with case-insensitive names.

    The values of a repeated header are joined with ", ".
    """

    __slots__ = ("_pairs", "_values")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs: Iterable[tuple[str, str]] = tuple(pairs)
        self._values: dict[str, str] | None = None

    @classmethod
    def view(cls, pairs: ItemsView[str, str]) -> Headers:
        """Return headers that read `pairs` on first use. The mapping behind `pairs` must not change any more.

        Most headers are never read, so this saves a copy.
        """
        headers = cls.__new__(cls)
        headers._pairs, headers._values = pairs, None  # noqa: SLF001  # of this class
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
        visible = {name: value for name, value in self._index().items() if name != "set-cookie"}
        return f"Headers({redact(repr(visible))})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            items: dict[Any, Any] = dict(other)  # pyright: ignore[reportUnknownArgumentType]  # any mapping
            return self._index() == {str(name).lower(): value for name, value in items.items()}
        return NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._index().items()))

    def __reduce__(self) -> tuple[type[Headers], tuple[tuple[tuple[str, str], ...]]]:
        # A pickle must not contain secrets: signed URLs in `Location`, sessions in `Set-Cookie`.
        kept = tuple((name, redact(value)) for name, value in self._pairs if name.lower() != "set-cookie")
        return Headers, (kept,)

    @property
    def request_id(self) -> str | None:
        """The request id from any of the usual headers, or None. Control characters are escaped."""
        values = self._index()
        return next(
            (escape_unprintable(values[name]) for name in REQUEST_ID_HEADERS if values.get(name)), None
        )


@attrs.frozen(slots=True)
class Exchange:
    """The description of one call, or of one transfer of bytes, with all its attempts.

    `kind` is "api", "storage" or "cdn". `path` is the template (`/images/{image_id}`) or, for storage and
    CDN, host and path without the query. `status` and `headers` are those of the last response; `status` is
    None when no response came. `elapsed` is the duration in seconds, including delays.
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
        """The service's id for the response, or None when the response has none."""
        return self.headers.request_id

    def __str__(self) -> str:
        tries = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        request_id = f", request id {excerpt(self.request_id, 120)}" if self.request_id else ""
        return escape_unprintable(
            f"{self.method} {short_path(self.path)} ({tries}, {self.elapsed:.2f} s{request_id})"
        )


def short_path(path: str) -> str:
    """Return the path of a request for messages and logs, with long parts shortened."""
    return path if len(path) <= MAX_SHOWN else "/".join(map(shortened, path.split("/")))
