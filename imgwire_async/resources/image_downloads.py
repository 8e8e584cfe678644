"""Images fetched: bulk download jobs and their archives, and pictures from the CDN. A part of `client.images`. [contract 2, 11, 12]"""

from __future__ import annotations

import os
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the twin's annotations are read here
)
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,  # noqa: F401  # pyright: ignore[reportUnusedImport]  # as above
)
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from imgwire_async import checks
from imgwire_async.downloads import archive, picture
from imgwire_async.downloads.stream import Stream
from imgwire_async.downloads.target import DownloadTarget
from imgwire_async.formatting import shortened
from imgwire_async.lazy import LazyModule
from imgwire_async.models import Image, ImageDownloadJob
from imgwire_async.protocol.request import Request, path_segment
from imgwire_async.resources import arguments, waiting
from imgwire_async.resources.arguments import Id
from imgwire_async.resources.base import Resource
from imgwire_async.results import DownloadProgress

if TYPE_CHECKING:
    from imgwire_async.urls import types as typed
else:
    typed = LazyModule("imgwire_async.urls.types")


class ImageDownloads(Resource):
    """The operations of `client.images` that fetch bytes."""

    if TYPE_CHECKING:

        async def retrieve(self, image_id: Id) -> Image: ...

    async def create_bulk_download_job(self, image_ids: Iterable[Id]) -> ImageDownloadJob:
        """Start packing images, at least one, into one archive and return the job; `wait_for_bulk_download` comes next.

        Not repeated after a lost answer. [POST /images/downloads]
        """
        ids = arguments.ids("image_ids", image_ids, spelling="images.create_bulk_download_job([id, ...])")
        if not ids:
            raise ValueError("image_ids must hold at least one id")
        return await self._call(
            Request("POST", "/images/downloads", ImageDownloadJob, json={"image_ids": ids})
        )

    async def retrieve_bulk_download_job(self, job_id: Id) -> ImageDownloadJob:
        """Return a download job as it is now, its `download_url` set once it is READY.

        Raises `NotFoundError` when there is no such job. [GET /images/downloads/{image_download_job_id}]
        """
        ids = {"image_download_job_id": path_segment("job_id", job_id)}
        return await self._call(
            Request("GET", "/images/downloads/{image_download_job_id}", ImageDownloadJob, ids)
        )

    async def wait_for_bulk_download(
        self,
        job: ImageDownloadJob | Id,
        *,
        timeout: float = 600.0,
        on_update: Callable[[ImageDownloadJob], object] | None = None,
    ) -> ImageDownloadJob:
        """Return the job once it is READY, with its `download_url`.

        Raises `DownloadJobFailedError`, or `WaitTimeoutError` after `timeout` seconds.
        [GET /images/downloads/{image_download_job_id}]
        """
        limit = checks.positive_seconds("timeout", timeout)
        checks.callable_("on_update", on_update)
        known = job if isinstance(job, ImageDownloadJob) else None
        job_id = job.id if isinstance(job, ImageDownloadJob) else job
        path_segment("job", job_id)
        return await waiting.poll_until(
            self._transport_for("wait_for_bulk_download"),
            archive.is_packed,
            lambda: self.retrieve_bulk_download_job(job_id),
            operation="images.wait_for_bulk_download",
            what=f"bulk download job {shortened(str(job_id))}",
            known=known,
            timeout=limit,
            intervals=waiting.backoff_intervals(0.25, 10.0),
            on_update=on_update,
        )

    async def download_archive(
        self,
        job: ImageDownloadJob | Id,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        on_progress: Callable[[DownloadProgress], object] | None = None,
    ) -> Path:
        """Save the archive of a finished bulk download job as the file `path`, and return that path.

        The file appears whole or not at all. An expired link is replaced once by asking for the job again.
        `extract_archive` unpacks it. Raises `DownloadError`; `FileExistsError`, unless `overwrite`. [GET download_url]
        """
        target = DownloadTarget(path, overwrite=overwrite, on_progress=on_progress)
        if not isinstance(job, ImageDownloadJob):
            path_segment("job", job)
        return await archive.save_archive(self, self._transport_for("download"), job, target)

    async def download(
        self,
        image: Image | Id,
        path: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        on_progress: Callable[[DownloadProgress], object] | None = None,
        preset: typed.Preset | None = None,
        **rules: Unpack[typed.Rules],
    ) -> Path:
        """Save a picture, transformed if asked for, as the file `path`, and return that path.

        The file appears whole or not at all. `preset` and `rules` as in `image.url`. Raises `DownloadError`, also for a page or
        text in place of a picture, or `TransformationError` before any request; `FileExistsError`, unless `overwrite`. [GET cdn_url]
        """
        target = DownloadTarget(path, overwrite=overwrite, on_progress=on_progress)
        transport = self._transport_for("download")
        checked = picture.transformation_for(image, preset, rules)
        return await picture.save(self, transport, image, checked, target)

    async def read(
        self,
        image: Image | Id,
        *,
        max_bytes: int = 104_857_600,
        preset: typed.Preset | None = None,
        **rules: Unpack[typed.Rules],
    ) -> bytes:
        """Return the bytes of a picture, transformed if asked for. `preset` and `rules` as in `image.url`.

        Raises `DownloadError`, also when there are more than `max_bytes`, or `TransformationError` before any request.
        [GET cdn_url]
        """
        most = checks.integer("max_bytes", max_bytes, minimum=0)
        transport = self._transport_for("download")
        checked = picture.transformation_for(image, preset, rules)
        return await picture.read(self, transport, image, checked, most)

    def stream(
        self, image: Image | Id, *, preset: typed.Preset | None = None, **rules: Unpack[typed.Rules]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """The bytes of a picture as they come: `async with images.stream(image) as chunks: async for chunk in chunks: ...`

        Leaving the `async with` early ends the download; until then it holds a connection, beside those that
        `max_connections` bounds. Once the first bytes are there nothing is tried again: `DownloadError` when they end early.
        `preset` and `rules` as in `image.url`; `TransformationError` before any request. [GET cdn_url]
        """
        checked = picture.transformation_for(image, preset, rules)
        return Stream(lambda: picture.open_chunks(self, self._transport_for("download"), image, checked))
