"""Validation errors and routing as in FastAPI, and the rate limit."""

from __future__ import annotations

import io
from typing import Any

import pytest

from imgwire_async.emulator import Emulator

from .raw_client import UNKNOWN_ID, RawClient, send_raw

CREATE, VIA_URL = "/images/standard_upload", "/images/upload_via_url"


@pytest.mark.parametrize(
    ("path", "body", "loc", "error_type"),
    [
        (CREATE, {}, ["body", "file_name"], "missing"),
        (CREATE, {"file_name": ""}, ["body", "file_name"], "string_too_short"),
        (CREATE, {"file_name": None}, ["body", "file_name"], "string_type"),
        (CREATE, {"file_name": 1}, ["body", "file_name"], "string_type"),
        (CREATE, {"file_name": "\ud800"}, ["body", "file_name"], "string_unicode"),
        (CREATE, {"file_name": "a", "mime_type": "image/svg+xml"}, ["body", "mime_type"], "enum"),
        (CREATE, {"file_name": "a", "mime_type": 1}, ["body", "mime_type"], "enum"),
        (CREATE, {"file_name": "a", "content_length": -1}, ["body", "content_length"], "greater_than_equal"),
        (CREATE, {"file_name": "a", "content_length": "1"}, ["body", "content_length"], "int_type"),
        (CREATE, {"file_name": "a", "content_length": True}, ["body", "content_length"], "int_type"),
        (CREATE, {"file_name": "a", "content_length": 1.5}, ["body", "content_length"], "int_type"),
        (CREATE, {"file_name": "a", "custom_metadata": None}, ["body", "custom_metadata"], "dict_type"),
        (CREATE, {"file_name": "a", "custom_metadata": {"k": None}}, ["body", "custom_metadata", "k"], "scalar_type"),
        (CREATE, {"file_name": "a", "custom_metadata": {"k": {}}}, ["body", "custom_metadata", "k"], "scalar_type"),
        (CREATE, {"file_name": "a", "custom_metadata": {"k": [1]}}, ["body", "custom_metadata", "k"], "scalar_type"),
        (CREATE, {"file_name": "a", "hash_sha256": ""}, ["body", "hash_sha256"], "string_too_short"),
        (CREATE, {"file_name": "a", "idempotency_key": "k" * 256}, ["body", "idempotency_key"], "string_too_long"),
        (CREATE, {"file_name": "a", "purpose": []}, ["body", "purpose"], "string_type"),
        (CREATE, [], ["body"], "model_attributes_type"),
        (VIA_URL, {}, ["body", "url"], "missing"),
        (VIA_URL, {"url": ""}, ["body", "url"], "string_too_short"),
        (VIA_URL, {"url": "data:image/png;base64,xx"}, ["body", "url"], "url_parsing"),
        (VIA_URL, {"url": "ftp://example.com/a"}, ["body", "url"], "url_parsing"),
        (VIA_URL, {"url": "https:///a.png"}, ["body", "url"], "url_parsing"),
        (VIA_URL, {"url": "https://example.com/", "file_name": ""}, ["body", "file_name"], "string_too_short"),
        ("/images/bulk_delete", {"image_ids": []}, ["body", "image_ids"], "too_short"),
        ("/images/bulk_delete", {"image_ids": "x"}, ["body", "image_ids"], "list_type"),
        ("/images/bulk_delete", {"image_ids": [UNKNOWN_ID, "x"]}, ["body", "image_ids", 1], "uuid_parsing"),
        ("/images/downloads", {"image_ids": [1]}, ["body", "image_ids", 0], "uuid_parsing"),
        ("/cors_origins/", {"pattern": ""}, ["body", "pattern"], "string_too_short"),
        ("/custom_domain/", {}, ["body", "hostname"], "missing"),
        *[
            ("/custom_domain/", {"hostname": name}, ["body", "hostname"], "value_error")
            for name in (
                "example.com", "https://a.example.com", "a.example.com/x", "a.example.com:80", "a b.example.com",
                "-a.example.com", "a..example.com", "1.2.3.4", "a.example.com\n", f"{'a.' * 130}com",
            )
        ],
    ],
)  # fmt: skip
async def test_the_error_names_the_wrong_field_of_a_body(
    client: RawClient, path: str, body: Any, loc: list[Any], error_type: str
) -> None:
    response = await client.request("POST", path, json=body)
    assert response.status == 422
    assert [(problem["loc"], problem["type"]) for problem in response.json["detail"]] == [(loc, error_type)]


async def test_the_error_names_all_wrong_fields(client: RawClient) -> None:
    response = await client.request(
        "POST", CREATE, json={"content_length": -1, "custom_metadata": {"a": None, "b": []}}
    )
    assert len(response.json["detail"]) == 4


@pytest.mark.parametrize(
    ("data", "content_type", "error_type"),
    [
        (b"{", "application/json", "json_invalid"),
        (b'{"file_name": NaN}', "application/json", "json_invalid"),
        (b"\xff", "application/json", "json_invalid"),
        (b"[" * 100_000, "application/json", "json_invalid"),
        (b"{}", "application/problem+json", "missing"),
        (b"{}", None, "missing"),
        (b'{"file_name": "a"}', "text/plain", "model_attributes_type"),
        (b"", "application/json", "missing"),
        (b"null", "application/json", "model_attributes_type"),
    ],
)
async def test_a_body_must_be_json_and_have_its_content_type(
    client: RawClient, data: bytes, content_type: str | None, error_type: str
) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    response = await client.request(
        "POST", CREATE, data=data, headers=headers, skip_auto_headers=["Content-Type"]
    )
    assert (response.status, response.json["detail"][0]["type"]) == (422, error_type)


@pytest.mark.parametrize(
    ("path", "loc", "error_type"),
    [
        ("/images/?page=0", "page", "greater_than_equal"),
        ("/images/?limit=101", "limit", "less_than_equal"),
        ("/images/?limit=0", "limit", "greater_than_equal"),
        ("/cors_origins/?page=x", "page", "int_parsing"),
        ("/cors_origins/?page=", "page", "int_parsing"),
        ("/images/?page=" + "9" * 5000, "page", "int_parsing"),
        ("/metrics/datasets?interval=hourly", "interval", "enum"),
        ("/metrics/stats?tz=Mars/Olympus", "tz", "value_error"),
        ("/metrics/stats?tz=../etc", "tz", "value_error"),
        ("/metrics/stats?date_start=yesterday", "date_start", "datetime_parsing"),
        ("/metrics/stats?date_end=2026-04-01T00:00:00.1234567890Z", "date_end", "datetime_parsing"),
        ("/metrics/stats?date_end=" + "9" * 400, "date_end", "datetime_parsing"),
        ("/metrics/stats?date_end=0001-01-01", "date_start", "value_error"),
        (
            "/metrics/datasets?date_start=9999-12-31T00:00Z&date_end=9999-12-31T23:59Z&interval=MONTHLY",
            "interval",
            "value_error",
        ),
        ("/metrics/stats?date_end=2026-13-01T00:00:00Z", "date_end", "datetime_parsing"),
        (
            "/metrics/stats?date_end=2026-04-01T00:00:00+00:00",
            "date_end",
            "datetime_parsing",
        ),  # an unencoded plus
        (
            "/metrics/stats?date_start=2026-04-02T00:00:00Z&date_end=2026-04-01T00:00:00Z",
            "date_start",
            "value_error",
        ),
        ("/metrics/datasets?date_start=1990-04-02T00:00:00Z", "interval", "value_error"),
    ],
)
async def test_the_error_names_the_wrong_query_parameter(
    client: RawClient, path: str, loc: str, error_type: str
) -> None:
    response = await client.request("GET", path)
    assert response.status == 422
    assert [(problem["loc"], problem["type"]) for problem in response.json["detail"]] == [
        (["query", loc], error_type)
    ]


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/images/img_123", "image_id"),
        ("DELETE", "/images/%2e%2e", "image_id"),
        ("GET", "/images/token", "image_id"),
        ("GET", f"/images/downloads/{UNKNOWN_ID}%0A", "image_download_job_id"),
        ("PATCH", f"/cors_origins/{UNKNOWN_ID.replace('-', '')}", "cors_origin_id"),
    ],
)
async def test_an_id_in_a_path_must_be_a_uuid(client: RawClient, method: str, path: str, name: str) -> None:
    response = await client.request(method, path)
    assert (response.status, response.json["detail"][0]["loc"]) == (422, ["path", name])


async def test_an_id_in_capitals_is_the_same_id(client: RawClient) -> None:
    image = (await client.create())["image"]
    assert (await client.request("GET", f"/images/{image['id'].upper()}")).json["id"] == image["id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/nothing", 404, "Not Found"),
        ("GET", "/images//", 404, "Not Found"),
        ("POST", "/images/", 405, "Method Not Allowed"),
        ("PUT", "/images/token", 405, "Method Not Allowed"),
    ],
)
async def test_unknown_routes_get_an_error_without_a_key(
    client: RawClient, method: str, path: str, status: int, detail: str
) -> None:
    response = await client.request(method, path, key=None)
    assert (response.status, response.json) == (status, {"detail": detail})


async def test_a_double_slash_is_another_path(client: RawClient, emulator: Emulator) -> None:
    response = await client.get(f"{emulator.base_url}//api/v1/images/")
    assert (response.status, response.json) == (404, {"detail": "Not Found"})


async def test_null_means_that_an_optional_field_is_absent(client: RawClient) -> None:
    names = ("mime_type", "content_length", "hash_sha256", "idempotency_key", "purpose")
    image = (await client.create(**dict.fromkeys(names)))["image"]
    assert (image["width"], image["height"], image["size_bytes"]) == (0, 0, 0)


async def test_a_wrong_method_gets_the_allowed_methods(client: RawClient) -> None:
    assert (await client.request("PUT", f"/images/{UNKNOWN_ID}")).headers["Allow"] == "DELETE, GET"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/images?page=2", "/images/?page=2"),
        ("/cors_origins", "/cors_origins/"),
        ("/images/token/", "/images/token"),
    ],
)
async def test_a_wrong_last_slash_is_redirected(
    client: RawClient, emulator: Emulator, path: str, target: str
) -> None:
    response = await client.request("GET", path)
    assert (response.status, response.headers["Location"]) == (307, f"{emulator.base_url}/api/v1{target}")


async def test_a_body_over_1_mib_gets_a_413(client: RawClient) -> None:
    response = await client.request("POST", CREATE, data=io.BytesIO(b" " * 2**20 + b"{}"))
    assert response.status == 413


async def test_an_absolute_request_target_is_accepted(emulator: Emulator, client: RawClient) -> None:
    head = f"GET {emulator.base_url}/api/v1/images/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {emulator.api_key}\r\n\r\n"
    assert (await send_raw(emulator.base_url, head.encode())).startswith(b"HTTP/1.1 200 OK")


@pytest.mark.parametrize("switches", [{"rate_limit": 3}])
async def test_a_request_over_the_rate_limit_gets_a_429_with_retry_after(client: RawClient) -> None:
    responses = [await client.request("GET", "/images/") for _ in range(12)]
    rejected = [response for response in responses if response.status == 429]
    # Twelve requests take up to three seconds, and three pass in each second.
    assert len(rejected) >= 3
    assert rejected[0].headers["Retry-After"] == "1"
    assert rejected[0].api_error == (429, "RateLimitError")
