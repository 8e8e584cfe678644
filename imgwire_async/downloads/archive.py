"""The archive of a finished bulk download job, saved as a file."""

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
    """What gives the record of a bulk download job: `client.images`."""

    def retrieve_bulk_download_job(self, job_id: str | UUID, /) -> Awaitable[ImageDownloadJob]: ...


async def save_archive(
    jobs: JobsApi, transport: Transport, job: ImageDownloadJob | str | UUID, target: DownloadTarget
) -> Path:
    """Save the archive of a job as the file `target`, and return its path. An expired link is replaced once."""
    job_id = shortened(str(job.id if isinstance(job, ImageDownloadJob) else job))
    what = f"download of bulk download job {job_id} to {target.name}"
    async with operation(transport, "images.download_archive", what):
        await disk_work.run(target.check)
        if not isinstance(job, ImageDownloadJob):
            job = await jobs.retrieve_bulk_download_job(job)
        source = _archive_url(job, target)
        download = Download(transport, source)
        try:
            return await target.receive(download)
        except DownloadError:
            may_ask = transport.options.retries.max_retries > 0
            if not may_ask or not _is_over(source.url, download.unexpected):
                raise
            fresh = _archive_url(await jobs.retrieve_bulk_download_job(job.id), target)
            if fresh.url == source.url:  # a dead link is never used twice
                raise
        return await target.receive(Download(transport, fresh))


def is_packed(job: ImageDownloadJob) -> bool:
    """Return whether a download job is READY, so that there is an archive. FAILED raises."""
    if job.status == ImageDownloadStatus.FAILED:
        raise DownloadJobFailedError(
            f"bulk download job {job.id} FAILED. Check that its images exist and are READY, then create a new job.",
            record=job,
        )
    return job.status == ImageDownloadStatus.READY


def _archive_url(job: ImageDownloadJob, target: DownloadTarget) -> DownloadUrl:
    """Return the address of a finished job's archive, and where it goes. Raises unless the job is finished."""
    if not is_packed(job):
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
    return DownloadUrl(job.download_url, Content.ARCHIVE, name, target.outcome)


def _is_over(url: str, response: UnexpectedResponse | None) -> bool:
    """Return whether the response means that this link had its time, so that a fresh one may do."""
    if response is None:
        return False
    return response.status in {404, 410} or is_expired(url, response.status, response.text, response.headers)
