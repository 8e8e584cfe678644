"""The FastAPI dependency, in this process and without a server."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest

from imgwire_async import AsyncImgwireClient, AuthenticationError, ConfigurationError
from imgwire_async.emulator import Emulator

pytest.importorskip("fastapi", reason="needs fastapi")
from fastapi import FastAPI, UploadFile
from starlette.types import Message

from imgwire_async.integrations.fastapi import (
    ClientDep,
    add_error_handlers,
    get_client,
    lifespan,
)

ID = "00000000-0000-0000-0000-000000000000"


def application(make: Callable[[], AsyncImgwireClient] | None) -> FastAPI:
    app = FastAPI(lifespan=None if make is None else lifespan(make))
    add_error_handlers(app)

    @app.get("/pictures/{image_id}")
    async def show(image_id: str, client: ClientDep) -> str:
        return (await client.images.retrieve(image_id)).original_filename

    @app.post("/pictures")
    async def receive(file: UploadFile, client: ClientDep) -> str:
        return (await client.images.upload(file)).original_filename

    return app


@asynccontextmanager
async def running(app: FastAPI) -> AsyncGenerator[None, None]:
    async with app.router.lifespan_context(app):
        yield


async def send_request(
    app: FastAPI, path: str, body: bytes = b"", method: str = "GET", kind: str = ""
) -> tuple[int, bytes]:
    """Send a request to `app` like an ASGI server, and return the status and the body of the response."""
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", kind.encode())] if kind else []
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


async def test_a_handler_gets_the_client_of_the_application(emulator: Emulator) -> None:
    made: list[AsyncImgwireClient] = []

    def make() -> AsyncImgwireClient:
        made.append(AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url))
        return made[-1]

    app = application(make)
    gif = bytes.fromhex(
        "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
    )
    form = (
        b'--line\r\nContent-Disposition: form-data; name="file"; filename="a.gif"\r\n\r\n'
        + gif
        + b"\r\n--line--"
    )
    async with running(app):
        responses = [
            await send_request(app, "/pictures", form, "POST", "multipart/form-data; boundary=line")
            for _ in range(2)
        ]
        assert responses == [(200, b'"a.gif"')] * 2
        assert not made[0].closed
    assert [client.closed for client in made] == [True]


async def test_an_error_that_a_handler_does_not_catch_becomes_a_response(
    emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    app = application(partial(AsyncImgwireClient, emulator.api_key, base_url=emulator.base_url, retries=0))
    emulator.faults.add("GET", f"/api/v1/images/{ID}", status=500, after=1)
    async with running(app):
        with caplog.at_level(logging.WARNING, "imgwire_async.integrations"):
            status, body = await send_request(app, f"/pictures/{ID}")
            assert (status, b"not_found" in body) == (404, True)
            assert caplog.records == []
            status, body = await send_request(app, f"/pictures/{ID}")
            assert (status, b"service_failed" in body) == (502, True)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "GET /images/{image_id}" in caplog.text


async def test_a_request_path_cannot_forge_a_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    app = FastAPI()
    add_error_handlers(app)

    @app.get("/{path:path}")
    async def fail(path: str) -> None:
        raise AuthenticationError("no", status=401)

    assert (await send_request(app, "/a\x1b[2J"))[0] == 502
    assert [record.message for record in caplog.records] == [r"GET '/a\x1b[2J': no"]


async def test_a_missing_key_raises_when_the_application_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGWIRE_API_KEY", raising=False)
    app = FastAPI(lifespan=lifespan())
    with pytest.raises(ConfigurationError, match="IMGWIRE_API_KEY"):
        async with running(app):
            pass


async def test_an_application_without_the_lifespan_raises_with_advice() -> None:
    with pytest.raises(RuntimeError, match=r"FastAPI\(lifespan=lifespan\(\)\)"):
        await send_request(application(None), f"/pictures/{ID}")


async def test_a_test_can_override_the_client(emulator: Emulator) -> None:
    app = application(None)
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        app.dependency_overrides[get_client] = lambda: client
        assert (await send_request(app, f"/pictures/{ID}"))[0] == 404


async def test_a_restarted_application_has_a_new_client(emulator: Emulator) -> None:
    app = application(partial(AsyncImgwireClient, emulator.api_key, base_url=emulator.base_url))
    for _ in range(2):
        async with running(app):
            assert (await send_request(app, f"/pictures/{ID}"))[0] == 404
    with pytest.raises(RuntimeError, match="no Imgwire client"):
        await send_request(app, f"/pictures/{ID}")
