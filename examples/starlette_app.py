"""Pictures in a Starlette application: `IMGWIRE_API_KEY=... uvicorn starlette_app:app`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from imgwire_async import AsyncImgwireClient, Image, ImgwireError
from imgwire_async.integrations.http import response_for


@contextlib.asynccontextmanager
async def lifespan(app: Starlette) -> AsyncGenerator[None, None]:
    # One client, open as long as the application runs.
    async with AsyncImgwireClient() as client:
        app.state.client = client
        yield


def client_of(request: Request) -> AsyncImgwireClient:
    client: AsyncImgwireClient = request.app.state.client
    return client


async def receive_body(request: Request) -> Response:
    """Upload the request body while it arrives. If the browser disconnects, the upload ends."""
    size = request.headers.get("content-length")
    image = await client_of(request).images.upload(
        request.stream(),
        file_name=request.query_params.get("name"),
        content_length=None if size is None else int(size),
    )
    return created(image)


async def receive_form(request: Request) -> Response:
    """Upload a picture from a form. A file above 1 MiB is in a temporary file."""
    async with request.form() as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise HTTPException(400, "the form has no file")
        return created(await client_of(request).images.upload(file))


def created(image: Image) -> Response:
    return JSONResponse({"id": image.id, "url": image.url(preset="thumbnail")}, 201)


async def make_token(request: Request) -> Response:
    """Let a browser upload one picture with the client key. Check first that the user may upload."""
    token = await client_of(request).images.create_upload_token()
    return JSONResponse({"uploadToken": token.token})


async def show(request: Request) -> Response:
    image = await client_of(request).images.retrieve(request.path_params["image_id"])
    picture = image.responsive().html(alt=image.original_filename)
    return HTMLResponse(f"<!doctype html>{picture}")


async def handle_error(_: Request, error: Exception) -> Response:
    # This handler is registered for ImgwireError only.
    assert isinstance(error, ImgwireError)
    status, headers, body = response_for(error)
    return Response(body, status, headers)


app = Starlette(
    routes=[
        Route("/pictures", receive_body, methods=["POST"]),
        Route("/form", receive_form, methods=["POST"]),
        Route("/upload-token", make_token, methods=["POST"]),
        Route("/pictures/{image_id:uuid}", show),
    ],
    lifespan=lifespan,
    exception_handlers={ImgwireError: handle_error},
)
