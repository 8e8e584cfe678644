"""Save the archive of a finished bulk download job as a file."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from imgwire_async import disk_work
from imgwire_async.downloads.content import Content
from imgwire_async.downloads.download import Download, DownloadUrl, operation
from imgwire_async.downloads.response import UnexpectedResponse
from imgwire_async.downloads.target import DownloadTarget
from imgwire_async.errors import DownloadError, DownloadJobFailedError
from imgwire_async.formatting import shortened
from imgwire_async.models import ImageDownloadJob, ImageDownloadStatus
from imgwire_async.protocol.request import Transport
from imgwire_async.protocol.signed_urls import is_expired

if TYPE_CHECKING:
    from uuid import UUID


class JobsApi(Protocol):
    """The method of `client.images` that the download of an archive uses."""

    def retrieve_bulk_download_job(self, job_id: str | UUID, /) -> Awaitable[ImageDownloadJob]:
        """Fetch a bulk download job with its current status."""
        ...


async def save_archive(
    jobs: JobsApi, transport: Transport, job: ImageDownloadJob | str | UUID, target: DownloadTarget
) -> Path:
    """Save the archive of a job to `target`, and return the path of the file.

    If the job's download link has expired, this function fetches the job once more to get a new link.
    """
    job_id = shortened(str(job.id if isinstance(job, ImageDownloadJob) else job))
    description = f"download of bulk download job {job_id} to {target.display_path}"
    async with operation(transport, "images.download_archive", description):
        await disk_work.run(target.check)
        if not isinstance(job, ImageDownloadJob):
            job = await jobs.retrieve_bulk_download_job(job)
        first = _archive_url(job, target)
        download = Download(transport, first)
        try:
            return await target.save(download)
        except DownloadError:
            may_retry = transport.options.retries.max_retries > 0
            if not may_retry or not _is_link_expired(first.url, download.unexpected):
                raise
            renewed = _archive_url(await jobs.retrieve_bulk_download_job(job.id), target)
            # If the service still returns the expired link, another attempt would fail, too.
            if renewed.url == first.url:
                raise
        return await target.save(Download(transport, renewed))


def is_archive_ready(job: ImageDownloadJob) -> bool:
    """Return whether a bulk download job is READY, which means that its archive exists.

    Raises `DownloadJobFailedError` when the job is FAILED.
    """
    if job.status == ImageDownloadStatus.FAILED:
        raise DownloadJobFailedError(
            f"bulk download job {job.id} FAILED. Check that its images exist and are READY, then create a new job.",
            record=job,
        )
    return job.status == ImageDownloadStatus.READY


def _archive_url(job: ImageDownloadJob, target: DownloadTarget) -> DownloadUrl:
    """Return the URL of a job's archive. Raise `DownloadError` unless the job is READY and has a URL."""
    if not is_archive_ready(job):
        raise DownloadError(
            f"bulk download job {job.id} is {job.status.value}, so there is no archive yet: "
            "job = await client.images.wait_for_bulk_download(job), then download_archive(job, ...)."
        )
    if job.download_url is None:
        raise DownloadError(
            f"bulk download job {job.id} is READY but has no download_url. Retrieve it again; if it stays so, report this "
            "to the service."
        )
    name = f"archive of bulk download job {job.id}"
    return DownloadUrl(job.download_url, Content.ARCHIVE, name, target.nothing_written)


def _is_link_expired(url: str, response: UnexpectedResponse | None) -> bool:
    """Return whether the response means that the link has expired, so that a new link may work."""
    if response is None:
        return False
    return response.status in {404, 410} or is_expired(url, response.status, response.text, response.headers)
