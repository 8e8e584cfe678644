"""Pictures in an aiohttp application: `IMGWIRE_API_KEY=... python aiohttp_app.py [PORT]`."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator

from aiohttp import BodyPartReader, web
from aiohttp.typedefs import Handler

from imgwire_async import AsyncImgwireClient, Image, ImgwireError
from imgwire_async.integrations.http import response_for

CLIENT = web.AppKey("CLIENT", AsyncImgwireClient)
routes = web.RouteTableDef()


async def client_context(app: web.Application) -> AsyncIterator[None]:
    # One client, open as long as the application runs.
    async with AsyncImgwireClient() as client:
        app[CLIENT] = client
        yield


@web.middleware
async def error_middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except ImgwireError as error:
        status, headers, body = response_for(error)
        return web.Response(status=status, headers=headers, body=body)


@routes.post("/pictures")
async def receive_body(request: web.Request) -> web.Response:
    """Upload the request body while it arrives. If the browser disconnects, the upload ends."""
    image = await request.app[CLIENT].images.upload(
        request.content,
        file_name=request.query.get("name"),
        content_length=request.content_length,
    )
    return created(image)


@routes.post("/form")
async def receive_form(request: web.Request) -> web.Response:
    """Upload a picture from a form. A part has no size, so it is written to a temporary file first."""
    part = await (await request.multipart()).next()
    if not isinstance(part, BodyPartReader) or part.name != "file":
        raise web.HTTPBadRequest(text="the form has no file")
    return created(await request.app[CLIENT].images.upload(part))


def created(image: Image) -> web.Response:
    body = {"id": image.id, "url": image.url(preset="thumbnail")}
    return web.json_response(body, status=201)


@routes.post("/upload-token")
async def make_token(request: web.Request) -> web.Response:
    """Let a browser upload one picture with the client key. Check first that the user may upload."""
    token = await request.app[CLIENT].images.create_upload_token()
    return web.json_response({"uploadToken": token.token})


@routes.get("/pictures/{image_id:[-0-9a-fA-F]{36}}")
async def show(request: web.Request) -> web.Response:
    image = await request.app[CLIENT].images.retrieve(request.match_info["image_id"])
    page = f"<!doctype html>{image.responsive().html(alt=image.original_filename)}"
    return web.Response(text=page, content_type="text/html")


def make_app() -> web.Application:
    app = web.Application(middlewares=[error_middleware])
    app.cleanup_ctx.append(client_context)
    app.add_routes(routes)
    return app


if __name__ == "__main__":
    # aiohttp cancels the handler if the browser disconnects, which also ends the upload.
    port = int(sys.argv[1]) if sys.argv[1:] else 8000
    web.run_app(make_app(), host="127.0.0.1", port=port, handler_cancellation=True)
