"""Operations of `client.images` that download pictures from the CDN, and archives of many images.

[contract 2, 11, 12]
"""

from __future__ import annotations

import os
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Iterator,  # noqa: F401  # pyright: ignore[reportUnusedImport]  # for annotations of the blocking client
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
    """The operations of `client.images` that download pictures and archives."""

    if TYPE_CHECKING:

        async def retrieve(self, image_id: Id) -> Image: ...

    async def create_bulk_download_job(self, image_ids: Iterable[Id]) -> ImageDownloadJob:
        """Start a job that packs the images `image_ids` into one ZIP archive, and return the job.

        `image_ids` must have at least one id. Use `wait_for_bulk_download` to wait until the archive is
        ready. The call is not retried after a lost response, because the service could start a second job.
        [POST /images/downloads]
        """
        ids = arguments.ids("image_ids", image_ids, spelling="images.create_bulk_download_job([id, ...])")
        if not ids:
            raise ValueError("image_ids must hold at least one id")
        return await self._call(
            Request("POST", "/images/downloads", ImageDownloadJob, json={"image_ids": ids})
        )

    async def retrieve_bulk_download_job(self, job_id: Id) -> ImageDownloadJob:
        """Return the current state of the bulk download job `job_id`.

        The `download_url` of the job is None until the status of the job is READY. Raises `NotFoundError`
        when there is no job with this id.
        [GET /images/downloads/{image_download_job_id}]
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
        """Wait until the bulk download job `job` is READY, and return the job with its `download_url`.

        `job` is an `ImageDownloadJob` or the id of a job. `timeout` is the maximum time to wait, in seconds.
        `on_update` is called with the job from each response. Raises `DownloadJobFailedError` when the job
        failed, and `WaitTimeoutError` after `timeout` seconds.
        [GET /images/downloads/{image_download_job_id}]
        """
        limit = checks.positive_seconds("timeout", timeout)
        checks.plain_callable("on_update", on_update)
        known = job if isinstance(job, ImageDownloadJob) else None
        job_id = job.id if isinstance(job, ImageDownloadJob) else job
        path_segment("job", job_id)
        return await waiting.poll_until(
            self._transport_for("wait_for_bulk_download"),
            archive.is_archive_ready,
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
        """Save the archive of a finished bulk download job as a file.

        The file is created or replaced only when the download is complete. Use `extract_archive` to unpack
        the archive.

        Args:
            job: An `ImageDownloadJob`, or the id of a job. If its `download_url` has expired and the
                client retries, the job is retrieved once more, and its new `download_url` is used.
            path: Path of the new file. Its directory must exist.
            overwrite: True replaces an existing file.
            on_progress: Called with a `DownloadProgress` as bytes arrive.

        Returns:
            The path, as given.

        Raises:
            FileExistsError: The file exists and `overwrite` is False.
            DownloadJobFailedError: The job failed.
            NotFoundError: There is no job with this id.
            DownloadError: The job is not READY, the archive cannot be fetched, or the response is not a ZIP
                archive.

        [GET download_url]
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
        """Save a picture as a file. With a preset or rules, the CDN transforms the picture.

        The file is created or replaced only when the download is complete.

        Args:
            image: An `Image`, or the id of an image, whose record is then retrieved first.
            path: Path of the new file. Its directory must exist.
            overwrite: True replaces an existing file.
            on_progress: Called with a `DownloadProgress` as bytes arrive.
            preset: "thumbnail", "small", "medium" or "large", as in `image.url`.
            **rules: Transformation rules such as `width=300`, as in `image.url`.

        Returns:
            The path, as given.

        Raises:
            TransformationError: A rule cannot be used. No request was sent.
            FileExistsError: The file exists and `overwrite` is False.
            DownloadError: The picture cannot be fetched, or the response is a web page or text, not a
                picture.

        [GET cdn_url]
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
        """Return the bytes of a picture. With a preset or rules, the CDN transforms the picture.

        Args:
            image: An `Image`, or the id of an image, whose record is then retrieved first.
            max_bytes: Maximum size of the picture in bytes, by default 100 MiB. A larger picture is an error.
            preset: "thumbnail", "small", "medium" or "large", as in `image.url`.
            **rules: Transformation rules such as `width=300`, as in `image.url`.

        Returns:
            The content of the picture file.

        Raises:
            TransformationError: A rule cannot be used. No request was sent.
            DownloadError: The picture cannot be fetched, has more than `max_bytes`, or the response is not a
                picture.

        [GET cdn_url]
        """
        maximum = checks.integer("max_bytes", max_bytes, minimum=0)
        transport = self._transport_for("download")
        checked = picture.transformation_for(image, preset, rules)
        return await picture.read(self, transport, image, checked, maximum)

    def stream(
        self, image: Image | Id, *, preset: typed.Preset | None = None, **rules: Unpack[typed.Rules]
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Download a picture in chunks of bytes. With a preset or rules, the CDN transforms the picture.

        `async with images.stream(image) as chunks: async for chunk in chunks: ...`

        The download ends when the `async with` block ends. Until then it uses a connection, which does not
        count towards `max_connections`. The download is retried only before the first chunk. When the
        connection breaks later, `DownloadError` is raised.

        Args:
            image: An `Image`, or the id of an image, whose record is then retrieved first.
            preset: "thumbnail", "small", "medium" or "large", as in `image.url`.
            **rules: Transformation rules such as `width=300`, as in `image.url`.

        Returns:
            A context manager that gives an iterator over the chunks.

        Raises:
            TransformationError: A rule cannot be used. No request was sent.
            DownloadError: The picture cannot be fetched, or the response is not a picture. This is raised at
                the start of the `async with` block, or in the loop over the chunks.

        [GET cdn_url]
        """
        checked = picture.transformation_for(image, preset, rules)
        return Stream(lambda: picture.open_chunks(self, self._transport_for("download"), image, checked))
