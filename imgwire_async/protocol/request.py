"""A question to the service, the answer as it came, and the seam between who asks and who carries."""

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


@attrs.frozen(slots=False)  # made for each call, and twice as fast without slots; so are the others here
class Request(Generic[T]):
    """One operation with its arguments: checked, encoded once, and the same on every attempt.

    `path` is the contract's template below `/api/v1`; `ids` are its path parameters, already encoded; `model` is what the
    answer is decoded into. `repeatable` is the operation's own word on being sent twice; None leaves it to the method.
    """

    method: str
    path: str
    model: type[T]
    ids: Mapping[str, str] = _NO_IDS
    params: Mapping[str, str | int] | None = attrs.field(default=None, repr=False)  # may hold an upload token
    json: Any = None
    repeatable: bool | None = None

    @property
    def target(self) -> str:
        """Path and query as they go on the wire, below `/api/v1`."""
        path = self.path.format_map(self.ids) if self.ids else self.path
        return f"{path}?{urlencode(self.params)}" if self.params else path


@attrs.frozen(slots=False)
class APIResponse:
    """A successful answer of the API (2xx), or the storage's with any status; whole and undecoded."""

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)
    exchange: Exchange

    @property
    def text(self) -> str:
        """The body as text; bytes that are no UTF-8 are replaced."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """The body as parsed JSON. Raises `DecodeError` when it is none."""
        return parse(self.body, self.exchange)


@attrs.frozen(slots=False)
class PutRequest:
    """One attempt to send the bytes of a file to a presigned URL.

    `on_progress` is called with the number of bytes sent so far. `waits_for_caller` matters when the blocking client reads the
    source in the caller's thread. True stops the stall timer while that thread runs other code. False ends the attempt after the
    stall timeout instead, with the failure kind "caller_busy", so that other transfers get the connection.
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

    `url_name` is the field that held the URL, for messages. `attempt` counts from 1, and `started_at` is the monotonic time of
    the first attempt.
    """

    url: str = attrs.field(repr=False)  # may be signed
    url_name: str
    attempt: int
    started_at: float


class StreamedResponse(Protocol):
    """The response to a `GetRequest`, whose body is read in chunks.

    Iteration yields the chunks. It raises `NoResponseError` when the connection breaks or stalls, or when the body is shorter
    than `total`. `total` is None when the response declares no length.
    """

    @property
    def status(self) -> int | None: ...

    @property
    def headers(self) -> Headers: ...

    @property
    def total(self) -> int | None: ...

    @property
    def delimited(self) -> bool:
        """Whether the response declares its end. If not, a broken connection looks like a complete body."""
        ...

    @property
    def received(self) -> int: ...

    @property
    def exchange(self) -> Exchange: ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes: ...


class NoResponseError(Exception):
    """An attempt got no usable response.

    Internal to the package: the code for API calls, uploads and downloads each raise a public error in its place.
    """

    def __init__(self, failure: Failure, exchange: Exchange | None = None) -> None:
        super().__init__(failure.reason)
        self.failure = failure
        self.exchange = exchange


class Transport(Protocol):
    """What those who ask may use of those who carry."""

    @property
    def options(self) -> Options: ...

    @property
    def closed(self) -> bool: ...

    def require_usable(self) -> None:
        """Raise `RuntimeError` where no call can be made: without a running asyncio loop, and when the client was closed."""
        ...

    @property
    def upload_token(self) -> str | Callable[[], str | Awaitable[str]] | None:
        """What the client was given for uploads that bring no token of their own."""
        ...

    def send(self, request: Request[Any], /) -> Awaitable[APIResponse]: ...

    def call_user_code(
        self, name: str, function: Callable[[], T | Awaitable[T]], method: str, path: str, /
    ) -> Awaitable[T]: ...

    def put_slot(self) -> AbstractAsyncContextManager[None]: ...

    def get_slot(self) -> AbstractAsyncContextManager[None]: ...

    def put(self, request: PutRequest, /) -> Awaitable[APIResponse]:
        """Return the storage's response to one attempt. Raises `UnsafeURLError` at once for a URL that must not be used."""
        ...

    def fetch(self, request: GetRequest, /) -> AbstractAsyncContextManager[StreamedResponse]: ...

    async def sleep_before_retry(self, exchange: Exchange, reason: str, seconds: float, /) -> None: ...

    async def sleep(self, seconds: float, /) -> None: ...

    def record_exchange(self, exchange: Exchange, /) -> None: ...

    def operation(self, name: str, text: str | None = None, /) -> AbstractAsyncContextManager[object]: ...

    def deadline_passed(self) -> bool: ...


class ImagesApi(Protocol):
    """The method of `client.images` that downloads and waits use."""

    def retrieve(self, image_id: str | UUID, /) -> Awaitable[Image]:
        """Fetch the record of an image."""
        ...


# Characters that would re-aim a path, or that no id holds. Control characters and blanks are refused besides.
_FORBIDDEN = frozenset("/\\?#%")
# What nearly all ids are made of: nothing in them needs to be encoded, or could be taken for anything else.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")


def path_segment(name: str, value: object) -> str:
    """An id as one encoded path segment. Raises before any request when it could point elsewhere."""
    if type(value) is str and _PLAIN_ID.fullmatch(value):
        return value
    if isinstance(value, Mapping):
        raise TypeError(f"{name} must be the id itself as text or uuid.UUID: retrieve('...'), not a mapping")
    if not isinstance(value, str):
        import uuid  # here and not above: naming the client class shall stay cheap

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
    """The fields that were given: None means "not sent", 0 and False stay."""
    return {name: value for name, value in fields.items() if value is not None}
