"""Plain views use the blocking client, async ones the asynchronous one; both run on both kinds of server."""

from __future__ import annotations

from uuid import UUID

from django.core.exceptions import BadRequest
from django.core.files.storage import default_storage
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from imgwire_async import AsyncImgwireClient, ImgwireClient

# One of each for the life of the process. Making them does no I/O and starts no thread.
client = ImgwireClient()
async_client = AsyncImgwireClient()


@require_POST
def receive_body(request: HttpRequest) -> HttpResponse:
    """Pass the body on as it comes; under ASGI, Django has put it into a file before."""
    size = request.META.get("CONTENT_LENGTH")
    image = client.images.upload(
        iter(lambda: request.read(2**18), b""),
        file_name=request.GET.get("name"),
        content_length=int(size) if size else None,
    )
    told = {"id": image.id, "url": image.url(preset="thumbnail")}
    return JsonResponse(told, status=201)


@require_POST
def receive_form(request: HttpRequest) -> HttpResponse:
    """Take a picture from an HTML form through the storage, as an `ImageField` would."""
    file = request.FILES.get("file")
    if file is None:
        raise BadRequest("the form has no file")
    name = default_storage.save(file.name, file)
    told = {"id": name.partition("/")[0], "url": default_storage.url(name)}
    return JsonResponse(told, status=201)


@require_POST
async def make_token(_: HttpRequest) -> HttpResponse:
    """Let a browser upload one picture itself, with the client key. Check who asks."""
    token = await async_client.images.create_upload_token()
    return JsonResponse({"uploadToken": token.token})


@require_GET
async def show(request: HttpRequest, image_id: UUID) -> HttpResponse:
    image = await async_client.images.retrieve(image_id)
    picture = image.responsive().html(alt=image.original_filename)
    return render(request, "picture.html", {"image": image, "picture": picture})
