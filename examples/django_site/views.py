"""Plain views use the blocking client, async views the asynchronous one. All run under WSGI and ASGI."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import BadRequest
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from imgwire_async import AsyncImgwireClient, ImgwireClient

# One client of each kind per process. Creating a client does no I/O and starts no thread.
client = ImgwireClient()
async_client = AsyncImgwireClient()


@require_POST
def receive_body(request: HttpRequest) -> HttpResponse:
    """Upload the request body while it arrives. Under ASGI, Django has written it to a file before."""
    size = request.META.get("CONTENT_LENGTH")
    image = client.images.upload(
        iter(lambda: request.read(2**18), b""),
        file_name=request.GET.get("name"),
        content_length=int(size) if size else None,
    )
    body = {"id": image.id, "url": image.url(preset="thumbnail")}
    return JsonResponse(body, status=201)


@require_POST
def receive_form(request: HttpRequest) -> HttpResponse:
    """Save a picture from an HTML form with the storage, as an `ImageField` does."""
    file = request.FILES.get("file")
    if file is None:
        raise BadRequest("the form has no file")
    name = default_storage.save(file.name, file)
    body = {"id": name.partition("/")[0], "url": default_storage.url(name)}
    return JsonResponse(body, status=201)


@require_POST
async def make_token(_: HttpRequest) -> HttpResponse:
    """Let a browser upload one picture with the client key. Check first that the user may upload."""
    token = await async_client.images.create_upload_token()
    return JsonResponse({"uploadToken": token.token})


@require_GET
async def show(request: HttpRequest, image_id: UUID) -> HttpResponse:
    image = await async_client.images.retrieve(image_id)
    picture = image.responsive().html(alt=image.original_filename)
    return render(request, "picture.html", {"image": image, "picture": picture})
