"""Pictures in a FastAPI application: `IMGWIRE_API_KEY=... uvicorn fastapi_app:app`."""

from __future__ import annotations

from uuid import UUID

from fastapi import FastAPI, Request, UploadFile
from fastapi.responses import HTMLResponse

from imgwire_async.integrations.fastapi import ClientDep, add_error_handlers, lifespan

# One client, open as long as the application runs.
app = FastAPI(lifespan=lifespan())
add_error_handlers(app)


@app.post("/pictures", status_code=201)
async def receive_body(request: Request, name: str, client: ClientDep) -> dict[str, str]:
    """Upload the request body while it arrives. If the browser disconnects, the upload ends.

    In the page: `fetch("/pictures?name=hero.jpg", {method: "POST", body: file})`.
    """
    size = request.headers.get("content-length")
    image = await client.images.upload(
        request.stream(),
        file_name=name,
        content_length=None if size is None else int(size),
    )
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.post("/form", status_code=201)
async def receive_form(file: UploadFile, client: ClientDep) -> dict[str, str]:
    """Upload a picture from a form. A file above 1 MiB is in a temporary file."""
    image = await client.images.upload(file)
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.post("/upload-token")
async def make_token(client: ClientDep) -> dict[str, str]:
    """Let a browser upload one picture with the client key. Check first that the user may upload."""
    return {"uploadToken": (await client.images.create_upload_token()).token}


@app.get("/pictures/{image_id}")
async def show(image_id: UUID, client: ClientDep) -> HTMLResponse:
    """Show a picture in the size that fits the screen. The HTML escapes its name."""
    image = await client.images.retrieve(image_id)
    picture = image.responsive().html(alt=image.original_filename)
    return HTMLResponse(f"<!doctype html>{picture}")
