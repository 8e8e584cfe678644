"""Fetch a record again and again, with growing delays, until it has a certain status or time is up."""

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
    """Yield delays in seconds that grow from `first` to `maximum`, with a jitter of up to 25 %."""
    delay = first
    while True:
        yield random.uniform(max(first, delay * 0.75), min(maximum, delay * 1.25))
        delay = min(maximum, delay * factor)


async def poll_until(
    transport: Transport,
    is_done: Callable[[T], bool],
    retrieve: Callable[[], Awaitable[T]],
    *,
    operation: str,
    what: str,
    before: str = "",
    known: T | None,
    timeout: float,
    intervals: Iterator[float],
    on_update: Callable[[T], object] | None,
) -> T:
    """Fetch a record until `is_done` returns True for it, and return the record.

    `known` is a record that the caller has already. If `is_done` returns True for `known`, no request is
    sent. Otherwise the first request is sent after a delay. Without `known`, the first request is sent at
    once. `retrieve` sends one request. `is_done` may raise an error, which ends the wait. `on_update` is
    called with each fetched record.

    The wait ends with `WaitTimeoutError` after `timeout` seconds, even during a request. The deadline of the
    client may end the wait earlier. For messages, `operation` is the name of the method, and `what` says what
    it waits for. `before` is the start of the message of `WaitTimeoutError`.
    """
    record, requests = known, 0
    timer = asyncio.timeout(timeout)
    try:
        async with transport.operation(operation, f"wait for {what}"), timer:
            if record is not None:
                if is_done(record):
                    return record
                await transport.sleep(next(intervals))
            while True:
                requests += 1
                record = await retrieve()
                if on_update is not None:
                    await user_code.run_callback(on_update, record)
                if is_done(record):
                    return record
                await transport.sleep(next(intervals))
    except TimeoutError:
        if not timer.expired():
            raise
        raise timeout_error(record, timeout, f"{before}{what}", requests) from None


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
    """Wait until an image is READY, and return its record.

    `timeout`, `on_update` and `before` are those of `poll_until`. With `metadata`, also wait until the size
    and `exif_data` of the image are final.
    """
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
    """Wait after an upload until the image is READY, and return its record.

    The errors of API calls and of the wait say that the upload itself succeeded.
    """
    try:
        return await wait_for_image(
            images, transport, image, timeout, before="the upload itself succeeded, but "
        )
    except (APIConnectionError, APIStatusError, DecodeError) as error:
        # The message says that the upload succeeded. Otherwise a user could upload the file again.
        name = f"image {image.id} ({shortened(image.original_filename)})"
        text = f"{name}: the upload itself succeeded, but a check of its status failed; call wait_until_ready with its id. {error}"
        error.args = (escape_unprintable(text),)
        raise


def timeout_error(
    record: Image | ImageDownloadJob | CustomDomain | None, seconds: float, what: str, requests: int
) -> WaitTimeoutError:
    """Return the error for a wait for `what` that took longer than `seconds`.

    `record` is the last record that was fetched, or None. `requests` is the number of requests.
    """
    state = f"it is still {record.status.value}" if record is not None else "no response arrived"
    return WaitTimeoutError(
        f"{what} was not finished after {seconds:g} s (checked {requests} times): {state}. It may still finish: wait again, with a "
        "longer timeout.",
        record=record,
        image=record if isinstance(record, Image) else None,
    )


def is_ready(image: Image, *, metadata: bool) -> bool:
    """Return whether an image is READY. With `metadata`, its size and `exif_data` must be final, too.

    Raises `ImageQuarantinedError` for an image in QUARANTINE.
    """
    if image.status == ImageStatus.QUARANTINE:
        raise ImageQuarantinedError(
            f"image {image.id} ({shortened(image.original_filename)}): the upload itself succeeded, but the service put the picture into "
            "QUARANTINE, so the CDN will not deliver it. Check that the file is complete and of the declared type.",
            image=image,
        )
    return image.status == ImageStatus.READY and (not metadata or image.processed_metadata_at is not None)


def is_connected(domain: CustomDomain) -> bool:
    """Return whether a custom domain is CONNECTED and its certificate is ACTIVE.

    Raises `CustomDomainFailedError` for a domain that is FAILED. A certificate that is FAILING raises
    nothing, because it may still become ACTIVE.
    """
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
