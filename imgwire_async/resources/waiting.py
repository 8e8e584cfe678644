"""Waiting for the service: ask, pause a little longer each time, and stop at a deadline that also bounds a hanging request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import TypeVar

from imgwire_async import userland
from imgwire_async.errors import (
    CustomDomainFailedError,
    ImageQuarantinedError,
    WaitTimeoutError,
)
from imgwire_async.formatting import shortened
from imgwire_async.models import (
    CustomDomain,
    CustomDomainCertificateStatus,
    CustomDomainStatus,
    Image,
    ImageDownloadJob,
    ImageStatus,
)

T = TypeVar("T", Image, ImageDownloadJob, CustomDomain)


def rising(first: float, most: float, *, factor: float = 1.5) -> Iterator[float]:
    """Pauses in seconds, rising from `first` to `most`, with up to a quarter of jitter either way between the two."""
    pause = first
    while True:
        yield random.uniform(max(first, pause * 0.75), min(most, pause * 1.25))
        pause = min(most, pause * factor)


async def until(
    finished: Callable[[T], bool],
    ask: Callable[[], Awaitable[T]],
    *,
    known: T | None,
    seconds: float,
    pauses: Iterator[float],
    sleep: Callable[[float], Awaitable[None]],
    on_update: Callable[[T], object] | None,
    what: str,
    operation: AbstractAsyncContextManager[None],
) -> T:
    """The record once `finished` says so; `finished` may raise. Asks at once unless `known` is given.

    `sleep` lets time pass, and raises when nothing could follow. `operation` is the client's deadline around all of it; the
    earlier of the two clocks wins.
    """
    record, asked = known, 0
    clock = asyncio.timeout(seconds)
    try:
        async with operation, clock:
            if record is not None:
                if finished(record):
                    return record
                await sleep(next(pauses))
            while True:
                asked += 1
                record = await ask()
                if on_update is not None:
                    await userland.call(on_update, record)
                if finished(record):
                    return record
                await sleep(next(pauses))
    except TimeoutError:
        if not clock.expired():
            raise
        raise _too_long(record, seconds, what, asked) from None


def _too_long(
    record: Image | ImageDownloadJob | CustomDomain | None, seconds: float, what: str, asked: int
) -> WaitTimeoutError:
    state = f"it is still {record.status.value}" if record is not None else "its state was never told"
    return WaitTimeoutError(
        f"{what} was not finished after {seconds:g} s (asked {asked} times): {state}. It may still finish: wait again, longer, with the id.",
        record=record,
        image=record if isinstance(record, Image) else None,
    )


def ready(image: Image, *, metadata: bool) -> bool:
    """Whether an image is READY (and its metadata final, when asked for). QUARANTINE raises; unknown states are unfinished."""
    if image.status == ImageStatus.QUARANTINE:
        raise ImageQuarantinedError(
            f"image {image.id} ({shortened(image.original_filename)}): the upload itself succeeded, but the service put the picture into "
            "QUARANTINE, so it will not be delivered. Look at the file: is it whole, and of the declared type?",
            image=image,
        )
    return image.status == ImageStatus.READY and (not metadata or image.processed_metadata_at is not None)


def connected(domain: CustomDomain) -> bool:
    """Whether a custom domain is CONNECTED and its certificate ACTIVE. FAILED raises; a FAILING certificate is waited out."""
    if domain.status == CustomDomainStatus.FAILED:
        raise CustomDomainFailedError(
            f"custom domain {domain.hostname} FAILED. Check its DNS records: {domain.cname_record} -> {domain.cname_value}, "
            f"{domain.dcv_cname_record} -> {domain.dcv_cname_value}.",
            record=domain,
        )
    return (
        domain.status == CustomDomainStatus.CONNECTED
        and domain.certificate_status == CustomDomainCertificateStatus.ACTIVE
    )
