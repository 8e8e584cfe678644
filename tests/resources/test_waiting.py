"""Waiting polls with growing delays, and ends at a timeout that also ends a request that hangs."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import pytest
from recording import Api, in_no_time, now
from samples import ID, data, image

from imgwire_async import errors, models
from imgwire_async.downloads import archive
from imgwire_async.protocol.codec import structure
from imgwire_async.resources import waiting

UPLOAD, DOMAIN, JOB = models.StandardUpload, models.CustomDomain, models.ImageDownloadJob
PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


def record(**changes: Any) -> models.Image:
    return structure(image(**changes), models.Image)


def states(*statuses: str) -> list[dict[str, Any]]:
    return [image(status=status) for status in statuses]


class TimedResponses:
    """Returns responses from a list, the last one repeatedly, and records the time of each request."""

    def __init__(self, *responses: Any) -> None:
        self.responses = list(responses)
        self.at: list[float] = []

    def __call__(self, _: object) -> Any:
        self.at.append(now())
        return self.responses.pop(0) if len(self.responses) > 1 else self.responses[0]

    @property
    def delays(self) -> list[float]:
        return [later - earlier for earlier, later in itertools.pairwise(self.at)]


async def hang(_: object) -> Any:
    await asyncio.Event().wait()


# --- images -------------------------------------------------------------------------------------------------


async def test_a_ready_image_sends_no_request() -> None:
    api = Api()
    ready = record(status="READY", processed_metadata_at=None)
    assert await api.images.wait_until_ready(ready) is ready
    assert api.sent.requests == []


async def test_a_ready_image_with_metadata_sends_no_request() -> None:
    ready = record(status="READY")
    assert await Api().images.wait_until_ready(ready, metadata=True) is ready


def test_metadata_true_waits_for_the_metadata() -> None:
    async def work() -> models.Image:
        return await api.images.wait_until_ready(record(processed_metadata_at=None), metadata=True)

    api = Api(image(processed_metadata_at=None), image(processed_metadata_at=None), image())
    assert in_no_time(work).processed_metadata_at is not None
    assert len(api.sent.requests) == 3


async def test_an_id_sends_a_request_at_once() -> None:
    api = Api(image(status="READY"))
    async with asyncio.timeout(0.05):
        assert (await api.images.wait_until_ready(ID)).status == "READY"
    assert api.sent.lines == [f"GET /images/{ID}"]


def test_an_image_that_is_not_ready_waits_before_the_first_request() -> None:
    clock = TimedResponses(image())
    begun: list[float] = []

    async def work() -> None:
        begun.append(now())
        await Api(clock).images.wait_until_ready(record(status="PENDING"))

    in_no_time(work)
    assert clock.at[0] - begun[0] > 0.05


def test_delays_grow_to_five_seconds_with_jitter() -> None:
    clock = TimedResponses(image(status="PROCESSING"))

    async def work() -> None:
        with pytest.raises(errors.WaitTimeoutError):
            await Api(clock).images.wait_until_ready(ID)

    in_no_time(work)
    for wanted, delay in zip((min(5.0, 0.1 * 1.5**n) for n in itertools.count()), clock.delays, strict=False):
        assert 0.74 * wanted < delay < 1.27 * wanted  # the measured delay may be a little longer
    assert 20 < len(clock.at) < 60


@pytest.mark.parametrize("statuses", [("PENDING", "PROCESSING", "READY"), ("BRAND_NEW", "READY")])
def test_a_status_that_is_not_final_continues_the_wait(statuses: tuple[str, ...]) -> None:
    api = Api(*states(*statuses))
    assert in_no_time(lambda: api.images.wait_until_ready(ID)).status == "READY"
    assert len(api.sent.requests) == len(statuses)


@pytest.mark.parametrize("given", [ID, record(status="QUARANTINE")], ids=["id", "record"])
async def test_quarantine_raises_an_error_with_the_record(given: Any) -> None:
    api = Api(*states("QUARANTINE"))
    with pytest.raises(errors.ImageQuarantinedError, match="upload itself succeeded") as caught:
        await api.images.wait_until_ready(given)
    assert caught.value.image is not None
    assert caught.value.image.status == "QUARANTINE"


def test_a_timeout_raises_an_error_with_the_last_record() -> None:
    async def work() -> tuple[errors.WaitTimeoutError, float]:
        begun = now()
        with pytest.raises(
            errors.WaitTimeoutError,
            match=rf"image {ID} was not finished after 7 s .checked [0-9]+ times.: it is still PROCESSING",
        ) as caught:
            await Api(TimedResponses(image(status="PROCESSING"))).images.wait_until_ready(ID, timeout=7)
        return caught.value, now() - begun

    error, elapsed = in_no_time(work)
    assert elapsed == pytest.approx(7, abs=0.1)
    assert error.image is error.record
    assert error.image is not None
    assert error.image.status == "PROCESSING"


def test_the_timeout_ends_a_request_that_hangs() -> None:
    async def work() -> float:
        begun = now()
        with pytest.raises(errors.WaitTimeoutError, match="no response arrived") as caught:
            await Api(hang).images.wait_until_ready(ID, timeout=3)
        assert caught.value.image is None
        return now() - begun

    assert in_no_time(work) == pytest.approx(3, abs=0.1)


async def test_an_error_of_the_request_passes_unchanged() -> None:
    with pytest.raises(errors.NotFoundError):
        await Api(errors.NotFoundError("HTTP 404", status=404)).images.wait_until_ready(ID)
    with pytest.raises(errors.APITimeoutError):
        await Api(errors.APITimeoutError("too long", which="attempt")).images.wait_until_ready(ID)


def test_a_cancellation_passes_unchanged() -> None:
    async def work() -> None:
        task = asyncio.ensure_future(Api(hang).images.wait_until_ready(ID))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_no_time(work)


# --- updates ------------------------------------------------------------------------------------------------


def test_on_update_is_called_with_each_requested_record() -> None:
    statuses_seen: list[str] = []
    api = Api(*states("PENDING", "PROCESSING", "READY"))
    in_no_time(
        lambda: api.images.wait_until_ready(ID, on_update=lambda image: statuses_seen.append(image.status))
    )
    assert statuses_seen == ["PENDING", "PROCESSING", "READY"]


@pytest.mark.parametrize("error", [TimeoutError("the caller's own"), KeyError("x"), RuntimeError("x")])
async def test_an_error_of_on_update_ends_the_wait_unchanged(error: Exception) -> None:
    def fail(_: models.Image) -> None:
        raise error

    api = Api(*states("PENDING", "READY"))
    with pytest.raises(type(error)) as caught:
        await api.images.wait_until_ready(ID, on_update=fail)
    assert caught.value is error
    assert len(api.sent.requests) == 1


# --- after an upload ----------------------------------------------------------------------------------------


async def test_without_wait_the_record_is_returned_at_once() -> None:
    api = Api(image(status="PENDING"))
    assert (await api.images.upload_via_url("https://a.example/x")).status == "PENDING"


def test_wait_applies_to_an_upload_via_url() -> None:
    api = Api(*states("PENDING", "PROCESSING", "READY"))
    result = in_no_time(lambda: api.images.upload_via_url("https://a.example/x", wait=True))
    assert result.status == "READY"
    assert api.sent.lines == ["POST /images/upload_via_url", f"GET /images/{ID}", f"GET /images/{ID}"]


def test_a_number_is_the_timeout_of_a_wait() -> None:
    async def work() -> float:
        begun = now()
        with pytest.raises(errors.WaitTimeoutError) as caught:
            await Api(TimedResponses(image(status="PENDING"))).images.upload_via_url(
                "https://a.example/x", wait=4
            )
        assert caught.value.image is not None
        return now() - begun

    assert in_no_time(work) == pytest.approx(4, abs=0.1)


def test_wait_true_waits_two_minutes() -> None:
    async def work() -> float:
        begun = now()
        with pytest.raises(errors.WaitTimeoutError, match="120 s"):
            await Api(TimedResponses(image(status="PENDING"))).images.upload_via_url(
                "https://a.example/x", wait=True
            )
        return now() - begun

    assert in_no_time(work) == pytest.approx(120, abs=0.5)


async def test_an_upload_whose_record_is_ready_sends_no_further_request() -> None:
    api = Api(data(UPLOAD))
    assert (await api.images.upload(PNG, wait=True)).status == "READY"
    assert len(api.sent.requests) == 1


async def test_an_upload_in_quarantine_says_that_the_upload_itself_succeeded() -> None:
    api = Api(
        {"image": image(status="PENDING"), "upload_url": "https://s.example/k"}, image(status="QUARANTINE")
    )
    with pytest.raises(errors.ImageQuarantinedError, match="upload itself succeeded") as caught:
        await api.images.upload(PNG, wait=True)
    assert caught.value.image is not None
    assert len(api.sent.bodies) == 1


async def test_an_upload_that_is_not_ready_in_time_says_that_the_upload_itself_succeeded() -> None:
    api = Api({"image": image(status="PENDING"), "upload_url": "https://s.example/k"}, hang)
    with pytest.raises(errors.WaitTimeoutError, match=f"upload itself succeeded, but image {ID}") as caught:
        await api.images.upload(PNG, wait=0.15)
    assert caught.value.image is not None
    assert caught.value.image.id == ID


# --- download jobs ------------------------------------------------------------------------------------------


async def test_a_ready_job_sends_no_request() -> None:
    ready = structure(data(JOB), JOB)
    assert await Api().images.wait_for_bulk_download(ready) is ready


def test_wait_for_bulk_download_accepts_a_job_or_an_id() -> None:
    for given in (ID, structure(data(JOB, status="PENDING", download_url=None), JOB)):
        api = Api(data(JOB, status="PROCESSING"), data(JOB, status="NEW"), data(JOB))
        statuses_seen: list[str] = []
        done = in_no_time(
            lambda given=given, api=api, statuses_seen=statuses_seen: api.images.wait_for_bulk_download(
                given, on_update=lambda job: statuses_seen.append(job.status)
            )
        )
        assert done.status == "READY"
        assert statuses_seen == ["PROCESSING", "NEW", "READY"]
        assert api.sent.lines == [f"GET /images/downloads/{ID}"] * 3


async def test_a_failed_job_raises_an_error_with_the_job() -> None:
    with pytest.raises(errors.DownloadJobFailedError, match=ID) as caught:
        await Api(data(JOB, status="FAILED")).images.wait_for_bulk_download(ID)
    assert caught.value.record is not None
    assert caught.value.image is None


def test_a_job_that_takes_too_long_raises_an_error_after_ten_minutes() -> None:
    async def work() -> float:
        begun = now()
        with pytest.raises(errors.WaitTimeoutError, match=r"600 s .* it is still PENDING") as caught:
            await Api(TimedResponses(data(JOB, status="PENDING"))).images.wait_for_bulk_download(ID)
        assert isinstance(caught.value.record, JOB)
        assert caught.value.image is None
        return now() - begun

    assert in_no_time(work) == pytest.approx(600, abs=0.5)


# --- custom domain ------------------------------------------------------------------------------------------


def domain(status: str, certificate: str) -> dict[str, Any]:
    return data(DOMAIN, status=status, certificate_status=certificate)


def test_a_domain_is_checked_until_domain_and_certificate_are_ready() -> None:
    api = Api(
        domain("PENDING", "PENDING"),
        domain("CONNECTED", "PENDING"),
        domain("PENDING", "ACTIVE"),
        domain("CONNECTED", "FAILING"),
        domain("NEW", "NEW"),
        domain("CONNECTED", "ACTIVE"),
    )
    statuses_seen: list[str] = []
    done = in_no_time(
        lambda: api.custom_domain.wait_until_connected(
            on_update=lambda domain: statuses_seen.append(domain.status)
        )
    )
    assert (done.status, done.certificate_status) == ("CONNECTED", "ACTIVE")
    assert api.sent.lines == ["POST /custom_domain/test_connection"] * 6
    assert len(statuses_seen) == 6


async def test_a_connected_domain_is_checked_once() -> None:
    api = Api(domain("CONNECTED", "ACTIVE"))
    async with asyncio.timeout(0.5):
        await api.custom_domain.wait_until_connected()
    assert len(api.sent.requests) == 1


async def test_a_failed_domain_raises_an_error_that_names_the_dns_records() -> None:
    with pytest.raises(errors.CustomDomainFailedError, match="cname_record -> cname_value") as caught:
        await Api(domain("FAILED", "PENDING")).custom_domain.wait_until_connected()
    assert isinstance(caught.value.record, DOMAIN)


def test_a_domain_is_checked_after_delays_of_5_to_60_seconds_until_the_timeout() -> None:
    clock = TimedResponses(domain("PENDING", "PENDING"))

    async def work() -> tuple[float, float]:
        begun = now()
        with pytest.raises(errors.WaitTimeoutError) as caught:
            await Api(clock).custom_domain.wait_until_connected()
        assert isinstance(caught.value.record, DOMAIN)
        return begun, now()

    begun, ended = in_no_time(work)
    assert clock.at[0] - begun < 0.1
    assert ended - begun == pytest.approx(600, abs=0.5)
    for wanted, delay in zip((min(60.0, 5 * 1.5**n) for n in itertools.count()), clock.delays, strict=False):
        assert 0.74 * wanted < delay < 1.26 * wanted


# --- delays -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("first", "maximum"), [(0.1, 5.0), (5.0, 60.0), (0.25, 10.0)])
def test_a_delay_stays_within_its_bounds(first: float, maximum: float) -> None:
    delays = list(itertools.islice(waiting.backoff_intervals(first, maximum), 200))
    assert min(delays) >= first
    assert max(delays) <= maximum
    assert len(set(delays)) > 100


FINISHED: list[tuple[Callable[[Any], bool], Any, bool]] = [
    (lambda r: waiting.is_ready(r, metadata=False), record(status="READY", processed_metadata_at=None), True),
    (lambda r: waiting.is_ready(r, metadata=True), record(status="READY", processed_metadata_at=None), False),
    (lambda r: waiting.is_ready(r, metadata=True), record(status="PROCESSING"), False),
    (archive.is_archive_ready, structure(data(JOB, status="NEW"), JOB), False),
    (waiting.is_connected, structure(domain("CONNECTED", "FAILING"), DOMAIN), False),
]


@pytest.mark.parametrize(("finished", "given", "is_so"), FINISHED)
def test_a_record_is_done_or_not_by_its_status(
    finished: Callable[[Any], bool], given: Any, is_so: bool
) -> None:
    assert finished(given) is is_so
