"""How records grow older. Pure: the rfc3339, the switches and the settings come in, the next record comes out."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import PurePosixPath

from attrs import evolve

from imgwire_async.emulator.bodies import StoredBody
from imgwire_async.emulator.configuration import Switches
from imgwire_async.emulator.pictures import Picture, Unreadable, examine
from imgwire_async.emulator.records import EXTENSIONS, CustomDomain, DownloadJob, Image, JobStatus

__all__ = [
    "advance",
    "domain_after_test",
    "extension_of",
    "image_after_poll",
    "image_after_upload",
    "job_after_poll",
    "type_by_name",
]

_MOST_PIXELS = 250_000_000  # [contract 7]


def image_after_upload(image: Image, stored: StoredBody, now: datetime) -> Image:
    """The image at the rfc3339 its bytes are whole: PROCESSING, looked at, nothing told yet."""
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


def advance(image: Image, now: datetime, switches: Switches) -> Image:
    """The image as it is now: out of PROCESSING once it has been asked for `ready_polls` times and `ready_after`
    seconds have passed since its bytes came.
    """
    if image.status != "PROCESSING" or image.stored_at is None or image.polls < switches.ready_polls:
        return image
    due = image.stored_at + timedelta(seconds=switches.ready_after)
    if now < due:
        return image
    # Without polls nobody looks at the rfc3339 it is due; the record tells that rfc3339 all the same.
    return _finished(image, now if switches.ready_polls else due)


def image_after_poll(image: Image) -> Image:
    """The image after one more retrieve of it; only those in PROCESSING count."""
    return evolve(image, polls=image.polls + 1) if image.status == "PROCESSING" else image


def _finished(image: Image, when: datetime) -> Image:
    stored, finding = image.stored, image.finding
    assert stored is not None
    assert finding is not None
    match finding:
        case Picture(width=width, height=height) if width * height > _MOST_PIXELS:
            reason = f"{width} x {height} are over 250 megapixels"
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
                processed_metadata_at=when,
                ready_at=when,
                updated_at=when,
            )
        case Picture(mime_type=mime_type):
            reason = f"declared {image.declared_type}, the bytes are {mime_type}"
        case Unreadable(reason=reason):
            pass
    return evolve(image, status="QUARANTINE", reason=reason, size_bytes=stored.length, updated_at=when)


def type_by_name(name: str) -> str | None:
    """The supported type that a file name's extension stands for. [contract 3]"""
    suffix = extension_of(name)
    return next((mime_type for mime_type, endings in EXTENSIONS.items() if suffix in endings), None)


def extension_of(name: str) -> str:
    """The extension of a file name in lower case without its dot, empty without one."""
    return PurePosixPath(name).suffix.removeprefix(".").lower()


def job_after_poll(job: DownloadJob, now: datetime, *, needed: int, archive: bytes | None) -> DownloadJob:
    """The job after one more retrieve: PROCESSING, and from the `needed`th on READY, or FAILED without an archive."""
    if job.status in {"READY", "FAILED"}:
        return job
    polls = job.polls + 1
    if polls < needed:
        return evolve(job, polls=polls, status="PROCESSING", updated_at=now)
    status: JobStatus = "FAILED" if archive is None else "READY"
    return evolve(job, polls=polls, status=status, archive=archive, updated_at=now)


def domain_after_test(domain: CustomDomain, now: datetime, *, needed: int) -> CustomDomain:
    """The domain after one more connection test: CONNECTED at the `needed`th, its certificate ACTIVE at the next."""
    tests = domain.tests + 1
    return evolve(
        domain,
        tests=tests,
        connected=tests >= needed,
        certified=tests > needed,
        last_verified_at=now if tests >= needed else domain.last_verified_at,
        updated_at=now,
    )
