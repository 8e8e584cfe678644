"""The client as a FastAPI dependency, for the life of the application, and its errors as answers. (extra `fastapi`)

```python
from fastapi import FastAPI, UploadFile
from imgwire_async.integrations.fastapi import ClientDep, add_error_answers, lifespan

app = FastAPI(lifespan=lifespan())
add_error_answers(app)


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
from imgwire_async.integrations.http import answer_for

__all__ = ["ClientDep", "add_error_answers", "get_client", "lifespan"]

logger: logging.Logger = logging.getLogger("imgwire_async.integrations")


def lifespan(
    make: Callable[[], AsyncImgwireClient] = AsyncImgwireClient,
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return a lifespan that makes the client when the application starts, and closes it when it ends.

    `make` is any callable that gives a client; the default takes its settings from the environment. A missing key fails at
    the start, not at the first upload. Inside a lifespan of your own: `async with lifespan()(app): yield`.
    """

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncGenerator[None, None]:
        async with make() as client:
            app.state.imgwire_client = client
            try:
                yield
            finally:
                del app.state.imgwire_client

    return life


def get_client(connection: HTTPConnection) -> AsyncImgwireClient:
    """Return the application's client: the dependency behind `ClientDep`, and the key for `app.dependency_overrides`.

    Raises `RuntimeError` when the application was not given `lifespan()`, or was not started (a `TestClient` starts it in a
    `with` block only).
    """
    client: object = getattr(connection.app.state, "imgwire_client", None)
    if not isinstance(client, AsyncImgwireClient):
        raise RuntimeError(  # noqa: TRY004  # it is missing, not of a wrong type
            "the application has no Imgwire client: give it FastAPI(lifespan=lifespan()), or enter lifespan()(app) in your "
            "own lifespan; a TestClient runs it inside a `with` block only. A mounted application needs its own."
        )
    return client


ClientDep: TypeAlias = Annotated[AsyncImgwireClient, Depends(get_client)]
"""The type to annotate a handler's parameter with: `client: ClientDep`."""


def add_error_answers(app: FastAPI) -> None:
    """Answer errors of this package that a handler lets pass as `imgwire_async.integrations.http.answer_for` says.

    An answer of 500 or more is logged with its error as a WARNING of `imgwire_async.integrations`.
    """
    app.add_exception_handler(ImgwireError, _answer)


async def _answer(request: Request, error: Exception) -> Response:
    assert isinstance(error, ImgwireError)  # for nothing else is it registered
    status, headers, body = answer_for(error)
    if status >= 500:
        logger.warning("%s %r: %s", request.method, request.url.path, error, exc_info=error)
    return Response(body, status, headers)
