"""Download the picture of an image from the CDN: into a file, into memory, or as a stream."""

from __future__ import annotations

import functools
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from imgwire_async import disk_work
from imgwire_async.downloads.content import Content
from imgwire_async.downloads.download import Download, DownloadUrl, operation
from imgwire_async.downloads.response import ResponseBody
from imgwire_async.downloads.stream import Chunks
from imgwire_async.downloads.target import DownloadTarget
from imgwire_async.errors import DownloadError, ImgwireError
from imgwire_async.formatting import shortened
from imgwire_async.models import Image
from imgwire_async.protocol.request import ImagesApi, Transport, path_segment

if TYPE_CHECKING:
    from uuid import UUID

    from imgwire_async.urls import Transformation
    from imgwire_async.urls.types import Preset, Rules

ImageOrId: TypeAlias = "Image | str | UUID"


def transformation_for(image: ImageOrId, preset: Preset | None, rules: Rules) -> Transformation:
    """Return the transformation that `preset` and `rules` describe. Check that it can be applied to `image`.

    Raises one `TransformationError` that names all mistakes. No request is sent.
    """
    if not isinstance(image, Image):
        path_segment("image", image)
    if preset is None and not rules:
        return _no_rules()
    from imgwire_async.urls.transformation import complete_transformation

    transformation = complete_transformation(preset=preset, **rules)
    if isinstance(image, Image):
        # This call only checks: `url` raises an error if the image's URL has no path to which a preset could
        # be added.
        image.url(transformation)
    return transformation


@functools.cache
def _no_rules() -> Transformation:
    from imgwire_async.urls.transformation import Transformation

    return Transformation()


async def save(
    images: ImagesApi, transport: Transport, image: ImageOrId, rules: Transformation, target: DownloadTarget
) -> Path:
    """Save a picture to `target`, and return the path of the file."""
    name = _name(image)
    async with operation(transport, "images.download", f"download of {name} to {target.display_path}"):
        await disk_work.run(target.check)
        image = await _fetch_record(images, image)
        with _attach_image(image):
            location = DownloadUrl(image.url(rules), Content.PICTURE, name, target.nothing_written)
            return await target.save(Download(transport, location))


async def read(
    images: ImagesApi, transport: Transport, image: ImageOrId, rules: Transformation, max_bytes: int
) -> bytes:
    """Return the bytes of a picture. Raise `DownloadError` when it has more than `max_bytes` bytes."""
    name = _name(image)

    async def collect(body: ResponseBody) -> bytes:
        _check_size(name, body, body.response.total or 0, max_bytes)
        chunks: list[bytes] = []
        async for chunk in body:
            _check_size(name, body, body.received, max_bytes)
            chunks.append(chunk)
        return b"".join(chunks)

    async with operation(transport, "images.read", f"read of {name}"):
        image = await _fetch_record(images, image)
        with _attach_image(image):
            location = DownloadUrl(image.url(rules), Content.PICTURE, name)
            async with Download(transport, location) as download:
                return await download.run(collect)


async def open_chunks(
    images: ImagesApi, transport: Transport, image: ImageOrId, rules: Transformation
) -> Chunks:
    """Start to download a picture. Return the iterator of its chunks when the first chunk has arrived."""
    name = _name(image)
    async with operation(transport, "images.stream", f"stream of {name}"):
        image = await _fetch_record(images, image)
        with _attach_image(image):
            download = Download(transport, DownloadUrl(image.url(rules), Content.PICTURE, name))
            try:
                body, first = await download.run(_first_chunk)
                # Release the slot, because the user may read the stream slowly, and other downloads need the
                # slot.
                await download.release_slot()
                return Chunks(image, download, body, first)
            except BaseException:
                await download.aclose()
                raise


async def _first_chunk(body: ResponseBody) -> tuple[ResponseBody, bytes]:
    # `Download.run` calls this function and retries its failures. A later chunk is not read here, because a
    # failure cannot be retried after the user has received bytes.
    return body, await anext(body)


def _name(image: ImageOrId) -> str:
    """Return the text that names an image in error messages."""
    return f"image {shortened(str(image.id if isinstance(image, Image) else image))}"


async def _fetch_record(images: ImagesApi, image: ImageOrId) -> Image:
    return image if isinstance(image, Image) else await images.retrieve(image)


@contextmanager
def _attach_image(image: Image) -> Generator[None, None, None]:
    """Set the attribute `image` of an `ImgwireError` from the `with` block, unless it is already set."""
    try:
        yield
    except ImgwireError as error:
        if error.image is None:
            error.image = image
        raise


def _check_size(name: str, body: ResponseBody, size: int, max_bytes: int) -> None:
    response = body.response
    if size > max_bytes:
        raise DownloadError(
            f"{name}: {response.exchange}: the picture has {size if size == response.total else f'at least {size}'} bytes, more than "
            f"max_bytes={max_bytes}. Allow more, or use download() or stream(), which keep only a small part of it in memory.",
            status=response.status,
            exchange=response.exchange,
        )
