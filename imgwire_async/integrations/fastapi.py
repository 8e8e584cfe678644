"""Provide the client as a FastAPI dependency, and turn its errors into HTTP responses.

This module needs the extra `fastapi`: `pip install 'imgwire-async[fastapi]'`.

```python
from fastapi import FastAPI, UploadFile
from imgwire_async.integrations.fastapi import ClientDep, add_error_handlers, lifespan

app = FastAPI(lifespan=lifespan())
add_error_handlers(app)


@app.post("/pictures")
async def receive(file: UploadFile, client: ClientDep) -> str:
    return (await client.images.upload(file)).id
```
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Annotated, TypeAlias

try:
    from fastapi import Depends, FastAPI, Request, Response
except ImportError as _missing:
    raise ImportError(
        "imgwire_async.integrations.fastapi needs FastAPI: pip install 'imgwire-async[fastapi]'"
    ) from _missing
from starlette.requests import HTTPConnection

from imgwire_async import AsyncImgwireClient, ImgwireError
from imgwire_async.integrations.http import response_for

__all__ = ["ClientDep", "add_error_handlers", "get_client", "lifespan"]

logger: logging.Logger = logging.getLogger("imgwire_async.integrations")


def lifespan(
    make: Callable[[], AsyncImgwireClient] = AsyncImgwireClient,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return a lifespan that opens a client when the application starts and closes it at the end.

    `make` is a callable that returns a new client. The default reads the settings from environment variables.
    Without an API key the application fails when it starts, not at the first upload. In a lifespan of your
    own, write `async with lifespan()(app): yield`.
    """

    @asynccontextmanager
    async def run_client(app: FastAPI) -> AsyncGenerator[None, None]:
        async with make() as client:
            app.state.imgwire_client = client
            try:
                yield
            finally:
                del app.state.imgwire_client

    return run_client


def get_client(connection: HTTPConnection) -> AsyncImgwireClient:
    """Return the client that `lifespan()` opened for the application.

    `connection` is a request or a websocket of the application. `ClientDep` depends on this function, so
    tests can replace the client with `app.dependency_overrides[get_client]`. Raises `RuntimeError` when the
    application has no `lifespan()`, or was not started. A `TestClient` starts the application only in a
    `with` block.
    """
    client: object = getattr(connection.app.state, "imgwire_client", None)
    if not isinstance(client, AsyncImgwireClient):
        raise RuntimeError(  # noqa: TRY004  # the client is missing, not of a wrong type
            "the application has no Imgwire client: write FastAPI(lifespan=lifespan()), or enter lifespan()(app) in your own "
            "lifespan; a TestClient runs the lifespan only inside a `with` block. For a mounted application, enter lifespan()(mounted_app) in the lifespan of the outer application."
        )
    return client


ClientDep: TypeAlias = Annotated[AsyncImgwireClient, Depends(get_client)]
"""The annotation of a handler's parameter to which FastAPI passes the client: `client: ClientDep`."""


def add_error_handlers(app: FastAPI) -> None:
    """Let `app` turn an `ImgwireError` into an HTTP response if no handler has caught the error.

    `imgwire_async.integrations.http.response_for` makes the response. If its status is 500 or more, the
    logger `imgwire_async.integrations` logs the error as a WARNING.
    """
    app.add_exception_handler(ImgwireError, _respond)


async def _respond(request: Request, error: Exception) -> Response:
    # `add_error_handlers` registers this function only for `ImgwireError`, so the assertion never fails. The
    # parameter has the type `Exception`, because `add_exception_handler` requires it.
    assert isinstance(error, ImgwireError)
    status, headers, body = response_for(error)
    if status >= 500:
        logger.warning("%s %r: %s", request.method, request.url.path, error, exc_info=error)
    return Response(body, status, headers)
