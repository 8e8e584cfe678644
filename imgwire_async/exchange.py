"""The class `Exchange`, which describes a finished call.

`client.capture()` collects exchanges. The error of a failed call contains the exchange of that call.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

import attrs

from imgwire_async.formatting import MAX_SHOWN, shortened
from imgwire_async.redaction import escape_unprintable, excerpt, redact

Kind: TypeAlias = Literal["api", "storage", "cdn"]

# The contract does not name the header with the request id [contract 5], so the usual names are tried in this
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
        """Return the headers in `pairs` without copying them.

        A copy would waste time, because most headers are never read. The mapping to which `pairs` belongs
        must not change afterwards.
        """
        headers = cls.__new__(cls)
        headers._pairs, headers._values = pairs, None  # noqa: SLF001  # of this class
        return headers

    def _values_by_name(self) -> dict[str, str]:
        if self._values is None:
            values: dict[str, str] = {}
            for name, value in self._pairs:
                key = name.lower()
                values[key] = f"{values[key]}, {value}" if key in values else value
            self._values = values
        return self._values

    def __getitem__(self, name: str) -> str:
        return self._values_by_name()[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._values_by_name()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values_by_name())

    def __len__(self) -> int:
        return len(self._values_by_name())

    def __repr__(self) -> str:
        visible = {name: value for name, value in self._values_by_name().items() if name != "set-cookie"}
        return f"Headers({redact(repr(visible))})"

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Mapping):
            items: dict[Any, Any] = dict(other)  # pyright: ignore[reportUnknownArgumentType]  # any mapping
            return self._values_by_name() == {str(name).lower(): value for name, value in items.items()}
        return NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._values_by_name().items()))

    def __reduce__(self) -> tuple[type[Headers], tuple[tuple[tuple[str, str], ...]]]:
        # A pickle must not contain secrets, such as a signed URL in `Location` or a session id in
        # `Set-Cookie`.
        kept = tuple((name, redact(value)) for name, value in self._pairs if name.lower() != "set-cookie")
        return Headers, (kept,)

    @property
    def request_id(self) -> str | None:
        """The value of the first header in `REQUEST_ID_HEADERS` that the response has, or None.

        Control characters in the value are escaped.
        """
        values = self._values_by_name()
        return next(
            (escape_unprintable(values[name]) for name in REQUEST_ID_HEADERS if values.get(name)), None
        )


@attrs.frozen(slots=True)
class Exchange:
    """The description of one API call or one transfer of bytes, including all its attempts.

    `kind` is "api", "storage" or "cdn". For the API, `path` is the path template (`/images/{image_id}`). For
    storage and CDN, `path` is the host and path of the URL, without the query. `status` and `headers` are
    those of the last response. `status` is None if no response came. `attempts` is the number of attempts.
    `elapsed` is the duration in seconds, including delays.
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
        """The id that the service gave the request, or None if no header of the response contains an id."""
        return self.headers.request_id

    def __str__(self) -> str:
        attempts = "1 attempt" if self.attempts == 1 else f"{self.attempts} attempts"
        request_id = f", request id {excerpt(self.request_id, 120)}" if self.request_id else ""
        return escape_unprintable(
            f"{self.method} {short_path(self.path)} ({attempts}, {self.elapsed:.2f} s{request_id})"
        )


def short_path(path: str) -> str:
    """Return the path of a request for messages and logs, with long parts shortened."""
    return path if len(path) <= MAX_SHOWN else "/".join(map(shortened, path.split("/")))
