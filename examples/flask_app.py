"""Pictures in a Flask application: `IMGWIRE_API_KEY=... gunicorn --preload --worker-class gthread --threads 8 flask_app:app`."""

from __future__ import annotations

from flask import Flask, Response, abort, render_template_string, request

from imgwire_async import Image, ImgwireClient, ImgwireError
from imgwire_async.integrations.http import answer_for

app = Flask(__name__)
client = (
    ImgwireClient()
)  # one for all threads; made before gunicorn forks, used after: each worker has its own connections


@app.post("/pictures")
def receive_body() -> tuple[dict[str, str], int]:
    """Pass the request's body on piece by piece. When the browser goes away, reading it fails, and the upload ends."""
    image = client.images.upload(
        request.stream, file_name=request.args["name"], content_length=request.content_length
    )
    return told(image), 201


@app.post("/form")
def receive_form() -> tuple[dict[str, str], int]:
    """Take a picture from an HTML form. What is larger than 500 KB was kept in a temporary file."""
    file = request.files.get("file")
    if file is None:
        abort(400, "the form has no file")
    return told(client.images.upload(file.stream, file_name=file.filename)), 201


def told(image: Image) -> dict[str, str]:
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.post("/upload-token")
def make_token() -> dict[str, str]:
    """Let a browser upload one picture itself, with the client key. Check first who asks."""
    return {"uploadToken": client.images.create_upload_token().token}


@app.get("/pictures/<image_id>")
def show(image_id: str) -> str:
    image = client.images.retrieve(image_id)
    return render_template_string(
        "<!doctype html>{{ image.responsive().html(alt=image.original_filename) }}", image=image
    )


@app.errorhandler(ImgwireError)
def answer(error: ImgwireError) -> Response:
    status, headers, body = answer_for(error)
    return Response(body, status, headers)
