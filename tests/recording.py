"""A third way to carry requests, beside the real one: nothing is sent, everything is written down, answers come from a list.

And a loop whose clock jumps over pauses, so that minutes of waiting take no time.
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
class Answer:
    """JSON-ready data with headers."""

    data: Any
    headers: dict[str, str] = attrs.field(factory=dict)


class Recorder:
    """Implements `protocol.request.Transport`. An answer is JSON-ready data, an `Answer`, an error to raise, or a function of the request."""

    def __init__(self, *answers: Any, options: Options | None = None) -> None:
        self.answers = list(answers)
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
        answer = self.answers[0] if callable(self.answers[0]) else self.answers.pop(0)
        if callable(answer):
            answer = answer(request)
            if isinstance(answer, Awaitable):
                answer = await answer
        if isinstance(answer, BaseException):
            raise answer
        if not isinstance(answer, Answer):
            answer = Answer(answer)
        return _reply("api", request.method, request.path, json.dumps(answer.data).encode(), answer.headers)

    async def call_user_code(self, name: str, function: Callable[[], Any], method: str, path: str, /) -> Any:
        return await user_code.call_maybe_async(function)

    async def put(self, request: PutRequest, /) -> APIResponse:
        self.puts.append(request)
        self.bodies.append(b"".join([bytes(piece) async for piece in request.chunks]))
        return _reply("storage", "PUT", "storage.example/k", b"", {})

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

    # --- what tests read ----------------------------------------------------------------------------------------------

    @property
    def lines(self) -> list[str]:
        """Method and target of each request."""
        return [f"{request.method} {request.target}" for request in self.requests]

    @property
    def only(self) -> Request[Any]:
        (request,) = self.requests
        return request


def _reply(kind: Any, method: str, path: str, body: bytes, headers: dict[str, str]) -> APIResponse:
    told = Headers([("X-Request-Id", REQUEST_ID), *headers.items()])
    return APIResponse(200, told, body, Exchange(kind, method, path, 200, told))


class Api:
    """The four resources over one recorder."""

    def __init__(self, *answers: Any) -> None:
        self.sent = Recorder(*answers)
        self.images = AsyncImages(lambda: self.sent)
        self.cors_origins = AsyncCorsOrigins(lambda: self.sent)
        self.custom_domain = AsyncCustomDomain(lambda: self.sent)
        self.metrics = AsyncMetrics(lambda: self.sent)


def pages(
    items: list[Any], *, limit: int = 100, between: Callable[[int], Awaitable[None]] | None = None
) -> Callable[[Request[Any]], Awaitable[Answer]]:
    """A service that keeps a list: answers any page of `items`, which may change from call to call."""

    async def answer(request: Request[Any]) -> Answer:
        assert request.params is not None
        page, size = int(request.params["page"]), int(request.params.get("limit", limit))
        if between is not None:
            await between(page)
        last = -(-len(items) // size)
        told = {
            "X-Total-Count": str(len(items)),
            "X-Page": str(page),
            "X-Limit": str(size),
            "X-Prev-Page": str(page - 1) if page > 1 else "null",
            "X-Next-Page": str(page + 1) if page < last else "null",
        }
        return Answer(items[(page - 1) * size : page * size], told)

    return answer


# --- time -------------------------------------------------------------------------------------------------------------


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: when nothing is ready, the time that would have been waited has passed."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise RuntimeError("nothing would ever happen again")
        self.passed += timeout
        return super().select(0)


class _JumpingLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clockwork = _JumpingSelector()
        super().__init__(self.clockwork)

    def time(self) -> float:
        return super().time() + self.clockwork.passed


def in_no_time(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run `work` on a loop whose pauses take no time. For code without sockets and threads."""
    with asyncio.Runner(loop_factory=_JumpingLoop) as runner:
        return runner.run(work())


def now() -> float:
    """The running loop's time."""
    return asyncio.get_running_loop().time()


def numbered(first: int, last: int) -> Iterator[str]:
    """Ids that tell their order."""
    return (f"id-{number}" for number in range(first, last + 1))
