"""Each operation sends exactly one request: method, path, query, body, and whether it may be repeated."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from recording import Api, Response
from samples import ID, data, image

from imgwire_async import models, results

DOMAIN, ORIGIN, JOB = models.CustomDomain, models.CorsOrigin, models.ImageDownloadJob
UPLOAD, TOKEN = models.StandardUpload, models.UploadToken

# A call -> method and target, body, repeatable, model of the response (None: a mapping without a model).
ASKED: list[tuple[str, Callable[[Api], Awaitable[Any]], str, Any, bool | None, Any]] = [
    ("list", lambda api: api.images.list(), "GET /images/?page=1", None, None, list[models.Image]),
    (
        "list page",
        lambda api: api.images.list(page=3, limit=50),
        "GET /images/?page=3&limit=50",
        None,
        None,
        list[models.Image],
    ),
    ("retrieve", lambda api: api.images.retrieve(ID), f"GET /images/{ID}", None, None, models.Image),
    (
        "retrieve uuid",
        lambda api: api.images.retrieve(uuid.UUID(ID)),
        f"GET /images/{ID}",
        None,
        None,
        models.Image,
    ),
    (
        "retrieve odd",
        lambda api: api.images.retrieve("ä:1"),
        "GET /images/%C3%A4%3A1",
        None,
        None,
        models.Image,
    ),
    ("delete", lambda api: api.images.delete(ID), f"DELETE /images/{ID}", None, None, None),
    ("token", lambda api: api.images.create_upload_token(), "POST /images/token", None, None, TOKEN),
    (
        "create",
        lambda api: api.images.create(file_name="a.bin", idempotency_key="k"),
        "POST /images/standard_upload",
        {"file_name": "a.bin", "idempotency_key": "k"},
        True,
        UPLOAD,
    ),
    (
        "create without key",
        lambda api: api.images.create(file_name="a", idempotency_key=False),
        "POST /images/standard_upload",
        {"file_name": "a"},
        False,
        UPLOAD,
    ),
    (
        "create by name",
        lambda api: api.images.create(file_name="a.JPG", idempotency_key=False),
        "POST /images/standard_upload",
        {"file_name": "a.JPG", "mime_type": "image/jpeg"},
        False,
        UPLOAD,
    ),
    (
        "create whole",
        lambda api: api.images.create(
            file_name="a.jpg",
            mime_type="image/x-new",
            content_length=0,
            custom_metadata={"a": "", "b": 0, "c": False, "d": 0.5},
            hash_sha256="ab",
            idempotency_key="k",
            purpose="p",
            upload_token="t",
        ),
        "POST /images/standard_upload?upload_token=t",
        {
            "file_name": "a.jpg",
            "mime_type": "image/x-new",
            "content_length": 0,
            "custom_metadata": {"a": "", "b": 0, "c": False, "d": 0.5},
            "hash_sha256": "ab",
            "idempotency_key": "k",
            "purpose": "p",
        },
        True,
        UPLOAD,
    ),
    (
        "via url",
        lambda api: api.images.upload_via_url("https://a.example/x", idempotency_key="k"),
        "POST /images/upload_via_url",
        {"url": "https://a.example/x", "idempotency_key": "k"},
        True,
        models.Image,
    ),
    (
        "via url whole",
        lambda api: api.images.upload_via_url(
            "HTTP://a.example/ä", file_name="x.png", custom_metadata={}, idempotency_key=False, purpose="p"
        ),
        "POST /images/upload_via_url",
        {
            "url": "HTTP://a.example/ä",
            "file_name": "x.png",
            "mime_type": "image/png",
            "custom_metadata": {},
            "purpose": "p",
        },
        False,
        models.Image,
    ),
    (
        "bulk delete",
        lambda api: api.images.bulk_delete([ID, uuid.UUID(int=1)]),
        "POST /images/bulk_delete",
        {"image_ids": [ID, str(uuid.UUID(int=1))]},
        None,
        None,
    ),
    (
        "download job",
        lambda api: api.images.create_bulk_download_job(iter([ID])),
        "POST /images/downloads",
        {"image_ids": [ID]},
        None,
        JOB,
    ),
    (
        "retrieve job",
        lambda api: api.images.retrieve_bulk_download_job(ID),
        f"GET /images/downloads/{ID}",
        None,
        None,
        JOB,
    ),
    (
        "origins",
        lambda api: api.cors_origins.list(limit=1),
        "GET /cors_origins/?page=1&limit=1",
        None,
        None,
        list[ORIGIN],
    ),
    (
        "create origin",
        lambda api: api.cors_origins.create("*.example.com"),
        "POST /cors_origins/",
        {"pattern": "*.example.com"},
        None,
        ORIGIN,
    ),
    (
        "retrieve origin",
        lambda api: api.cors_origins.retrieve(ID),
        f"GET /cors_origins/{ID}",
        None,
        None,
        ORIGIN,
    ),
    (
        "update origin",
        lambda api: api.cors_origins.update(ID, "localhost:3000"),
        f"PATCH /cors_origins/{ID}",
        {"pattern": "localhost:3000"},
        None,
        ORIGIN,
    ),
    (
        "delete origin",
        lambda api: api.cors_origins.delete(ID),
        f"DELETE /cors_origins/{ID}",
        None,
        None,
        None,
    ),
    ("domain", lambda api: api.custom_domain.retrieve(), "GET /custom_domain/", None, None, DOMAIN),
    (
        "create domain",
        lambda api: api.custom_domain.create("img.example.com"),
        "POST /custom_domain/",
        {"hostname": "img.example.com"},
        None,
        DOMAIN,
    ),
    ("delete domain", lambda api: api.custom_domain.delete(), "DELETE /custom_domain/", None, None, None),
    (
        "test domain",
        lambda api: api.custom_domain.test_connection(),
        "POST /custom_domain/test_connection",
        None,
        True,
        DOMAIN,
    ),
    (
        "datasets",
        lambda api: api.metrics.get_datasets(),
        "GET /metrics/datasets",
        None,
        None,
        models.MetricsDatasets,
    ),
    (
        "stats",
        lambda api: api.metrics.get_stats(interval="daily"),
        "GET /metrics/stats?interval=DAILY",
        None,
        None,
        models.MetricsStats,
    ),
    (
        "stats whole",
        lambda api: api.metrics.get_stats(
            interval=models.MetricsDatasetInterval.WEEKLY,
            tz="Europe/Berlin",
            date_start=datetime(2026, 4, 1, tzinfo=UTC),
            date_end=datetime(2026, 4, 2, 1, 30, tzinfo=timezone(timedelta(hours=2))),
        ),
        "GET /metrics/stats?interval=WEEKLY&tz=Europe%2FBerlin&date_start=2026-04-01T00%3A00%3A00Z&date_end=2026-04-01T23%3A30%3A00Z",
        None,
        None,
        models.MetricsStats,
    ),
]


def response_for(model: Any) -> Any:
    if model is None:
        return {"message": "done"}
    if hasattr(model, "__args__"):
        return [data(model.__args__[0]), data(model.__args__[0])]
    return data(model)


@pytest.mark.parametrize(
    ("call", "line", "body", "repeatable", "model"), [row[1:] for row in ASKED], ids=[row[0] for row in ASKED]
)
async def test_an_operation_sends_exactly_one_request(
    call: Callable[[Api], Awaitable[Any]], line: str, body: Any, repeatable: bool | None, model: Any
) -> None:
    api = Api(response_for(model))
    result = await call(api)
    assert api.sent.lines == [line]
    assert api.sent.only.json == body
    assert api.sent.only.repeatable is repeatable
    if model is None and not isinstance(result, results.BulkDeleteResult):
        assert result == {"message": "done"}
    elif hasattr(model, "__args__"):
        assert [type(item) for item in result.data] == [model.__args__[0]] * 2
    elif model is not None:
        assert type(result) is model


async def test_a_path_template_has_no_ids() -> None:
    api = Api(image())
    await api.images.retrieve(ID)
    assert api.sent.only.path == "/images/{image_id}"


async def test_a_page_has_the_numbers_of_the_headers() -> None:
    headers = {
        "X-Total-Count": "41",
        "x-page": "1",
        "X-LIMIT": "20",
        "X-Prev-Page": "null",
        "X-Next-Page": "2",
    }
    api = Api(Response([image()], headers))
    page = await api.images.list()
    assert page.pagination == results.Pagination(
        total_count=41, page=1, limit=20, prev_page=None, next_page=2
    )
    assert isinstance(page.data, list)


async def test_without_an_idempotency_key_each_upload_sends_a_new_one() -> None:
    api = Api(data(UPLOAD), data(UPLOAD), image())
    await api.images.create(file_name="a")
    await api.images.create(file_name="a", idempotency_key=None)
    await api.images.upload_via_url("https://a.example/x")
    keys = [request.json["idempotency_key"] for request in api.sent.requests]
    assert len(set(keys)) == 3
    assert all(str(uuid.UUID(key)) == key and uuid.UUID(key).version == 4 for key in keys)
    assert all(request.repeatable for request in api.sent.requests)


@pytest.mark.parametrize("mime", [models.SupportedMimeType.PNG, "image/png"])
async def test_a_declared_type_is_sent_as_text(mime: Any) -> None:
    api = Api(data(UPLOAD))
    await api.images.create(file_name="a.jpg", mime_type=mime)
    assert api.sent.only.json["mime_type"] == "image/png"
    assert type(api.sent.only.json["mime_type"]) is str


async def test_an_upload_via_url_runs_as_one_operation() -> None:
    api = Api(image())
    await api.images.upload_via_url("https://a.example/x")
    assert api.sent.operations == ["images.upload_via_url"]


PNG = b"\x89PNG\r\n\x1a\n" + b"x" * 100


async def test_an_upload_creates_a_record_puts_the_bytes_and_returns_the_record() -> None:
    api = Api(data(UPLOAD))
    result = await api.images.upload(
        PNG, file_name="a.jpg", idempotency_key="k", custom_metadata={"a": 1}, purpose="p", upload_token="t"
    )
    assert api.sent.lines == ["POST /images/standard_upload?upload_token=t"]
    assert api.sent.only.json == {
        "file_name": "a.jpg",
        "mime_type": "image/png",
        "content_length": len(PNG),
        "custom_metadata": {"a": 1},
        "idempotency_key": "k",
        "purpose": "p",
    }
    assert api.sent.bodies == [PNG]
    assert (api.sent.puts[0].mime_type, api.sent.puts[0].size) == ("image/png", len(PNG))
    assert result.id == ID


async def test_an_upload_without_a_name_is_named_after_its_type() -> None:
    api = Api(data(UPLOAD))
    await api.images.upload(PNG)
    assert api.sent.only.json["file_name"] == "upload.png"


async def test_each_of_many_uploads_creates_a_record_and_puts_its_bytes() -> None:
    api = Api(lambda _: data(UPLOAD))
    results = [result async for result in api.images.upload_many([PNG, PNG + b"y"])]
    assert sorted(result.index for result in results) == [0, 1]
    assert sorted(api.sent.bodies) == [PNG, PNG + b"y"]
