"""State transitions of images, download jobs and custom domains.

The functions are pure: they change no record, but return a new one.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import PurePosixPath

from attrs import evolve

from imgwire_async.emulator.bodies import StoredBody
from imgwire_async.emulator.configuration import Switches
from imgwire_async.emulator.pictures import Picture, Unreadable, examine
from imgwire_async.emulator.records import EXTENSIONS, CustomDomain, DownloadJob, Image, JobStatus

__all__ = [
    "advance_image",
    "domain_after_test",
    "extension_of",
    "image_after_poll",
    "image_after_upload",
    "job_after_poll",
    "type_by_name",
]

# An image with more pixels ends in QUARANTINE. [contract 7]
_MAXIMUM_PIXELS = 250_000_000


def image_after_upload(image: Image, stored: StoredBody, now: datetime) -> Image:
    """Return the image after the upload of its bytes, with the status PROCESSING.

    The function examines the bytes and stores the result in `finding`. Clients of the API see this result
    only after `advance_image` has set the status READY or QUARANTINE.
    """
    return evolve(
        image,
        status="PROCESSING",
        stored=stored,
        finding=examine(stored.head, length=stored.length, tail=stored.tail),
        stored_at=now,
        updated_at=now,
        polls=0,
        reason=None,
    )


def advance_image(image: Image, now: datetime, switches: Switches) -> Image:
    """Return the image as it is at the time `now`.

    PROCESSING ends when the image was retrieved `ready_polls` times and `ready_after` seconds have passed
    since its upload. The new status is READY or QUARANTINE.
    PENDING ends when the picture of an upload by URL was fetched.
    """
    if image.fetched is not None and image.fetched_at is not None and now >= image.fetched_at:
        stored = image_after_upload(image, image.fetched, image.fetched_at)
        image = evolve(stored, fetched=None, fetched_at=None)
    if image.status != "PROCESSING" or image.stored_at is None or image.polls < switches.ready_polls:
        return image
    due = image.stored_at + timedelta(seconds=switches.ready_after)
    if now < due:
        return image
    # If no retrieve is required, PROCESSING ended at `due`, even if no request came at that time.
    return _finish(image, now if switches.ready_polls else due)


def image_after_poll(image: Image) -> Image:
    """Return the image after one more retrieve, which `polls` counts if the image is PROCESSING."""
    return evolve(image, polls=image.polls + 1) if image.status == "PROCESSING" else image


def _finish(image: Image, time: datetime) -> Image:
    stored, finding = image.stored, image.finding
    assert stored is not None
    assert finding is not None
    match finding:
        case Picture(width=width, height=height) if width * height > _MAXIMUM_PIXELS:
            reason = f"{width} x {height} is over 250 megapixels"
        case Picture(mime_type=mime_type) if image.declared_type in {None, mime_type}:
            return evolve(
                image,
                status="READY",
                mime_type=mime_type,
                extension=EXTENSIONS[mime_type][0],
                width=finding.width,
                height=finding.height,
                exif_data=finding.exif,
                size_bytes=stored.length,
                processed_metadata_at=time,
                ready_at=time,
                updated_at=time,
            )
        case Picture(mime_type=mime_type):
            reason = f"declared {image.declared_type}, the bytes are {mime_type}"
        case Unreadable(reason=reason):
            pass
    return evolve(image, status="QUARANTINE", reason=reason, size_bytes=stored.length, updated_at=time)


def type_by_name(name: str) -> str | None:
    """Return the MIME type for the extension of a file name, or None if the extension is not supported.

    [contract 3]
    """
    extension = extension_of(name)
    return next((mime_type for mime_type, extensions in EXTENSIONS.items() if extension in extensions), None)


def extension_of(name: str) -> str:
    """Return the extension of a file name in lower case, without the dot. It is empty if there is none."""
    return PurePosixPath(name).suffix.removeprefix(".").lower()


def job_after_poll(
    job: DownloadJob, now: datetime, *, required_polls: int, archive: bytes | None
) -> DownloadJob:
    """Return the job after one more retrieve.

    The job is PROCESSING until it was retrieved `required_polls` times. The last of these retrieves makes the
    job READY, or FAILED if `archive` is None. A READY or FAILED job never changes.
    """
    if job.status in {"READY", "FAILED"}:
        return job
    polls = job.polls + 1
    if polls < required_polls:
        return evolve(job, polls=polls, status="PROCESSING", updated_at=now)
    status: JobStatus = "FAILED" if archive is None else "READY"
    return evolve(job, polls=polls, status=status, archive=archive, updated_at=now)


def domain_after_test(domain: CustomDomain, now: datetime, *, required_tests: int) -> CustomDomain:
    """Return the domain after one more connection test.

    From test number `required_tests` on, the status of the domain is CONNECTED. From the next test on, the
    status of its certificate is ACTIVE.
    """
    tests = domain.tests + 1
    return evolve(
        domain,
        tests=tests,
        connected=tests >= required_tests,
        certified=tests > required_tests,
        last_verified_at=now if tests >= required_tests else domain.last_verified_at,
        updated_at=now,
    )
