"""Pictures in a Flask application: `gunicorn --preload --worker-class gthread --threads 8 flask_app:app`."""

from __future__ import annotations

from uuid import UUID

from flask import Flask, Response, abort, render_template_string, request

from imgwire_async import Image, ImgwireClient, ImgwireError
from imgwire_async.integrations.http import response_for

app = Flask(__name__)
# One client for all threads. It is created before gunicorn forks and used after, so that
# each worker has its own connections.
client = ImgwireClient()


@app.post("/pictures")
def receive_body() -> tuple[dict[str, str], int]:
    """Upload the request body while it arrives. If the browser disconnects, the upload ends."""
    image = client.images.upload(
        request.stream,
        file_name=request.args["name"],
        content_length=request.content_length,
    )
    return as_json(image), 201


@app.post("/form")
def receive_form() -> tuple[dict[str, str], int]:
    """Upload a picture from a form. A file above 500 KB is in a temporary file."""
    file = request.files.get("file")
    if file is None:
        abort(400, "the form has no file")
    return as_json(client.images.upload(file.stream, file_name=file.filename)), 201


def as_json(image: Image) -> dict[str, str]:
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.post("/upload-token")
def make_token() -> dict[str, str]:
    """Let a browser upload one picture with the client key. Check first that the user may upload."""
    return {"uploadToken": client.images.create_upload_token().token}


@app.get("/pictures/<uuid:image_id>")
def show(image_id: UUID) -> str:
    image = client.images.retrieve(image_id)
    return render_template_string(
        "<!doctype html>{{ image.responsive().html(alt=image.original_filename) }}",
        image=image,
    )


@app.errorhandler(ImgwireError)
def handle_error(error: ImgwireError) -> Response:
    status, headers, body = response_for(error)
    return Response(body, status, headers)
