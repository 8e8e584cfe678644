"""Polls the service with growing pauses, up to a deadline that also bounds a hanging request."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

from imgwire_async import user_code
from imgwire_async.errors import (
    APIConnectionError,
    APIStatusError,
    CustomDomainFailedError,
    DecodeError,
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
from imgwire_async.protocol.request import ImagesApi, Transport
from imgwire_async.redaction import escape_unprintable
from imgwire_async.resources.arguments import Id

T = TypeVar("T", Image, ImageDownloadJob, CustomDomain)


def backoff_intervals(first: float, maximum: float, *, factor: float = 1.5) -> Iterator[float]:
    """Yield pauses in seconds, rising from `first` to `maximum`, with up to a quarter of jitter either way."""
    pause = first
    while True:
        yield random.uniform(max(first, pause * 0.75), min(maximum, pause * 1.25))
        pause = min(maximum, pause * factor)


async def poll_until(
    transport: Transport,
    is_done: Callable[[T], bool],
    ask: Callable[[], Awaitable[T]],
    *,
    operation: str,
    what: str,
    before: str = "",
    known: T | None,
    timeout: float,
    intervals: Iterator[float],
    on_update: Callable[[T], object] | None,
) -> T:
    """Return the record once `is_done` says so; `is_done` may raise. Asks at once unless `known` is given.

    `operation` is the name of the method that waits for `what`; the client's deadline runs around all of it, and the
    earlier of the two clocks wins. `before` is what an error of the time-out says first.
    """
    record, asked = known, 0
    clock = asyncio.timeout(timeout)
    try:
        async with transport.operation(operation, f"wait for {what}"), clock:
            if record is not None:
                if is_done(record):
                    return record
                await transport.sleep(next(intervals))
            while True:
                asked += 1
                record = await ask()
                if on_update is not None:
                    await user_code.run_callback(on_update, record)
                if is_done(record):
                    return record
                await transport.sleep(next(intervals))
    except TimeoutError:
        if not clock.expired():
            raise
        raise _too_long(record, timeout, f"{before}{what}", asked) from None


async def wait_for_image(
    images: ImagesApi,
    transport: Transport,
    image: Image | Id,
    timeout: float,
    *,
    metadata: bool = False,
    on_update: Callable[[Image], object] | None = None,
    before: str = "",
) -> Image:
    """Return the image once it is READY, with `metadata` once its metadata is final, too."""
    image_id = image.id if isinstance(image, Image) else image
    return await poll_until(
        transport,
        lambda record: is_ready(record, metadata=metadata),
        lambda: images.retrieve(image_id),
        operation="images.wait_until_ready",
        what=f"image {shortened(str(image_id))}",
        before=before,
        known=image if isinstance(image, Image) else None,
        timeout=timeout,
        intervals=backoff_intervals(0.1, 5.0),
        on_update=on_update,
    )


async def wait_for_stored(images: ImagesApi, transport: Transport, image: Image, timeout: float) -> Image:
    """Return an image that was just uploaded, once it is READY. All errors say that the upload itself succeeded."""
    try:
        return await wait_for_image(
            images, transport, image, timeout, before="the upload itself succeeded, but "
        )
    except (APIConnectionError, APIStatusError, DecodeError) as error:
        # Who reads only that a GET failed would upload the file once more.
        name = f"image {image.id} ({shortened(image.original_filename)})"
        text = f"{name}: the upload itself succeeded, but asking whether it is ready failed; wait for it with its id. {error}"
        error.args = (escape_unprintable(text),)
        raise


def _too_long(
    record: Image | ImageDownloadJob | CustomDomain | None, seconds: float, what: str, asked: int
) -> WaitTimeoutError:
    state = f"it is still {record.status.value}" if record is not None else "its state was never told"
    return WaitTimeoutError(
        f"{what} was not finished after {seconds:g} s (asked {asked} times): {state}. It may still finish: wait again, and longer.",
        record=record,
        image=record if isinstance(record, Image) else None,
    )


def is_ready(image: Image, *, metadata: bool) -> bool:
    """Return whether an image is READY (and its metadata final, when asked for). QUARANTINE raises; unknown states are unfinished."""
    if image.status == ImageStatus.QUARANTINE:
        raise ImageQuarantinedError(
            f"image {image.id} ({shortened(image.original_filename)}): the upload itself succeeded, but the service put the picture into "
            "QUARANTINE, so it will not be delivered. Look at the file: is it whole, and of the declared type?",
            image=image,
        )
    return image.status == ImageStatus.READY and (not metadata or image.processed_metadata_at is not None)


def is_connected(domain: CustomDomain) -> bool:
    """Return whether a custom domain is CONNECTED and its certificate ACTIVE. FAILED raises; a FAILING certificate is waited out."""
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
