"""The API operations on download jobs, which pack pictures into ZIP archives."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from imgwire_async.emulator.http import Response, json_response
from imgwire_async.emulator.records import DownloadJob, Image, job_json
from imgwire_async.emulator.state import ApiCall, State, create_presigned_url, not_found
from imgwire_async.emulator.store import new_id

__all__ = ["create", "create_archive", "retrieve"]

# All files in an archive have this date, so that archives of the same pictures always have the same bytes.
_ZIP_DATE = (1980, 1, 1, 0, 0, 0)


def create(state: State, call: ApiCall) -> Response:
    """Create a download job.

    [POST /images/downloads]
    """
    image_ids = call.body.ids("image_ids")
    if not all(image_id in state.store.images for image_id in image_ids):
        raise not_found()
    job = DownloadJob(
        id=new_id(),
        environment_id=state.store.environment_id,
        image_ids=image_ids,
        created_at=call.now,
        updated_at=call.now,
    )
    state.store.jobs[job.id] = job
    return json_response(job_json(job, None))


def retrieve(state: State, call: ApiCall) -> Response:
    """Return one download job, and count this retrieve.

    If the job is READY, each retrieve creates a new URL of its archive.
    [GET /images/downloads/{image_download_job_id}]
    """
    job = state.store.jobs.get(call.path.text("image_download_job_id"))
    if job is None:
        raise not_found()
    job = state.store.poll_job(job, call.now, state.settings.download_polls, create_archive)
    return json_response(
        job_json(job, _create_archive_url(state, call, job) if job.status == "READY" else None)
    )


def create_archive(images: list[Image]) -> bytes | None:
    """Return a ZIP archive with the original bytes of the images.

    Images whose bytes were not kept are left out. Return None if no image is left.
    """
    candidates = [(image, image.stored.data) for image in images if image.stored is not None]
    files = [(image, data) for image, data in candidates if data is not None]
    if not files:
        return None
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive_file:
        for name, (_, data) in zip(
            _unique_names(image.original_filename for image, _ in files), files, strict=True
        ):
            archive_file.writestr(zipfile.ZipInfo(name, _ZIP_DATE), data)
    return buffer.getvalue()


def _unique_names(names: Iterable[str]) -> Iterator[str]:
    """Yield each name without its folders. Change a name that was already yielded, so that it is unique.

    For example, a second `a.png` becomes `a (2).png`. Names that differ only in case count as equal.
    """
    used_names: set[str] = set()
    for name in names:
        file_name = PurePosixPath(name.replace("\\", "/").replace("\0", "")).name or "image"
        stem, suffix = PurePosixPath(file_name).stem, PurePosixPath(file_name).suffix
        number = 1
        while file_name.casefold() in used_names:
            number += 1
            file_name = f"{stem} ({number}){suffix}"
        used_names.add(file_name.casefold())
        yield file_name


def _create_archive_url(state: State, call: ApiCall, job: DownloadJob) -> str:
    signature, url = create_presigned_url(state, call, job.id, "GET", f"/archives/{job.id}.zip", {})
    state.store.archive_urls[signature] = url
    return url.url
