"""Pictures in a Quart application: `IMGWIRE_API_KEY=... hypercorn quart_app:app`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

from quart import Quart, Response, abort, render_template_string, request

from imgwire_async import AsyncImgwireClient, Image, ImgwireError
from imgwire_async.integrations.http import answer_for

app = Quart(__name__)
# Quart has no way to hold a browser up: what the storage has not taken yet is kept in memory.
app.config["MAX_CONTENT_LENGTH"] = 250 * 2**20
app.config["BODY_TIMEOUT"] = None  # a slow browser may take its time
client = AsyncImgwireClient()  # one for the life of the application


@app.while_serving
async def life() -> AsyncGenerator[None, None]:
    async with client:
        yield


@app.post("/pictures")
async def receive_body() -> tuple[dict[str, str], int]:
    """Pass the body on as it comes. When the browser goes away, so does the upload."""
    image = await client.images.upload(
        request.body,
        file_name=request.args["name"],
        content_length=request.content_length,
    )
    return told(image), 201


@app.post("/form")
async def receive_form() -> tuple[dict[str, str], int]:
    """Take a picture from a form: what is larger than 500 KB is in a temporary file."""
    file = (await request.files).get("file")
    if file is None:
        abort(400, "the form has no file")
    return told(await client.images.upload(file.stream, file_name=file.filename)), 201


def told(image: Image) -> dict[str, str]:
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.post("/upload-token")
async def make_token() -> dict[str, str]:
    """Let a browser upload one picture itself, with the client key. Check who asks."""
    return {"uploadToken": (await client.images.create_upload_token()).token}


@app.get("/pictures/<uuid:image_id>")
async def show(image_id: UUID) -> str:
    image = await client.images.retrieve(image_id)
    return await render_template_string(
        "<!doctype html>{{ image.responsive().html(alt=image.original_filename) }}",
        image=image,
    )


@app.errorhandler(ImgwireError)
async def answer(error: ImgwireError) -> Response:
    status, headers, body = answer_for(error)
    return Response(body, status, headers)
