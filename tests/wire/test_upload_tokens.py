"""`upload_token`: text, or a callable that is called once per file, right before the record is created."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import functools
import logging
import pickle
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from worlds import World

from imgwire_async import (
    APITimeoutError,
    AsyncImgwireClient,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    Image,
    PermissionDeniedError,
    StandardUpload,
    Timeouts,
    UploadItem,
)
from imgwire_async.emulator import Emulator

from .pictures import png

SECRET = "ut_s3cr3t-d0-n0t-sh0w"


class Backend:
    """Creates upload tokens with a server key, as the backend of a web page does, and records them."""

    def __init__(self, client: AsyncImgwireClient) -> None:
        self.client = client
        self.tokens: list[str] = []

    async def __call__(self) -> str:
        token = (await self.client.images.create_upload_token()).token
        self.tokens.append(token)
        return token


@pytest.fixture
def backend(client: AsyncImgwireClient) -> Backend:
    return Backend(client)


Browser = Callable[..., AsyncImgwireClient]


@pytest.fixture
async def browser(emulator: Emulator, world: World) -> AsyncIterator[Browser]:
    """Return a function that creates clients with a client key."""
    async with contextlib.AsyncExitStack() as stack:
        clients: list[AsyncImgwireClient] = []

        def create_client(**settings: Any) -> AsyncImgwireClient:
            clients.append(world.client(emulator.client_key, emulator.base_url, **settings))
            stack.push_async_callback(clients[-1].aclose)
            return clients[-1]

        yield create_client


def tokens_sent(emulator: Emulator) -> list[str]:
    return [
        r.target.rpartition("upload_token=")[2] for r in emulator.requests if "standard_upload" in r.target
    ]


def create(client: AsyncImgwireClient, **options: Any) -> Awaitable[Image | StandardUpload]:
    return client.images.create(file_name="a.png", **options)


def upload(client: AsyncImgwireClient, **options: Any) -> Awaitable[Image | StandardUpload]:
    return client.images.upload(png(), **options)


async def upload_item(client: AsyncImgwireClient, **options: Any) -> Image:
    (result,) = [result async for result in client.images.upload_many([UploadItem(png(), **options)])]
    return result.unwrap()


CALLS: list[Any] = [create, upload, upload_item]
calls = pytest.mark.parametrize("call", CALLS, ids=lambda call: call.__name__)


@calls
@pytest.mark.world
async def test_a_callable_is_called_once_per_file(
    emulator: Emulator, browser: Browser, backend: Backend, call: Any
) -> None:
    await call(browser(), upload_token=backend)
    await call(browser(upload_token=backend))
    assert len(backend.tokens) == 2
    assert tokens_sent(emulator) == backend.tokens
    with pytest.raises(PermissionDeniedError):
        await call(browser())


@calls
async def test_a_callable_may_return_text_or_an_awaitable(
    browser: Browser, client: AsyncImgwireClient, call: Any
) -> None:
    class Sub(str):
        __slots__ = ()

    async def get_token(prefix: str) -> str:
        return prefix + (await client.images.create_upload_token()).token

    token = (await client.images.create_upload_token()).token
    await call(browser(), upload_token=lambda: Sub(token))
    await call(browser(), upload_token=functools.partial(get_token, ""))
    await call(browser(), upload_token=lambda: get_token(""))
    await call(browser(), upload_token=lambda: asyncio.ensure_future(get_token("")))


@calls
async def test_the_token_of_a_call_takes_precedence_over_that_of_the_client(
    emulator: Emulator, browser: Browser, backend: Backend, call: Any
) -> None:
    other = Backend(backend.client)
    client = browser(upload_token=backend)
    await call(client, upload_token=other)
    await call(client, upload_token=await other())
    assert backend.tokens == []
    assert tokens_sent(emulator) == other.tokens


async def test_the_clients_token_is_sent_with_every_upload_also_of_its_clones(
    emulator: Emulator, browser: Browser, backend: Backend
) -> None:
    client = browser(upload_token=f" {await backend()}\n")
    await client.with_options(timeout=20).images.create(file_name="a.png")
    assert tokens_sent(emulator) == backend.tokens
    await browser(upload_token=backend).with_options(retries=1).images.upload(png())
    assert tokens_sent(emulator) == backend.tokens


async def test_other_operations_send_no_token(emulator: Emulator, client: AsyncImgwireClient) -> None:
    calls: list[int] = []
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, upload_token=lambda: calls.append(1) or SECRET
    ) as other:
        await other.images.list()
        with contextlib.suppress(Exception):
            await other.images.upload_via_url("https://example.com/a.png")
    assert calls == []
    assert not [record for record in emulator.requests if SECRET in record.target]


@pytest.mark.world
async def test_each_of_many_files_gets_a_token_of_its_own(
    emulator: Emulator, browser: Browser, backend: Backend
) -> None:
    client = browser(upload_token=backend, max_connections=4)
    files = [png(padding=n) for n in range(20)]
    images = [result.unwrap() async for result in client.images.upload_many(files)]
    assert len({image.upload_token_id for image in images}) == len(set(backend.tokens)) == 20


async def test_no_more_tokens_are_requested_than_can_be_used_at_once(
    browser: Browser, backend: Backend
) -> None:
    running, maximum = 0, 0

    async def get_token() -> str:
        nonlocal running, maximum
        running += 1
        maximum = max(maximum, running)
        try:
            return await backend()
        finally:
            running -= 1

    client = browser(upload_token=get_token, max_connections=2)
    files = [png(padding=n) for n in range(12)]
    assert [result.unwrap() async for result in client.images.upload_many(files, concurrency=12)]
    assert maximum <= 2


@pytest.mark.world
async def test_a_rejected_token_fails_its_own_file_only(browser: Browser, backend: Backend) -> None:
    used = await backend()
    client = browser()
    await client.images.upload(png(), upload_token=used)
    items = [UploadItem(png(padding=n), upload_token=used if n == 1 else backend) for n in range(3)]
    results = [result async for result in client.images.upload_many(items, concurrency=1)]
    assert [type(result.error) for result in results] == [type(None), AuthenticationError, type(None)]


# --- retries ------------------------------------------------------------------------------------------------


@calls
@pytest.mark.world
async def test_a_token_used_by_an_attempt_without_response_is_replaced(
    emulator: Emulator, browser: Browser, backend: Backend, call: Any
) -> None:
    emulator.faults.add("POST", "*/standard_upload*", reset="after_commit")
    await call(browser(upload_token=backend))
    assert tokens_sent(emulator) == [backend.tokens[0]] * 2 + [backend.tokens[1]]
    assert len(emulator.images) == 1, "both requests had the same idempotency key"


async def test_a_retried_create_sends_the_same_token(
    emulator: Emulator, browser: Browser, backend: Backend
) -> None:
    emulator.faults.add("POST", "*/standard_upload*", status=503, headers={"Retry-After": "0"}, times=2)
    await browser(upload_token=backend).images.upload(png())
    assert len(backend.tokens) == 1
    assert tokens_sent(emulator) == backend.tokens * 3


async def test_a_new_url_needs_a_token_of_its_own(
    emulator: Emulator, browser: Browser, backend: Backend
) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=403, body=b"Request has expired")
    image = await browser(upload_token=backend).images.upload(png(), wait=True)
    assert list(emulator.images) == [image.id]
    assert tokens_sent(emulator) == backend.tokens
    assert len(set(backend.tokens)) == 2


@pytest.mark.parametrize("switches", [{"idempotency": "conflict"}])
async def test_a_second_record_needs_a_token_of_its_own(
    emulator: Emulator, browser: Browser, backend: Backend
) -> None:
    emulator.faults.add("PUT", "/uploads/*", status=403, body=b"Request has expired")
    await browser(upload_token=backend).images.upload(png(), wait=True)
    assert len(emulator.images) == 2
    assert tokens_sent(emulator) == backend.tokens
    # The request with the same key was a conflict, so a third one followed.
    assert len(set(backend.tokens)) == 3


# --- errors -------------------------------------------------------------------------------------------------


@calls
@pytest.mark.parametrize(
    "error",
    [
        KeyError("no vault"),
        ConflictError("from another client", status=409),
        AuthenticationError("from another client", status=401),
    ],
    ids=repr,
)
async def test_an_exception_of_the_callable_is_raised_unchanged(
    emulator: Emulator, browser: Browser, call: Any, error: Exception
) -> None:
    calls: list[int] = []

    async def get_token() -> str:
        calls.append(1)
        raise error

    for client, options in ((browser(), {"upload_token": get_token}), (browser(upload_token=get_token), {})):
        calls.clear()
        with pytest.raises(type(error)) as caught:
            await call(client, **options)
        assert caught.value is error
        assert (error.__cause__, error.__context__, len(calls)) == (None, None, 1)
    assert len(emulator.requests) == 0


async def test_an_error_of_one_files_callable_ends_no_other_upload(
    browser: Browser, backend: Backend
) -> None:
    async def broken() -> str:
        raise AuthenticationError("from another client", status=401)

    items = [UploadItem(png(), upload_token=source) for source in (broken, backend, lambda: None, backend)]
    results = {r.index: r async for r in browser().images.upload_many(items, concurrency=1)}
    kinds = [None if (error := results[n].error) is None else type(error) for n in range(4)]
    assert kinds == [AuthenticationError, None, TypeError, None]


WRONG: list[Any] = [
    None,
    "",
    f"{SECRET}\n",
    f" {SECRET}",
    "ü",
    5,
    SECRET.encode(),
    [SECRET],
    {"token": SECRET},
]


def package_locals(error: BaseException) -> str:
    """Return the local variables of the package's frames in a traceback, as error trackers store them."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return "".join(repr(f.f_locals) for f in frames if f.f_globals["__name__"].startswith("imgwire_async."))


@calls
@pytest.mark.parametrize("result", WRONG, ids=ascii)
async def test_the_error_for_an_invalid_token_does_not_show_it(
    emulator: Emulator, browser: Browser, call: Any, result: Any
) -> None:
    async def get_token() -> Any:
        return result

    with pytest.raises((TypeError, ValueError), match="upload_token callable must return") as caught:
        await call(browser(), upload_token=get_token)
    assert SECRET not in f"{caught.value!r} {caught.value}{package_locals(caught.value)}"
    with pytest.raises(ConfigurationError, match="upload_token callable must return") as caught:
        await call(browser(upload_token=lambda: result))
    assert SECRET not in package_locals(caught.value)
    assert len(emulator.requests) == 0


async def test_a_result_that_must_be_awaited_twice_is_rejected(browser: Browser) -> None:
    async def get_token() -> str:
        return SECRET

    async def twice() -> Any:
        return get_token()

    with pytest.raises(TypeError, match="not coroutine"):
        await browser().images.upload(png(), upload_token=twice)


@pytest.mark.parametrize(
    "value", [5, b"x", [SECRET], "", " ", f"{SECRET} x", f"{SECRET}\x00", "ü"], ids=ascii
)
def test_an_invalid_token_is_rejected_at_construction(value: Any) -> None:
    with pytest.raises((TypeError, ConfigurationError), match="upload_token must be") as caught:
        AsyncImgwireClient("ck_x", upload_token=value)
    assert SECRET not in str(caught.value)


@calls
async def test_the_deadline_also_limits_the_token_callable(browser: Browser, call: Any) -> None:
    async def never() -> str:
        await asyncio.sleep(3600)
        return SECRET

    with pytest.raises(APITimeoutError, match=r"waiting for upload_token\(\)") as caught:
        await call(browser(timeout=Timeouts(deadline=0.1)), upload_token=never)
    assert caught.value.which == "deadline"


async def test_an_upload_cancelled_during_the_token_callable_releases_its_slot(
    browser: Browser, backend: Backend
) -> None:
    called = asyncio.Event()

    async def never() -> str:
        called.set()
        await asyncio.sleep(3600)
        return SECRET

    client = browser(max_connections=1)
    uploading = asyncio.ensure_future(client.images.upload(png(), upload_token=never))
    await called.wait()
    uploading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await uploading
    await asyncio.wait_for(client.images.upload(png(), upload_token=backend), 10)


async def test_closing_the_client_ends_the_token_callable(browser: Browser) -> None:
    called = asyncio.Event()

    async def never() -> str:
        called.set()
        await asyncio.sleep(3600)
        return SECRET

    client = browser(upload_token=never)
    for call in CALLS[:2]:
        client = browser(upload_token=never)
        called.clear()
        uploading = asyncio.ensure_future(call(client))
        await called.wait()
        await client.aclose()
        with pytest.raises(RuntimeError, match="closed"):
            await uploading


async def test_a_callable_that_uploads_with_the_same_client_does_not_deadlock(
    browser: Browser, backend: Backend
) -> None:
    client = browser(max_connections=1, timeout=Timeouts(stall=0.2))

    async def upload_first() -> str:
        await client.images.upload(png(), upload_token=backend)
        return await backend()

    with pytest.raises(Exception, match="no PUT slot became free"):
        await asyncio.wait_for(client.images.upload(png(), upload_token=upload_first), 10)


async def test_a_token_appears_in_no_repr_log_or_error(
    emulator: Emulator, browser: Browser, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "imgwire_async")

    async def get_token() -> str:
        return SECRET

    client = browser(upload_token=SECRET)
    item = UploadItem(png(), upload_token=SECRET)
    texts = [repr(client), repr(item), repr(copy.copy(item)), repr(client._shared.config)]
    with client.capture() as exchanges:
        for options in ({}, {"upload_token": get_token}):
            with pytest.raises(AuthenticationError) as caught:
                await client.images.upload(png(), **options)
            texts += [repr(caught.value), str(caught.value), str(pickle.dumps(caught.value))]
    assert exchanges
    assert SECRET not in " ".join([*texts, *map(repr, exchanges), caplog.text])
    assert SECRET in emulator.requests[-1].target
