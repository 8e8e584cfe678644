"""`upload_token` as a callable of the blocking client runs in the thread that waits for the call."""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from imgwire_async import ImgwireClient, UploadItem
from imgwire_async.emulator import Emulator

from .conftest import GIF


async def coroutine_function() -> str:
    return "ut_x"


class Asynchronous:
    async def __call__(self) -> str:
        return "ut_x"


ASYNC: list[Any] = [coroutine_function, Asynchronous(), functools.partial(coroutine_function)]


class Backend:
    """Creates upload tokens with a server key, and records the threads in which it was called."""

    def __init__(self, client: ImgwireClient) -> None:
        self.client = client
        self.threads: list[int] = []

    def __call__(self) -> str:
        self.threads.append(threading.get_ident())
        return self.client.images.create_upload_token().token


@pytest.fixture
def backend(client: ImgwireClient) -> Backend:
    return Backend(client)


@pytest.fixture
def browser(emulator: Emulator, backend: Backend) -> Iterator[ImgwireClient]:
    with ImgwireClient(
        emulator.client_key, base_url=emulator.base_url, upload_token=backend, max_connections=2
    ) as browser:
        yield browser


def test_the_token_callable_runs_once_per_file_in_the_calling_thread(
    browser: ImgwireClient, backend: Backend, client: ImgwireClient
) -> None:
    browser.images.create(file_name="a.gif")
    browser.images.upload(GIF)
    own = Backend(client)
    files = [GIF, UploadItem(GIF, upload_token=own), GIF]
    assert all(result.unwrap() for result in browser.images.upload_many(files))
    browser.with_options(timeout=20).images.upload(GIF, upload_token=own)
    assert backend.threads == [threading.get_ident()] * 4
    assert own.threads == [threading.get_ident()] * 2


def test_the_loop_body_may_upload_while_files_wait_for_their_token(
    browser: ImgwireClient, backend: Backend
) -> None:
    """Their token callables wait for the next step, and hold no slot meanwhile."""
    images = 0
    for result in browser.images.upload_many([GIF] * 8, concurrency=8):
        assert result.unwrap()
        assert browser.images.upload(GIF)
        images += 2
    assert images == len(backend.threads) == 16


@pytest.mark.parametrize("token_callable", ASYNC, ids=["function", "object", "partial"])
def test_a_coroutine_function_as_token_callable_raises_a_type_error(
    client: ImgwireClient, emulator: Emulator, token_callable: Any
) -> None:
    with pytest.raises(TypeError, match=r"upload_token .*AsyncImgwireClient"):
        ImgwireClient("ck_x", upload_token=token_callable)
    with pytest.raises(TypeError, match=r"upload_token .*AsyncImgwireClient"):
        client.images.upload(GIF, upload_token=token_callable)
    with pytest.raises(TypeError, match=r"upload_token .*AsyncImgwireClient"):
        client.images.create(file_name="a.gif", upload_token=token_callable)
    (result,) = client.images.upload_many([UploadItem(GIF, upload_token=token_callable)])
    assert isinstance(result.error, TypeError)
    assert len(emulator.requests) == 0


def test_a_token_callable_that_returns_an_awaitable_raises_a_type_error(client: ImgwireClient) -> None:
    with pytest.raises(TypeError, match="awaitable, which only AsyncImgwireClient"):
        client.images.upload(GIF, upload_token=lambda: coroutine_function())


def test_an_error_of_the_token_callable_passes_unchanged(client: ImgwireClient) -> None:
    mistake = KeyError("no vault")

    def token_callable() -> str:
        raise mistake

    for call in (
        lambda: client.images.upload(GIF, upload_token=token_callable),
        lambda: client.images.create(file_name="a.gif", upload_token=token_callable),
    ):
        with pytest.raises(KeyError) as caught:
            call()
        assert caught.value is mistake
        assert (mistake.__cause__, mistake.__context__) == (None, None)


def test_the_token_callable_sees_the_callers_thread_locals(client: ImgwireClient, emulator: Emulator) -> None:
    local = threading.local()
    local.token = client.images.create_upload_token().token
    with ImgwireClient(emulator.client_key, base_url=emulator.base_url) as browser:
        assert browser.images.upload(GIF, upload_token=lambda: local.token).upload_token_id
