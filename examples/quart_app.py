"""Pictures in a Quart application: `IMGWIRE_API_KEY=... hypercorn quart_app:app`."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from quart import Quart, Response, abort, render_template_string, request

from imgwire_async import AsyncImgwireClient, Image, ImgwireError
from imgwire_async.integrations.http import answer_for

app = Quart(__name__)
app.config["MAX_CONTENT_LENGTH"] = 2**30  # Quart's own limit is 16 MiB
app.config["BODY_TIMEOUT"] = None  # a slow browser may take its time: Timeouts(stall=...) watches it
client = AsyncImgwireClient()  # one for the life of the application; making it does no I/O


@app.while_serving
async def life() -> AsyncGenerator[None, None]:
    async with client:
        yield


@app.post("/pictures")
async def receive_body() -> tuple[dict[str, str], int]:
    """Pass the request's body on piece by piece. When the browser goes away, Quart cancels this, and the upload ends."""
    image = await client.images.upload(
        request.body, file_name=request.args["name"], content_length=request.content_length
    )
    return told(image), 201


@app.post("/form")
async def receive_form() -> tuple[dict[str, str], int]:
    """Take a picture from an HTML form. What is larger than 500 KB was kept in a temporary file."""
    file = (await request.files).get("file")
    if file is None:
        abort(400, "the form has no file")
    return told(await client.images.upload(file.stream, file_name=file.filename)), 201


def told(image: Image) -> dict[str, str]:
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.post("/upload-token")
async def make_token() -> dict[str, str]:
    """Let a browser upload one picture itself, with the client key. Check first who asks."""
    return {"uploadToken": (await client.images.create_upload_token()).token}


@app.get("/pictures/<image_id>")
async def show(image_id: str) -> str:
    image = await client.images.retrieve(image_id)
    return await render_template_string(
        "<!doctype html>{{ image.responsive().html(alt=image.original_filename) }}", image=image
    )


@app.errorhandler(ImgwireError)
async def answer(error: ImgwireError) -> Response:
    status, headers, body = answer_for(error)
    return Response(body, status, headers)
