"""State transitions of images, download jobs and domains, as pure functions that return the next record."""

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

# The service does not accept larger pictures. [contract 7]
_MAXIMUM_PIXELS = 250_000_000


def image_after_upload(image: Image, stored: StoredBody, now: datetime) -> Image:
    """Return the image after its upload: PROCESSING, with the bytes examined.

    The result of the examination stays hidden until `advance_image` ends PROCESSING.
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
    """Return the image as it is at `now`.

    PROCESSING ends after `ready_polls` retrieves and `ready_after` seconds since the upload.
    """
    if image.status != "PROCESSING" or image.stored_at is None or image.polls < switches.ready_polls:
        return image
    due = image.stored_at + timedelta(seconds=switches.ready_after)
    if now < due:
        return image
    # Without polls the record gets the time at which it was due, not the time of this request.
    return _finish(image, now if switches.ready_polls else due)


def image_after_poll(image: Image) -> Image:
    """Return the image after one more retrieve, which counts only while the image is PROCESSING."""
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
    """Return the supported type for the extension of a file name, or None.

    [contract 3]
    """
    extension = extension_of(name)
    return next((mime_type for mime_type, extensions in EXTENSIONS.items() if extension in extensions), None)


def extension_of(name: str) -> str:
    """Return the extension of a file name in lower case and without its dot, or an empty text."""
    return PurePosixPath(name).suffix.removeprefix(".").lower()


def job_after_poll(
    job: DownloadJob, now: datetime, *, required_polls: int, archive: bytes | None
) -> DownloadJob:
    """Return the job after one more retrieve.

    Before retrieve number `required_polls` the job is PROCESSING. Then it is READY, or FAILED when `archive`
    is None.
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

    Test number `required_tests` finds the domain CONNECTED. The next test finds its certificate ACTIVE.
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
