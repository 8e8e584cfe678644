"""Requests and responses as values, and `Transport`, the interface of the module that sends them."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar
from urllib.parse import quote, urlencode

import attrs

from imgwire_async import checks
from imgwire_async.coercion import as_str
from imgwire_async.config import Options
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.formatting import quoted
from imgwire_async.protocol.json import parse
from imgwire_async.retry import Failure

if TYPE_CHECKING:
    from uuid import UUID

    from imgwire_async.models import Image

T = TypeVar("T")

_NO_IDS: Mapping[str, str] = {}


# Created for each call. Without slots, creation takes half the time; the same holds for the classes below.
@attrs.frozen(slots=False)
class Request(Generic[T]):
    """One request to the API, whose attempts are all alike. Arguments are checked before it is created.

    `path` is the contract's template below `/api/v1`, and `ids` are its path parameters, already encoded.
    `model` is the type to which the response is decoded. `repeatable` says whether the request may be sent
    again after a lost response. None takes the rule of the HTTP method.
    """

    method: str
    path: str
    model: type[T]
    ids: Mapping[str, str] = _NO_IDS
    # Hidden in the repr, because it may hold an upload token.
    params: Mapping[str, str | int] | None = attrs.field(default=None, repr=False)
    json: Any = None
    repeatable: bool | None = None

    @property
    def target(self) -> str:
        """Path and query as they are sent, below `/api/v1`."""
        path = self.path.format_map(self.ids) if self.ids else self.path
        return f"{path}?{urlencode(self.params)}" if self.params else path


@attrs.frozen(slots=False)
class APIResponse:
    """A complete response: a success of the API (2xx), or any response of the storage."""

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)
    exchange: Exchange

    @property
    def text(self) -> str:
        """The body as text. Bytes that are not UTF-8 are replaced by U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Return the body as parsed JSON. Raises `DecodeError` when it is not JSON."""
        return parse(self.body, self.exchange)


@attrs.frozen(slots=False)
class PutRequest:
    """One attempt to send the bytes of a file to a presigned URL.

    `on_progress` is called with the number of bytes sent so far. `waits_for_caller` matters when the blocking
    client reads the source in the caller's thread. True stops the stall timer while that thread runs other
    code. False ends the attempt after the stall timeout instead, with the failure kind "caller_busy", so that
    other transfers get the connection.
    """

    url: str = attrs.field(repr=False)  # signed
    size: int
    chunks: AsyncGenerator[bytes, None]
    mime_type: str | None
    on_progress: Callable[[int], Awaitable[None]] | None = None
    attempt: int = 1
    waits_for_caller: bool = True


@attrs.frozen
class GetRequest:
    """One attempt to fetch bytes from a URL that takes no API key: at the CDN, or of an archive.

    `url_name` is the field that held the URL, for messages. `attempt` counts from 1, and `started_at` is the
    monotonic time of the first attempt.
    """

    url: str = attrs.field(repr=False)  # may be signed
    url_name: str
    attempt: int
    started_at: float


class StreamedResponse(Protocol):
    """The response to a `GetRequest`, whose body is read in chunks.

    Iteration yields the chunks. It raises `NoResponseError` when the connection breaks or stalls, or when the
    body is shorter than `total`. `total` is None when the response declares no length.
    """

    @property
    def status(self) -> int | None:
        """The HTTP status, or None before the response came."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers of the response."""
        ...

    @property
    def total(self) -> int | None:
        """The declared length of the body in bytes, or None."""
        ...

    @property
    def delimited(self) -> bool:
        """Whether the response declares its end. If not, a broken connection looks like a complete body."""
        ...

    @property
    def received(self) -> int:
        """The number of bytes received so far."""
        ...

    @property
    def exchange(self) -> Exchange:
        """The record of this attempt."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes:
        """Return the next chunk."""
        ...


class NoResponseError(Exception):
    """An attempt got no usable response.

    Internal to the package: the code for API calls, uploads and downloads each raise a public error in its
    place.
    """

    def __init__(self, failure: Failure, exchange: Exchange | None = None) -> None:
        super().__init__(failure.reason)
        self.failure = failure
        self.exchange = exchange


class Transport(Protocol):
    """The interface through which resources, uploads and downloads use HTTP.

    `transport.transport.AiohttpTransport` implements it. No other code of the package depends on aiohttp.
    """

    @property
    def options(self) -> Options:
        """The options of the client to which this transport belongs."""
        ...

    @property
    def closed(self) -> bool:
        """Whether the client was closed."""
        ...

    def require_usable(self) -> None:
        """Raise `RuntimeError` without a running asyncio event loop, and when the client was closed."""
        ...

    @property
    def upload_token(self) -> str | Callable[[], str | Awaitable[str]] | None:
        """The client's token, or the callable that returns one, for uploads without a token of their own."""
        ...

    def send(self, request: Request[Any], /) -> Awaitable[APIResponse]:
        """Send a request to the API, with retries, and return the successful response."""
        ...

    def call_user_code(
        self, name: str, function: Callable[[], T | Awaitable[T]], method: str, path: str, /
    ) -> Awaitable[T]:
        """Call a function of the user, such as a token callable, for the call of `method` and `path`."""
        ...

    def put_slot(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager that holds a slot for a PUT of bytes."""
        ...

    def get_slot(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager that holds a slot for a GET of bytes."""
        ...

    def put(self, request: PutRequest, /) -> Awaitable[APIResponse]:
        """Return the storage's response to one attempt.

        Raises `UnsafeURLError` at once, before it is awaited, for a URL that must not be used.
        """
        ...

    def fetch(self, request: GetRequest, /) -> AbstractAsyncContextManager[StreamedResponse]:
        """Return a context manager that makes one attempt and gives its response."""
        ...

    async def sleep_before_retry(self, exchange: Exchange, reason: str, seconds: float, /) -> None:
        """Report a retry of a transfer to hooks and log, and wait for its delay."""
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Wait for some seconds. Raises `RuntimeError` when the client is closed meanwhile."""
        ...

    def record_exchange(self, exchange: Exchange, /) -> None:
        """Add the record of a download to the lists of `client.capture()`."""
        ...

    def operation(self, name: str, text: str | None = None, /) -> AbstractAsyncContextManager[object]:
        """Return the context manager that runs the operation `name`, which messages call `text`.

        The operation ends with an error when its deadline passes or the client is closed.
        """
        ...

    def deadline_passed(self) -> bool:
        """Return whether the deadline of the current operation is what cancels the current task."""
        ...


class ImagesApi(Protocol):
    """The method of `client.images` that downloads and waits use."""

    def retrieve(self, image_id: str | UUID, /) -> Awaitable[Image]:
        """Fetch the record of an image."""
        ...


# Characters that could change the path. Control characters and blanks are rejected, too.
_FORBIDDEN = frozenset("/\\?#%")
# Nearly all ids match. They need no encoding and no further checks.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")


def path_segment(name: str, value: object) -> str:
    """Return an id as one encoded segment of a path.

    Raises `TypeError` or `ValueError` for a value that is no id, such as one that would change the path.
    """
    if type(value) is str and _PLAIN_ID.fullmatch(value):
        return value
    if isinstance(value, Mapping):
        raise TypeError(f"{name} must be the id itself as text or uuid.UUID: retrieve('...'), not a mapping")
    if not isinstance(value, str):
        # Imported here, because it would slow down the import of the client class.
        import uuid

        if isinstance(value, uuid.UUID):
            return str(value)
        advice = ": pass its .id" if hasattr(value, "id") else ""
        raise checks.wrong_type(name, "text or uuid.UUID", value, advice)
    value = as_str(value)
    if not value or value in {".", ".."}:
        raise ValueError(f"{name} must be an id, not {value!r}")
    if not value.isprintable() or not _FORBIDDEN.isdisjoint(value) or any(map(str.isspace, value)):
        raise ValueError(f"{name} must not hold / \\ ? # %, blanks or control characters: {quoted(value)}")
    return quote(value, safe="")


def drop_none(**fields: object) -> dict[str, object]:
    """Return the fields that are not None. 0 and False stay."""
    return {name: value for name, value in fields.items() if value is not None}
