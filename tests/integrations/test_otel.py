"""The spans and metrics of `OpenTelemetryHooks`, read from in-memory exporters of the SDK."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
import pytest

from imgwire_async import (
    APITimeoutError,
    AsyncImgwireClient,
    Hooks,
    ImgwireClient,
    ImgwireError,
    NotFoundError,
    RateLimitError,
    RetryPolicy,
    Timeouts,
    UnsafeURLError,
    UploadRejectedError,
    UploadStalledError,
)
from imgwire_async.emulator import Emulator

pytest.importorskip("opentelemetry.sdk", reason="needs opentelemetry-sdk")

from opentelemetry import metrics, trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from imgwire_async.otel import OpenTelemetryHooks

GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")
LIST = "GET /images/"
QUICK = RetryPolicy(backoff=0.01, max_backoff=0.02)
UNKNOWN_ID = "00000000-0000-4000-8000-000000000000"


class RecordingSDK:
    """An SDK whose exporters keep all spans and metrics in memory."""

    def __init__(self) -> None:
        self._spans = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracers = TracerProvider()
        self.tracers.add_span_processor(SimpleSpanProcessor(self._spans))
        self.meters = MeterProvider([self._reader])
        self.hooks = OpenTelemetryHooks(tracer_provider=self.tracers, meter_provider=self.meters)

    @property
    def spans(self) -> list[ReadableSpan]:
        """All finished spans in the order of their start."""
        return sorted(self._spans.get_finished_spans(), key=lambda span: span.start_time or 0)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.spans]

    def only(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self.spans if span.name == name]
        return span

    @property
    def tree(self) -> list[tuple[str, str | None]]:
        """The name of each span and of its parent."""
        by_id = {span.context.span_id: span.name for span in self.spans if span.context}
        return [
            (span.name, by_id[span.parent.span_id] if span.parent is not None else None)
            for span in self.spans
        ]

    def points(self, name: str) -> list[Any]:
        """Return the data points of one metric."""
        data = self._reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]

    @property
    def everything(self) -> str:
        """All exported data as one text."""
        data = self._reader.get_metrics_data()
        return "\n".join([*(span.to_json() for span in self.spans), "" if data is None else data.to_json()])


@pytest.fixture
def recorded() -> RecordingSDK:
    return RecordingSDK()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
async def client(emulator: Emulator, recorded: RecordingSDK) -> AsyncIterator[AsyncImgwireClient]:
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, hooks=recorded.hooks, retries=QUICK
    ) as client:
        yield client


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def events(span: ReadableSpan, name: str) -> list[dict[str, Any]]:
    return [dict(event.attributes or {}) for event in span.events if event.name == name]


# Spans


async def test_a_call_is_a_span_with_one_client_span_inside(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    emulator.faults.add("GET", "*", status=200, body="[]", headers={"X-Request-Id": "req_1"})
    await client.images.list(limit=7)
    assert recorded.tree == [(f"imgwire {LIST}", None), (LIST, f"imgwire {LIST}")]
    call, attempt = recorded.spans
    assert (call.kind, attempt.kind) == (SpanKind.INTERNAL, SpanKind.CLIENT)
    host, port = emulator.base_url.removeprefix("http://").split(":")
    found = attributes(attempt)
    assert found.pop("http.response.body.size") == len("[]")
    assert found == {
        "imgwire.request_id": "req_1",
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": host,
        "server.port": int(port),
        "url.full": f"{emulator.base_url}/api/v1/images/",
        "url.template": "/images/",
        "imgwire.kind": "api",
    }
    assert {span.status.status_code for span in recorded.spans} == {StatusCode.UNSET}


async def test_the_path_of_a_custom_request_is_in_no_span_name_and_no_metric(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    emulator.faults.add("GET", "*", status=503)
    with pytest.raises(NotFoundError):
        await client.request("GET", f"/images/{UNKNOWN_ID}")
    assert recorded.names == ["imgwire GET", "GET", "GET"]
    assert attributes(recorded.spans[-1])["url.full"].endswith(UNKNOWN_ID)
    names = ["http.client.request.duration", "imgwire.client.retries", "imgwire.client.operation.duration"]
    for point in [point for name in names for point in recorded.points(name)]:
        assert UNKNOWN_ID not in str(point.attributes)


async def test_an_error_is_recorded_on_both_spans(client: AsyncImgwireClient, recorded: RecordingSDK) -> None:
    with pytest.raises(NotFoundError):
        await client.images.retrieve(UNKNOWN_ID)
    call, attempt = recorded.spans
    assert [attributes(span)["error.type"] for span in recorded.spans] == ["404", "404"]
    assert [span.status.status_code for span in recorded.spans] == [StatusCode.ERROR] * 2
    assert "GET /images/{image_id}" in (call.status.description or "")
    assert attributes(attempt)["url.full"].endswith(f"/images/{UNKNOWN_ID}")


async def test_a_call_has_one_span_and_one_more_for_each_attempt(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    emulator.faults.add("GET", "*", status=503)
    emulator.faults.add("GET", "*", reset="before")
    await client.images.list()
    call, *attempts = recorded.spans
    assert [attributes(span).get("error.type") for span in attempts[:1] + attempts[2:]] == ["503", None]
    assert attributes(attempts[1])["error.type"].startswith("aiohttp.")
    assert [attributes(span).get("http.request.resend_count") for span in attempts] == [None, 1, 2]
    assert call.status.status_code is StatusCode.UNSET
    assert events(call, "imgwire.retry")[0]["imgwire.retry.reason"] == "HTTP 503"
    assert sum(point.value for point in recorded.points("imgwire.client.retries")) == 2


@pytest.mark.parametrize(("status", "error_type"), [(407, "not_sent"), (101, "connection_lost")])
async def test_a_response_of_a_proxy_is_recorded_as_a_failure_kind(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator, status: int, error_type: str
) -> None:
    image = await client.images.upload(GIF, wait=True)
    for method, host in (("GET", "api"), ("PUT", "storage"), ("GET", "cdn")):
        emulator.faults.add(method, "*", host=host, status=status, times=None)
    for call in (client.images.list(), client.images.upload(GIF), client.images.read(image)):
        with pytest.raises(ImgwireError):
            await call
    spans = [attributes(span) for span in recorded.spans if "http.request.method" in attributes(span)]
    failed = {(span["imgwire.kind"], span["error.type"]) for span in spans if "error.type" in span}
    assert failed == {("api", error_type), ("storage", error_type), ("cdn", error_type)}


async def test_a_call_of_a_closed_client_makes_no_span(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    await client.aclose()
    for call in (
        client.images.list(),
        client.request("GET", "/images/"),
        client.images.create(file_name="a.gif", upload_token=lambda: "token"),
    ):
        with pytest.raises(RuntimeError, match="closed"):
            await call
    assert recorded.names == []


async def test_waits_for_the_rate_limit_are_recorded(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    # A 429 delays further calls for a quarter of a second.
    emulator.faults.add("GET", "*", status=429)
    await client.images.list()
    (wait,) = recorded.points("imgwire.client.wait.duration")
    assert wait.attributes == {"imgwire.kind": "api", "imgwire.wait.reason": "rate_limit"}
    assert wait.sum > 0.2
    assert [attributes(span).get("http.response.status_code") for span in recorded.spans[1:]] == [429, 200]


async def test_a_call_delayed_by_the_rate_gate_records_its_wait(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    emulator.faults.add("GET", "*", status=429)
    with pytest.raises(RateLimitError):
        await client.with_options(retries=0).images.list()
    await client.images.list()
    (wait,) = recorded.points("imgwire.client.wait.duration")
    assert (wait.count, wait.attributes["imgwire.wait.reason"]) == (1, "rate_limit")
    assert events(recorded.spans[-2], "imgwire.rate_limit")


async def test_an_upload_is_one_span_with_the_calls_and_the_transfer_inside(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    await client.images.upload(GIF, wait=True)
    create = "POST /images/standard_upload"
    assert recorded.tree[:4] == [
        ("imgwire images.upload", None),
        (f"imgwire {create}", "imgwire images.upload"),
        (create, f"imgwire {create}"),
        ("PUT", "imgwire images.upload"),
    ]
    assert ("imgwire images.wait_until_ready", "imgwire images.upload") in recorded.tree
    put = attributes(recorded.only("PUT"))
    assert put["http.request.body.size"] == len(GIF)
    assert put["imgwire.kind"] == "storage"
    assert {point.attributes["imgwire.kind"] for point in recorded.points("imgwire.client.io")} == {
        "api",
        "storage",
    }


async def test_upload_progress_is_recorded_in_at_most_four_events(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    body = GIF + bytes(4 * 2**20)
    reported: list[int] = []
    await client.images.upload(
        body, mime_type="image/gif", on_progress=lambda progress: reported.append(progress.sent)
    )
    progress = events(recorded.only("imgwire images.upload"), "imgwire.upload.progress")
    assert 1 <= len(progress) <= 4
    sizes = [event["imgwire.upload.sent"] for event in progress]
    assert sizes == sorted(sizes)
    assert sizes[-1] == progress[-1]["imgwire.upload.total"] == len(body)
    assert reported[-1] == len(body), "the user's own on_progress is still called"


async def test_an_expired_upload_url_shows_as_two_transfers(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    waits = [1000.0]
    await client.images.upload(GIF, on_created=lambda _: emulator.clock.advance(waits.pop() if waits else 0))
    puts = [span for span in recorded.spans if span.name == "PUT"]
    assert [attributes(span)["http.response.status_code"] for span in puts] == [403, 200]
    assert [attributes(span).get("error.type") for span in puts] == ["403", None]
    assert recorded.only("imgwire images.upload").status.status_code is StatusCode.UNSET
    assert recorded.names.count("POST /images/standard_upload") == 2


async def test_a_rejected_upload_marks_its_span_as_failed(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "*", host="storage", status=400, body="no")
    with pytest.raises(UploadRejectedError):
        await client.images.upload(GIF, file_name="secret-plan.gif")
    upload = recorded.only("imgwire images.upload")
    assert attributes(upload)["error.type"] == "imgwire_async.errors.UploadRejectedError"
    assert "HTTP 400" in (upload.status.description or "")


async def test_a_download_is_recorded_with_all_its_bytes(
    client: AsyncImgwireClient, recorded: RecordingSDK, tmp_path: Path
) -> None:
    image = await client.images.upload(GIF, wait=True)
    await client.images.download(image, tmp_path / "a.gif")
    get = recorded.only("GET")
    assert dict(recorded.tree)["GET"] == "imgwire images.download"
    assert attributes(get)["http.response.body.size"] == (tmp_path / "a.gif").stat().st_size
    received = {
        point.attributes["imgwire.kind"]: point.value
        for point in recorded.points("imgwire.client.io")
        if point.attributes["network.io.direction"] == "receive"
    }
    assert received["cdn"] == (tmp_path / "a.gif").stat().st_size


async def test_a_download_that_breaks_off_has_a_span_for_both_attempts(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator, tmp_path: Path
) -> None:
    image = await client.images.upload(GIF, wait=True)
    emulator.faults.add("GET", "*", host="cdn", cut=10)
    await client.images.download(image, tmp_path / "a.gif")
    first, second = (span for span in recorded.spans if span.name == "GET")
    assert "error.type" in attributes(first)
    assert "error.type" not in attributes(second)
    delays = [
        event["imgwire.retry.delay"]
        for event in events(recorded.only("imgwire images.download"), "imgwire.retry")
    ]
    assert delays
    assert min(delays) > 0


async def test_a_stream_that_is_left_early_ends_its_span_without_an_error(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    image = await client.images.upload(GIF, wait=True)
    async with client.images.stream(image) as chunks:
        await anext(aiter(chunks))
    assert "error.type" not in attributes(recorded.only("GET"))


async def test_a_cancelled_call_ends_its_spans_as_cancelled(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    sent = asyncio.Event()
    emulator.faults.add("GET", "*", stall=float("inf"))
    hooks = OpenTelemetryHooks(
        on_request=lambda _: sent.set(), tracer_provider=recorded.tracers, meter_provider=recorded.meters
    )
    task = asyncio.create_task(client.with_options(hooks=hooks).images.list())
    await sent.wait()
    while not emulator.requests and not task.done() and not _has_open_connection(client):
        await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert recorded.names == [f"imgwire {LIST}", LIST]
    assert {attributes(span)["error.type"] for span in recorded.spans} == {
        "asyncio.exceptions.CancelledError"
    }
    assert {span.status.description for span in recorded.spans} == {"cancelled"}


def _has_open_connection(client: AsyncImgwireClient) -> bool:
    return any(sessions.api.connector._acquired for sessions in client._shared.sessions._by_loop.values())


async def test_a_cancelled_upload_ends_its_spans(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "*", host="storage", stall=float("inf"))
    task = asyncio.create_task(client.images.upload(GIF))
    while "POST /images/standard_upload" not in recorded.names:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert attributes(recorded.only("imgwire images.upload"))["error.type"].endswith("CancelledError")
    assert all(span.end_time for span in recorded.spans)


async def test_a_passed_deadline_marks_the_operations_span_as_failed(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "*", host="storage", stall=float("inf"))
    with pytest.raises(APITimeoutError):
        await client.with_options(timeout=Timeouts(deadline=0.3)).images.upload(GIF)
    upload = recorded.only("imgwire images.upload")
    assert attributes(upload)["error.type"] == "imgwire_async.errors.APITimeoutError"
    assert "deadline" in (upload.status.description or "")
    assert attributes(recorded.only("PUT"))["error.type"].endswith("CancelledError")


async def test_a_stalled_transfer_is_recorded_as_stalled(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator
) -> None:
    emulator.faults.add("PUT", "*", host="storage", stall=float("inf"))
    impatient = client.with_options(timeout=Timeouts(stall=0.2), retries=0)
    with pytest.raises(UploadStalledError):
        await impatient.images.upload(GIF)
    assert attributes(recorded.only("PUT"))["error.type"] == "stalled"


async def test_only_the_type_of_an_error_in_user_code_is_recorded(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    async def source() -> AsyncIterator[bytes]:
        yield GIF[:10]
        raise ValueError("hunter22")

    with pytest.raises(ValueError, match="hunter22"):
        await client.images.upload(source(), content_length=len(GIF), mime_type="image/gif")
    assert attributes(recorded.only("imgwire images.upload"))["error.type"] == "ValueError"
    assert "hunter22" not in recorded.everything


async def test_concurrent_calls_belong_to_their_own_parent_spans(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    tracer = trace.get_tracer("tests", tracer_provider=recorded.tracers)

    async def job(number: int) -> None:
        with tracer.start_as_current_span(f"job {number}"):
            await asyncio.gather(client.images.upload(GIF), client.images.list(limit=number + 1))

    await asyncio.gather(*(job(number) for number in range(5)))
    jobs = {
        span.context.trace_id: span for span in recorded.spans if span.name.startswith("job") and span.context
    }
    assert len(jobs) == 5
    for span in recorded.spans:
        assert span.context is not None
        assert span.context.trace_id in jobs
    for trace_id, top in jobs.items():
        mine = [s for s in recorded.spans if s.context and s.context.trace_id == trace_id]
        assert sorted(
            s.name for s in mine if s.parent and top.context and s.parent.span_id == top.context.span_id
        ) == [
            f"imgwire {LIST}",
            "imgwire images.upload",
        ]
        assert len(mine) == 7


async def test_pages_fetched_ahead_belong_to_the_span_of_the_loop(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    for _ in range(5):
        await client.images.create(file_name="a.gif")
    tracer = trace.get_tracer("tests", tracer_provider=recorded.tracers)
    with tracer.start_as_current_span("loop"):
        assert len([image async for image in client.images.list_all(limit=2)]) == 5
    assert [parent for name, parent in recorded.tree if name == f"imgwire {LIST}"] == ["loop"] * 3


def test_a_call_of_the_blocking_client_is_a_child_of_the_callers_span(
    recorded: RecordingSDK, emulator: Emulator
) -> None:
    tracer = trace.get_tracer("tests", tracer_provider=recorded.tracers)
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url, hooks=recorded.hooks) as client:
        with tracer.start_as_current_span("job"):
            image = client.images.upload(GIF, wait=True)
            with client.images.stream(image) as chunks:
                assert b"".join(chunks)
    assert dict(recorded.tree)["imgwire images.upload"] == "job"
    assert dict(recorded.tree)["imgwire images.stream"] == "job"
    assert all(span.end_time for span in recorded.spans)


async def test_the_span_is_the_current_one_in_callbacks_and_sources_only(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    inside: list[str] = []

    async def source() -> AsyncIterator[bytes]:
        inside.append(getattr(trace.get_current_span(), "name", "none"))
        yield GIF

    await client.images.upload(
        source(), on_created=lambda _: inside.append(getattr(trace.get_current_span(), "name", "none"))
    )
    assert set(inside) == {"imgwire images.upload"}
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_the_functions_of_hooks_are_called_too(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    reported: list[object] = []
    hooks = OpenTelemetryHooks(
        on_request=reported.append, on_response=reported.append, tracer_provider=recorded.tracers
    )
    assert isinstance(hooks, Hooks)
    await client.with_options(hooks=hooks).images.list()
    assert [type(event).__name__ for event in reported] == ["RequestEvent", "ResponseEvent"]
    assert recorded.names == [f"imgwire {LIST}", LIST]


# Metrics


async def test_requests_are_measured_by_template_and_status(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    for _ in range(3):
        with pytest.raises(NotFoundError):
            await client.images.retrieve(UNKNOWN_ID)
    (point,) = recorded.points("http.client.request.duration")
    assert point.count == 3
    assert point.attributes["url.template"] == "/images/{image_id}"
    assert point.attributes["http.response.status_code"] == 404
    assert point.explicit_bounds[-1] == 10
    assert not [name for name in point.attributes if name.startswith(("url.full", "imgwire.request"))]


async def test_the_queue_for_slots_is_measured_and_ends_empty(
    emulator: Emulator, recorded: RecordingSDK
) -> None:
    emulator.faults.add("GET", "*", times=None, stall=0.1)
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, hooks=recorded.hooks, max_connections=1
    ) as client:
        calls = [asyncio.create_task(client.images.list()) for _ in range(3)]
        while sum(point.value for point in recorded.points("imgwire.client.queue.length")) != 2:
            await asyncio.sleep(0.01)
        calls.pop().cancel()
        await asyncio.gather(*calls)
    assert [point.value for point in recorded.points("imgwire.client.queue.length")] == [0]
    (queue,) = recorded.points("imgwire.client.queue.duration")
    assert queue.attributes == {"imgwire.slot": "call"}
    assert queue.sum >= 0.1


async def test_the_duration_of_an_operation_is_measured_with_its_error_type(
    client: AsyncImgwireClient, recorded: RecordingSDK
) -> None:
    await client.images.upload(GIF)
    with pytest.raises(NotFoundError):
        await client.images.download(UNKNOWN_ID, "nowhere.gif")
    outcomes = {
        point.attributes["imgwire.operation"]: point.attributes.get("error.type")
        for point in recorded.points("imgwire.client.operation.duration")
    }
    assert outcomes["images.upload"] is None
    assert outcomes["images.download"] == "404"


# Secrets


def secrets_of(emulator: Emulator) -> set[str]:
    """Return all values from queries and credentials of the requests."""
    found = {emulator.api_key, emulator.client_key}
    for record in emulator.requests:
        for pair in record.target.partition("?")[2].split("&"):
            if len(value := pair.partition("=")[2]) > 8:
                found.add(value)
        found |= {value for name, value in record.headers if name.lower() == "authorization"}
    return found


async def test_no_key_query_or_token_is_recorded(
    client: AsyncImgwireClient, recorded: RecordingSDK, emulator: Emulator, tmp_path: Path
) -> None:
    emulator.faults.add("PUT", "*", host="storage", status=500, body=f"Bearer {emulator.api_key}")
    token = await client.images.create_upload_token()
    image = await client.images.upload(GIF, upload_token=None, wait=True)
    browser = AsyncImgwireClient(emulator.client_key, base_url=emulator.base_url, hooks=recorded.hooks)
    async with browser:
        await browser.images.upload(GIF, upload_token=token.token)
    job = await client.images.create_bulk_download_job([image.id])
    job = await client.images.wait_for_bulk_download(job)
    await client.images.download_archive(job, tmp_path / "a.zip")
    emulator.faults.add("GET", "*", status=400, body=json.dumps({"detail": f"key {emulator.api_key}"}))
    with pytest.raises(Exception, match="400"):
        await client.images.list()
    exported = recorded.everything
    secrets = secrets_of(emulator) | {token.token, str(job.download_url)}
    assert len(secrets) > 6
    assert [secret for secret in secrets if secret in exported] == []
    assert "?" not in "".join(attributes(span).get("url.full", "") for span in recorded.spans)


async def test_user_info_in_a_url_is_not_recorded(client: AsyncImgwireClient, recorded: RecordingSDK) -> None:
    image = await client.images.upload(GIF, wait=True)
    hostile = attrs.evolve(image, cdn_url="http://user:hunter22@cdn.example/a/b/c?v=deadbeef")
    with pytest.raises(UnsafeURLError):
        await client.images.read(hostile)
    with pytest.raises(UnsafeURLError):
        await client.images.read(attrs.evolve(image, cdn_url="http://[::1?v=deadbeef"))
    assert "hunter22" not in recorded.everything
    assert "deadbeef" not in recorded.everything


async def test_no_trace_header_is_sent_anywhere(
    client: AsyncImgwireClient, emulator: Emulator, recorded: RecordingSDK
) -> None:
    tracer = trace.get_tracer("tests", tracer_provider=recorded.tracers)
    with tracer.start_as_current_span("job"):
        image = await client.images.upload(GIF, wait=True)
        await client.images.read(image)
    sent = {name.lower() for record in emulator.requests for name, _ in record.headers}
    assert {record.host for record in emulator.requests} == {"api", "storage", "cdn"}
    assert not sent & {"traceparent", "tracestate", "baggage"}


@pytest.fixture
def instrumented(recorded: RecordingSDK) -> Iterator[None]:
    """Instrument all aiohttp sessions of the process, as applications do."""
    AioHttpClientInstrumentor().instrument(tracer_provider=recorded.tracers)
    yield
    AioHttpClientInstrumentor().uninstrument()


@pytest.mark.usefixtures("instrumented")
async def test_the_instrumentation_of_aiohttp_adds_no_span_to_a_traced_call(
    recorded: RecordingSDK, emulator: Emulator
) -> None:
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, hooks=recorded.hooks
    ) as client:
        image = await client.images.upload(GIF, wait=True)
        await client.images.read(image)
    ours = {
        span.name
        for span in recorded.spans
        if span.instrumentation_scope and span.instrumentation_scope.name == "imgwire_async"
    }
    assert set(recorded.names) == ours
    sent = {name.lower() for record in emulator.requests for name, _ in record.headers}
    assert "traceparent" not in sent


@pytest.mark.usefixtures("instrumented")
async def test_the_instrumentation_of_aiohttp_alone_records_no_presigned_url(
    recorded: RecordingSDK, emulator: Emulator
) -> None:
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        image = await client.images.upload(GIF, wait=True)
        await client.images.read(image)
    assert recorded.spans, "the instrumentation records requests of the API session"
    assert "X-Amz-Signature" not in recorded.everything
    foreign = [r for r in emulator.requests if r.host != "api"]
    assert {r.host for r in foreign} == {"storage", "cdn"}
    assert not [r for r in foreign if "traceparent" in {name.lower() for name, _ in r.headers}]


@pytest.mark.usefixtures("instrumented")
async def test_an_upload_token_is_not_recorded_by_other_instrumentations(
    recorded: RecordingSDK, emulator: Emulator
) -> None:
    """Instrumentations of all sessions of a process, such as error reporters, keep complete URLs."""
    async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        token = (await client.images.create_upload_token()).token
        before = len(recorded.spans)
    async with AsyncImgwireClient(emulator.client_key, base_url=emulator.base_url) as client:
        image = await client.images.upload(GIF, upload_token=token)
    assert emulator.images[image.id].stored is not None
    assert any(token in record.target for record in emulator.requests), "the API itself receives it"
    assert len(recorded.spans) == before
    assert token not in recorded.everything


@pytest.mark.usefixtures("instrumented")
async def test_other_instrumentations_still_record_requests_of_the_application(
    recorded: RecordingSDK, emulator: Emulator
) -> None:
    async def source() -> AsyncIterator[bytes]:
        async with aiohttp.ClientSession() as session, session.get(emulator.base_url) as response:
            await response.read()
        yield GIF

    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, hooks=recorded.hooks
    ) as client:
        await client.images.upload(source(), content_length=len(GIF), mime_type="image/gif")
    foreign = [
        s
        for s in recorded.spans
        if s.instrumentation_scope and s.instrumentation_scope.name != "imgwire_async"
    ]
    assert len(foreign) == 1


# Errors of the SDK


async def test_hooks_without_an_sdk_record_nothing_and_do_not_fail(emulator: Emulator) -> None:
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, hooks=OpenTelemetryHooks()
    ) as client:
        image = await client.images.upload(GIF, wait=True)
        assert await client.images.read(image)
    assert not trace.get_current_span().is_recording()


class BrokenStart(SpanProcessor):
    def on_start(self, span: Span, parent_context: object = None) -> None:
        raise RuntimeError("a broken processor")


class BrokenEnd(SpanProcessor):
    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("a broken processor")


@pytest.mark.parametrize(
    ("processor", "what"), [(BrokenStart, "could not be started"), (BrokenEnd, "could not be ended")]
)
async def test_a_broken_span_processor_is_logged_and_fails_no_call(
    processor: type[SpanProcessor], what: str, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    tracers = TracerProvider()
    tracers.add_span_processor(processor())
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, hooks=OpenTelemetryHooks(tracer_provider=tracers)
    ) as client:
        image = await client.images.upload(GIF, wait=True)
        assert await client.images.read(image)
    assert f"a span {what}" in caplog.text


def broken(*_: object, **__: object) -> None:
    raise RuntimeError("a broken SDK")


class BrokenHistogram(metrics.NoOpHistogram):
    record = broken


class BrokenCounter(metrics.NoOpCounter):
    add = broken


class BrokenUpDownCounter(metrics.NoOpUpDownCounter):
    add = broken


class BrokenMeter(metrics.NoOpMeter):
    def create_histogram(self, name: str, *_: object, **__: object) -> BrokenHistogram:
        return BrokenHistogram(name)

    def create_counter(self, name: str, *_: object, **__: object) -> BrokenCounter:
        return BrokenCounter(name)

    def create_up_down_counter(self, name: str, *_: object, **__: object) -> BrokenUpDownCounter:
        return BrokenUpDownCounter(name)


class BrokenMeters(metrics.NoOpMeterProvider):
    def get_meter(self, name: str, *_: object, **__: object) -> BrokenMeter:
        return BrokenMeter(name)


class BrokenSpan(trace.NonRecordingSpan):
    set_attribute = add_event = set_status = end = broken


class BrokenTracer(trace.NoOpTracer):
    def start_span(self, *_: object, **__: object) -> BrokenSpan:
        return BrokenSpan(trace.INVALID_SPAN_CONTEXT)


class BrokenTracers(trace.NoOpTracerProvider):
    def get_tracer(self, *_: object, **__: object) -> BrokenTracer:
        return BrokenTracer()


@pytest.mark.parametrize(
    "hooks",
    [
        pytest.param(OpenTelemetryHooks(meter_provider=BrokenMeters()), marks=pytest.mark.slow),
        pytest.param(OpenTelemetryHooks(tracer_provider=BrokenTracers()), marks=pytest.mark.slow),
        OpenTelemetryHooks(meter_provider=BrokenMeters(), tracer_provider=BrokenTracers()),
    ],
    ids=["metrics", "spans", "both"],
)
async def test_an_exception_of_the_sdk_is_logged_and_fails_no_call_and_leaks_no_slot(
    hooks: OpenTelemetryHooks, emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    emulator.faults.add("POST", "*", status=429, headers={"Retry-After": "0"})
    emulator.faults.add("PUT", "*", status=503)
    emulator.faults.add("GET", f"*/{UNKNOWN_ID}", status=500)
    async with (
        AsyncImgwireClient(
            emulator.api_key, base_url=emulator.base_url, hooks=hooks, max_connections=1, retries=QUICK
        ) as client,
        asyncio.timeout(20),
    ):
        image = await client.images.upload(GIF, wait=True)
        assert await client.images.read(image) == GIF
        for _ in range(2):
            with pytest.raises(NotFoundError):
                await client.images.retrieve(UNKNOWN_ID)
        assert len([image async for image in client.images.list_all()]) == 1
    assert "could not be recorded; the call goes on" in caplog.text


async def test_an_unsampled_trace_stays_unsampled(emulator: Emulator) -> None:
    from opentelemetry.sdk.trace.sampling import ALWAYS_OFF

    exporter = InMemorySpanExporter()
    tracers = TracerProvider(sampler=ALWAYS_OFF)
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, hooks=OpenTelemetryHooks(tracer_provider=tracers)
    ) as client:
        await client.images.list()
    assert exporter.get_finished_spans() == ()


MISTAKES: list[Callable[[], object]] = [
    lambda: OpenTelemetryHooks(on_request=5),  # type: ignore[arg-type]
    lambda: OpenTelemetryHooks(print, print, print, print),  # type: ignore[misc]
]


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_argument_is_a_type_error(mistake: Callable[[], object]) -> None:
    with pytest.raises(TypeError):
        mistake()
