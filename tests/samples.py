"""Examples of all response bodies, generated from the OpenAPI document, with every model and field."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from imgwire_async import RetryPolicy, models
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.request import APIResponse
from imgwire_async.retry import RetryBudget
from imgwire_async.uploads.states import UploadState

OPENAPI: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "openapi.json").read_text("utf-8"))
SCHEMAS: dict[str, dict[str, Any]] = OPENAPI["components"]["schemas"]
# The document says integer, but the vendor's examples are 0.9 and 92.
SCHEMAS["CacheHitRatioDatasetPointSchema"]["properties"]["value"]["type"] = "number"

REQUEST_ID = "req-7f3a"
ID = "0b2a6f0e-8f5c-4a52-9a50-3f1a3c0d5e77"
TIME = "2026-04-01T12:30:00Z"
SECRET = "s3cr3t-d0-n0t-sh0w"

# The model for each schema of a response.
RECORDS: dict[str, type[models.Record]] = {
    "CacheHitRatioDatasetPointSchema": models.CacheHitRatioPoint,
    "CorsOriginSchema": models.CorsOrigin,
    "CustomDomainSchema": models.CustomDomain,
    "HTTPValidationError": models.HTTPValidationError,
    "ImageDownloadJobSchema": models.ImageDownloadJob,
    "ImageSchema": models.Image,
    "MetricsDatasetsSchema": models.MetricsDatasets,
    "MetricsStatsSchema": models.MetricsStats,
    "MetricsStatValueSchema": models.MetricsStatValue,
    "RequestsDatasetPointSchema": models.RequestsPoint,
    "StandardUploadResponseSchema": models.StandardUpload,
    "StorageBytesDatasetPointSchema": models.StorageBytesPoint,
    "TransferBytesDatasetPointSchema": models.TransferBytesPoint,
    "TransformationsDatasetPointSchema": models.TransformationsPoint,
    "UploadsDatasetPointSchema": models.UploadsPoint,
    "UploadTokenCreateResponseSchema": models.UploadToken,
    "ValidationError": models.ValidationError,
}
SCHEMA_OF = {record: name for name, record in RECORDS.items()}
ENUMS = {name: getattr(models, name) for name, schema in SCHEMAS.items() if "enum" in schema}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    return SCHEMAS[schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def nullable(schema: dict[str, Any]) -> bool:
    return {"type": "null"} in schema.get("anyOf", [])


def kind(schema: dict[str, Any]) -> str:
    """Return the JSON type of a field, apart from null."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return kind(next(option for option in schema["anyOf"] if option != {"type": "null"}))
    return str(schema["type"])


def example(schema: dict[str, Any], name: str = "") -> Any:
    """Return a value that fits `schema`, with nullable fields set."""
    schema = resolved(schema)
    if "anyOf" in schema:
        return example(schema["anyOf"][0], name)
    if "enum" in schema:
        return "READY" if "READY" in schema["enum"] else schema["enum"][0]
    match schema["type"]:
        case "string":
            by_format = {"uuid": ID, "date-time": TIME, "uri": "https://pictures.example/a.jpg"}
            return by_format.get(
                schema.get("format", ""),
                f"https://{name}.example/x" if name.endswith("_url") else name or "text",
            )
        case "integer":
            return 7
        case "number":
            return 7.5
        case "boolean":
            return True
        case "array":
            return [example(schema["items"], name), example(schema["items"], name)]
        case _:
            fields = schema.get("properties", {})
            if fields:
                return {field: example(inner, field) for field, inner in fields.items()}
            return {"label": "cat", "score": 0.5, "count": 3, "cute": True}


def data(record: type[models.Record], **changes: Any) -> dict[str, Any]:
    """Return the JSON data of a model, with `changes`. Its image is not deleted."""
    complete: dict[str, Any] = copy.deepcopy(example(SCHEMAS[SCHEMA_OF[record]]))
    for value in (complete, complete.get("image")):
        if isinstance(value, dict) and "deleted_at" in value:
            value["deleted_at"] = None
    return complete | changes


def image(**changes: Any) -> dict[str, Any]:
    return data(models.Image, **changes)


def fields_of(record: type[models.Record]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from SCHEMAS[SCHEMA_OF[record]]["properties"].items()


EXCHANGE = Exchange("api", "GET", "/images/{image_id}", 200, Headers([("X-Request-Id", REQUEST_ID)]), 1, 0.25)


def api_response(
    body: Any, *, method: str = "GET", headers: dict[str, str] | None = None, status: int = 200
) -> APIResponse:
    """Return a response with `body`, which is JSON-ready data or bytes."""
    all_headers = Headers([("X-Request-Id", REQUEST_ID), *(headers or {}).items()])
    exchange = Exchange("api", method, "/images/{image_id}", status, all_headers, 1, 0.25)
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return APIResponse(status, all_headers, content, exchange)


def upload_state(
    urls_requested: int = 0,
    may_have_arrived: bool = False,
    forbidden_puts: int = 0,
    retries: int = 0,
    max_retries: int = 3,
) -> UploadState:
    """Return the state of an upload after so many URLs, rejected PUTs and retries."""
    budget = RetryBudget(RetryPolicy(max_retries=max_retries), used=retries)
    return UploadState(
        budget,
        urls_requested=urls_requested,
        may_have_arrived=may_have_arrived,
        forbidden_puts=forbidden_puts,
    )
