"""A transport that sends nothing: it records requests, and returns responses from a list.

There is also an event loop whose clock skips delays, so that minutes of waiting take no time.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import selectors
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import attrs
from samples import REQUEST_ID

from imgwire_async import user_code
from imgwire_async.config import Options
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.request import APIResponse, PutRequest, Request
from imgwire_async.resources.cors_origins import AsyncCorsOrigins
from imgwire_async.resources.custom_domain import AsyncCustomDomain
from imgwire_async.resources.images import AsyncImages
from imgwire_async.resources.metrics import AsyncMetrics

T = TypeVar("T")


@attrs.frozen
class Response:
    """JSON-ready data with headers."""

    data: Any
    headers: dict[str, str] = attrs.field(factory=dict)


class Recorder:
    """Implements `protocol.request.Transport` with a list of responses.

    A response is JSON-ready data, a `Response`, an error to raise, or a function of the request.
    """

    def __init__(self, *responses: Any, options: Options | None = None) -> None:
        self.responses = list(responses)
        self.options = options or Options()
        self.upload_token: Any = None
        self.closed = False
        self.requests: list[Request[Any]] = []
        self.operations: list[str] = []
        self.bodies: list[bytes] = []
        self.puts: list[PutRequest] = []

    def require_usable(self) -> None:
        assert not self.closed

    async def send(self, request: Request[Any], /) -> APIResponse:
        self.requests.append(request)
        response = self.responses[0] if callable(self.responses[0]) else self.responses.pop(0)
        if callable(response):
            response = response(request)
            if isinstance(response, Awaitable):
                response = await response
        if isinstance(response, BaseException):
            raise response
        if not isinstance(response, Response):
            response = Response(response)
        return _response(
            "api", request.method, request.path, json.dumps(response.data).encode(), response.headers
        )

    async def call_user_code(self, name: str, function: Callable[[], Any], method: str, path: str, /) -> Any:
        return await user_code.call_maybe_async(function)

    async def put(self, request: PutRequest, /) -> APIResponse:
        self.puts.append(request)
        self.bodies.append(b"".join([bytes(chunk) async for chunk in request.chunks]))
        return _response("storage", "PUT", "storage.example/k", b"", {})

    async def sleep(self, seconds: float, /) -> None:
        await asyncio.sleep(seconds)

    @contextlib.asynccontextmanager
    async def put_slot(self) -> AsyncIterator[None]:
        yield

    @contextlib.asynccontextmanager
    async def get_slot(self) -> AsyncIterator[None]:
        yield

    @contextlib.asynccontextmanager
    async def operation(self, name: str, text: str | None = None, /) -> AsyncIterator[None]:
        self.operations.append(text or name)
        yield

    def deadline_passed(self) -> bool:
        return False

    # --- for tests ------------------------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """Return method and target of each request."""
        return [f"{request.method} {request.target}" for request in self.requests]

    @property
    def only(self) -> Request[Any]:
        """Return the only request."""
        (request,) = self.requests
        return request


def _response(kind: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> APIResponse:
    all_headers = Headers([("X-Request-Id", REQUEST_ID), *headers.items()])
    return APIResponse(200, all_headers, body, Exchange(kind, method, path, 200, all_headers))


class Api:
    """The four resources over one recorder."""

    def __init__(self, *responses: Any) -> None:
        self.sent = Recorder(*responses)
        self.images = AsyncImages(lambda: self.sent)
        self.cors_origins = AsyncCorsOrigins(lambda: self.sent)
        self.custom_domain = AsyncCustomDomain(lambda: self.sent)
        self.metrics = AsyncMetrics(lambda: self.sent)


def pages(
    items: list[Any], *, limit: int = 100, between: Callable[[int], Awaitable[None]] | None = None
) -> Callable[[Request[Any]], Awaitable[Response]]:
    """Return a function that responds with pages of `items`, which may change between requests."""

    async def respond(request: Request[Any]) -> Response:
        assert request.params is not None
        page, size = int(request.params["page"]), int(request.params.get("limit", limit))
        if between is not None:
            await between(page)
        last = -(-len(items) // size)
        page_headers = {
            "X-Total-Count": str(len(items)),
            "X-Page": str(page),
            "X-Limit": str(size),
            "X-Prev-Page": str(page - 1) if page > 1 else "null",
            "X-Next-Page": str(page + 1) if page < last else "null",
        }
        return Response(items[(page - 1) * size : page * size], page_headers)

    return respond


# --- time ---------------------------------------------------------------------------------------------------


class _JumpingSelector(selectors.DefaultSelector):
    """A selector that never waits: it adds the time that it would have waited to the clock."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("the event loop waits without a timeout, so it would wait for ever")
        self.passed += timeout
        return super().select(0)


class _JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop that uses the selector, so that its clock includes the skipped time."""

    def __init__(self) -> None:
        self.selector = _JumpingSelector()
        super().__init__(self.selector)

    def time(self) -> float:
        return super().time() + self.selector.passed


def in_no_time(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `work` in an event loop whose delays take no time. For code without sockets and threads."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(work())


def now() -> float:
    """Return the time of the running event loop."""
    return asyncio.get_running_loop().time()


def numbered(first: int, last: int) -> Iterator[str]:
    """Yield ids that contain their position."""
    return (f"id-{number}" for number in range(first, last + 1))
