"""Pictures in a Flask application: `gunicorn --preload --worker-class gthread --threads 8 flask_app:app`."""

from __future__ import annotations

from uuid import UUID

from flask import Flask, Response, abort, render_template_string, request

from imgwire_async import Image, ImgwireClient, ImgwireError
from imgwire_async.integrations.http import answer_for

app = Flask(__name__)
# One for all threads. Made before gunicorn forks and used after, it gives each worker its own connections.
client = ImgwireClient()


@app.post("/pictures")
def receive_body() -> tuple[dict[str, str], int]:
    """Pass the body on as it comes. When the browser goes away, so does the upload."""
    image = client.images.upload(
        request.stream,
        file_name=request.args["name"],
        content_length=request.content_length,
    )
    return told(image), 201


@app.post("/form")
def receive_form() -> tuple[dict[str, str], int]:
    """Take a picture from a form: what is larger than 500 KB is in a temporary file."""
    file = request.files.get("file")
    if file is None:
        abort(400, "the form has no file")
    return told(client.images.upload(file.stream, file_name=file.filename)), 201


def told(image: Image) -> dict[str, str]:
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.post("/upload-token")
def make_token() -> dict[str, str]:
    """Let a browser upload one picture itself, with the client key. Check who asks."""
    return {"uploadToken": client.images.create_upload_token().token}


@app.get("/pictures/<uuid:image_id>")
def show(image_id: UUID) -> str:
    image = client.images.retrieve(image_id)
    return render_template_string(
        "<!doctype html>{{ image.responsive().html(alt=image.original_filename) }}",
        image=image,
    )


@app.errorhandler(ImgwireError)
def answer(error: ImgwireError) -> Response:
    status, headers, body = answer_for(error)
    return Response(body, status, headers)
