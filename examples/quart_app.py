"""Pictures in a Quart application: `IMGWIRE_API_KEY=... hypercorn quart_app:app`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from uuid import UUID

from quart import Quart, Response, abort, render_template_string, request

from imgwire_async import AsyncImgwireClient, Image, ImgwireError
from imgwire_async.integrations.http import response_for

app = Quart(__name__)
# Quart cannot slow a browser down: it keeps the bytes that are not sent yet in memory.
app.config["MAX_CONTENT_LENGTH"] = 250 * 2**20
# A slow browser may need longer than any timeout.
app.config["BODY_TIMEOUT"] = None
# One client, open as long as the application runs.
client = AsyncImgwireClient()


@app.while_serving
async def client_context() -> AsyncGenerator[None, None]:
    async with client:
        yield


@app.post("/pictures")
async def receive_body() -> tuple[dict[str, str], int]:
    """Upload the request body while it arrives. If the browser disconnects, the upload ends."""
    image = await client.images.upload(
        request.body,
        file_name=request.args["name"],
        content_length=request.content_length,
    )
    return as_json(image), 201


@app.post("/form")
async def receive_form() -> tuple[dict[str, str], int]:
    """Upload a picture from a form. A file above 500 KB is in a temporary file."""
    file = (await request.files).get("file")
    if file is None:
        abort(400, "the form has no file")
    return as_json(await client.images.upload(file.stream, file_name=file.filename)), 201


def as_json(image: Image) -> dict[str, str]:
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.post("/upload-token")
async def make_token() -> dict[str, str]:
    """Let a browser upload one picture with the client key. Check first that the user may upload."""
    return {"uploadToken": (await client.images.create_upload_token()).token}


@app.get("/pictures/<uuid:image_id>")
async def show(image_id: UUID) -> str:
    image = await client.images.retrieve(image_id)
    return await render_template_string(
        "<!doctype html>{{ image.responsive().html(alt=image.original_filename) }}",
        image=image,
    )


@app.errorhandler(ImgwireError)
async def handle_error(error: ImgwireError) -> Response:
    status, headers, body = response_for(error)
    return Response(body, status, headers)
