"""Pictures in a Litestar application: `IMGWIRE_API_KEY=... uvicorn litestar_app:app`."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any
from uuid import UUID

from litestar import Litestar, MediaType, Request, Response, get, post
from litestar.datastructures import State, UploadFile
from litestar.di import Provide
from litestar.enums import RequestEncodingType
from litestar.params import Body

from imgwire_async import AsyncImgwireClient, Image, ImgwireError
from imgwire_async.integrations.http import response_for


@contextlib.asynccontextmanager
async def lifespan(app: Litestar) -> AsyncGenerator[None, None]:
    # One client, open as long as the application runs.
    async with AsyncImgwireClient() as client:
        app.state.client = client
        yield


async def get_client(state: State) -> AsyncImgwireClient:
    client: AsyncImgwireClient = state.client
    return client


@post("/pictures", request_max_body_size=None)
async def receive_body(
    request: Request[Any, Any, Any], name: str, client: AsyncImgwireClient
) -> dict[str, str]:
    """Upload the request body while it arrives. If the browser disconnects, the upload ends."""
    size = request.headers.get("content-length")
    image = await client.images.upload(
        request.stream(),
        file_name=name,
        content_length=None if size is None else int(size),
    )
    return as_json(image)


@post("/form")
async def receive_form(
    data: Annotated[UploadFile, Body(media_type=RequestEncodingType.MULTI_PART)],
    client: AsyncImgwireClient,
) -> dict[str, str]:
    """Upload a picture from a form. A file above 1 MiB is in a temporary file."""
    return as_json(await client.images.upload(data))


def as_json(image: Image) -> dict[str, str]:
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@post("/upload-token", status_code=200)
async def make_token(client: AsyncImgwireClient) -> dict[str, str]:
    """Let a browser upload one picture with the client key. Check first that the user may upload."""
    return {"uploadToken": (await client.images.create_upload_token()).token}


@get("/pictures/{image_id:uuid}", media_type=MediaType.HTML)
async def show(image_id: UUID, client: AsyncImgwireClient) -> str:
    image = await client.images.retrieve(image_id)
    return f"<!doctype html>{image.responsive().html(alt=image.original_filename)}"


def handle_error(_: Request[Any, Any, Any], error: ImgwireError) -> Response[bytes]:
    status, headers, body = response_for(error)
    kind = headers["Content-Type"]
    return Response(body, status_code=status, headers=headers, media_type=kind)


app = Litestar(
    [receive_body, receive_form, make_token, show],
    dependencies={"client": Provide(get_client)},
    exception_handlers={ImgwireError: handle_error},
    lifespan=[lifespan],
)
