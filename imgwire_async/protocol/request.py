"""Classes for requests and responses, and `Transport`, the interface that sends requests."""

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


# The client creates one `Request` for each call. Objects of classes without `__slots__` are created twice as
# fast, so `Request`, `APIResponse` and `PutRequest` do not have `__slots__`.
@attrs.frozen(slots=False)
class Request(Generic[T]):
    """One request to the API. Its values are checked before it is sent. All attempts send the same bytes.

    `path` is a template below `/api/v1`, such as `/images/{image_id}`. `ids` maps the names in the template
    to encoded ids. `model` is the type to which the response is decoded. `repeatable` says whether the
    request may be sent again when its response was lost. None means that this depends on the HTTP method.
    """

    method: str
    path: str
    model: type[T]
    ids: Mapping[str, str] = _NO_IDS
    # Not shown in the repr, because the query may contain an upload token.
    params: Mapping[str, str | int] | None = attrs.field(default=None, repr=False)
    json: Any = None
    repeatable: bool | None = None

    @property
    def target(self) -> str:
        """The path below `/api/v1` and the query, encoded as they are sent."""
        path = self.path.format_map(self.ids) if self.ids else self.path
        return f"{path}?{urlencode(self.params)}" if self.params else path


@attrs.frozen(slots=False)
class APIResponse:
    """A response with its complete body: a successful (2xx) response of the API, or any storage response."""

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)
    exchange: Exchange

    @property
    def text(self) -> str:
        """The body decoded as UTF-8. Invalid bytes are replaced by U+FFFD."""
        return self.body.decode("utf-8", "replace")

    def json(self) -> Any:
        """Parse the body as JSON. Raises `DecodeError` when the body is not JSON."""
        return parse(self.body, self.exchange)


@attrs.frozen(slots=False)
class PutRequest:
    """One attempt to send the bytes of a file to a presigned URL.

    `on_progress` is called with the number of bytes sent so far, and awaited.

    The blocking client may read the file in the caller's thread. `waits_for_caller` says what happens when
    that thread runs other code for longer than the stall timeout. If True, the attempt waits. If False, the
    attempt ends with the failure kind "caller_busy", so that other transfers can use its connection.
    """

    # Not shown in the repr, because the URL is signed.
    url: str = attrs.field(repr=False)
    size: int
    chunks: AsyncGenerator[bytes, None]
    mime_type: str | None
    on_progress: Callable[[int], Awaitable[None]] | None = None
    attempt: int = 1
    waits_for_caller: bool = True


@attrs.frozen
class GetRequest:
    """One attempt to fetch a picture from the CDN, or the archive of a bulk download, without an API key.

    `url_name` is the name of the field that contained the URL, for messages. `attempt` is the number of this
    attempt, from 1. `started_at` is the monotonic time at which the first attempt started.
    """

    # Not shown in the repr, because the URL may be signed.
    url: str = attrs.field(repr=False)
    url_name: str
    attempt: int
    started_at: float


class StreamedResponse(Protocol):
    """The response to a `GetRequest`. Iterate over it to receive the chunks of the body.

    The iteration raises `NoResponseError` when the connection breaks or stalls, or when the body is shorter
    than `total`.
    """

    @property
    def status(self) -> int | None:
        """The HTTP status, or None before the response has arrived."""
        ...

    @property
    def headers(self) -> Headers:
        """The headers of the response."""
        ...

    @property
    def total(self) -> int | None:
        """The length of the body in bytes, or None when the response does not declare a length."""
        ...

    @property
    def delimited(self) -> bool:
        """Whether the response declares where the body ends.

        If it does not, the client cannot tell a broken connection from a complete body.
        """
        ...

    @property
    def received(self) -> int:
        """The number of bytes of the body received so far."""
        ...

    @property
    def exchange(self) -> Exchange:
        """The description of this attempt, for hooks and errors."""
        ...

    def __aiter__(self) -> AsyncIterator[bytes]: ...

    async def __anext__(self) -> bytes:
        """Return the next chunk of the body."""
        ...


class NoResponseError(Exception):
    """An attempt received no response, or a response that cannot be used.

    Users never see this error, because API calls, uploads and downloads catch it and raise a public error.
    """

    def __init__(self, failure: Failure, exchange: Exchange | None = None) -> None:
        super().__init__(failure.reason)
        self.failure = failure
        self.exchange = exchange


class Transport(Protocol):
    """The interface through which resources, uploads and downloads send requests.

    `transport.transport.AiohttpTransport` implements it. Callers of this interface do not depend on aiohttp.
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
        """Raise `RuntimeError` when the client was closed, or when no asyncio event loop is running."""
        ...

    @property
    def upload_token(self) -> str | Callable[[], str | Awaitable[str]] | None:
        """The argument `upload_token` of the client. Uploads without a token of their own use it.

        It is a token, a callable that returns a token, or None.
        """
        ...

    def send(self, request: Request[Any], /) -> Awaitable[APIResponse]:
        """Send a request to the API, retry it if necessary, and return the successful response.

        Raises a public error when no attempt succeeds.
        """
        ...

    def call_user_code(
        self, name: str, function: Callable[[], T | Awaitable[T]], method: str, path: str, /
    ) -> Awaitable[T]:
        """Call a function of the user, such as the callable for upload tokens, and return its result.

        `name` is the name of the argument that contains the function. `method` and `path` are the HTTP method
        and the path of the API call that needs the result. All three are for messages.
        """
        ...

    def put_slot(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager for an upload slot. The number of slots limits parallel uploads."""
        ...

    def get_slot(self) -> AbstractAsyncContextManager[None]:
        """Return a context manager for a download slot. The number of slots limits parallel downloads."""
        ...

    def put(self, request: PutRequest, /) -> Awaitable[APIResponse]:
        """Make one attempt to send bytes to the storage, and return its response.

        Raises `UnsafeURLError` for a URL that must not be used. The error is raised when the method is
        called, not when its result is awaited.
        """
        ...

    def fetch(self, request: GetRequest, /) -> AbstractAsyncContextManager[StreamedResponse]:
        """Return a context manager, whose `__aenter__` makes one attempt to fetch a file.

        It gives the response to the `async with` block.
        """
        ...

    async def sleep_before_retry(self, exchange: Exchange, reason: str, seconds: float, /) -> None:
        """Report the retry of an upload or download to the hooks and the log, then wait `seconds`.

        `exchange` describes the failed attempt, and `reason` says why it failed.
        """
        ...

    async def sleep(self, seconds: float, /) -> None:
        """Wait for `seconds`. Raises `RuntimeError` when the client is closed during the wait."""
        ...

    def record_exchange(self, exchange: Exchange, /) -> None:
        """Add `exchange`, a finished download with all its attempts, to the lists of `client.capture()`."""
        ...

    def operation(self, name: str, text: str | None = None, /) -> AbstractAsyncContextManager[object]:
        """Return a context manager for the code of one operation.

        The code is cancelled, and an error is raised, when the deadline of the operation passes or the client
        is closed. `name` is the name of the operation. Messages show `text` if it is given, or `name`.
        """
        ...

    def deadline_passed(self) -> bool:
        """Return whether the current task is cancelled because the deadline of its operation has passed."""
        ...


class ImagesApi(Protocol):
    """The part of `client.images` that downloads and `wait_until_ready` need."""

    def retrieve(self, image_id: str | UUID, /) -> Awaitable[Image]:
        """Fetch the current record of an image."""
        ...


# An id with one of these characters could change the path of the URL.
_FORBIDDEN_IN_IDS = frozenset("/\\?#%")
# Matches nearly all ids. An id that matches needs no encoding and no further checks.
_PLAIN_ID = re.compile(r"[A-Za-z0-9_-]+")


def path_segment(name: str, value: object) -> str:
    """Check an id, and encode it as one segment of a path.

    Raises `TypeError` when `value` is neither text nor a UUID. Raises `ValueError` for text that is empty or
    could change the path. `name` is the name of the argument, for messages.
    """
    if type(value) is str and _PLAIN_ID.fullmatch(value):
        return value
    if isinstance(value, Mapping):
        raise TypeError(f"{name} must be the id itself as text or uuid.UUID: retrieve('...'), not a mapping")
    if not isinstance(value, str):
        # Few calls pass a UUID, and an import at the top would slow down the import of the client class.
        import uuid

        if isinstance(value, uuid.UUID):
            return str(value)
        advice = ": pass its .id" if hasattr(value, "id") else ""
        raise checks.wrong_type(name, "text or uuid.UUID", value, advice)
    value = as_str(value)
    if not value or value in {".", ".."}:
        raise ValueError(f"{name} must be an id, not {value!r}")
    if not value.isprintable() or not _FORBIDDEN_IN_IDS.isdisjoint(value) or any(map(str.isspace, value)):
        raise ValueError(f"{name} must not hold / \\ ? # %, blanks or control characters: {quoted(value)}")
    return quote(value, safe="")


def drop_none(**fields: object) -> dict[str, object]:
    """Return the keyword arguments that are not None, as a dict."""
    return {name: value for name, value in fields.items() if value is not None}
