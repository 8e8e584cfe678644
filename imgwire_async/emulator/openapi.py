"""Create the OpenAPI document of the 20 operations.

The request fields come from the table in `routes.py` and its validators. This module defines the responses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import get_args

from imgwire_async.emulator.metrics import INTERVALS
from imgwire_async.emulator.records import EXTENSIONS, ImageStatus, JobStatus
from imgwire_async.emulator.routes import OPERATIONS, PREFIX, Operation
from imgwire_async.emulator.validation import Field, Schema
from imgwire_async.emulator.validators import SCALAR

__all__ = ["DOCUMENT_PATH", "document"]

DOCUMENT_PATH = f"{PREFIX}/openapi-server.json"

_TEXT: Schema = {"type": "string"}
_UUID: Schema = {"type": "string", "format": "uuid"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_INTEGER: Schema = {"type": "integer"}
_NUMBER: Schema = {"type": "number"}
_BOOLEAN: Schema = {"type": "boolean"}
_PAGING_HEADERS = ("X-Total-Count", "X-Page", "X-Limit", "X-Prev-Page", "X-Next-Page")
_METRICS = ("uploads", "transformations", "requests", "transfer_bytes", "cache_hit_ratio", "storage_bytes")


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _list_of(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def _enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def _object_schema(**fields: Schema) -> Schema:
    return {"type": "object", "properties": fields, "required": list(fields)}


_CREATED_AND_UPDATED = {"created_at": _TIME, "updated_at": _TIME}
_TEXT_VALUES: Schema = {"type": "object", "additionalProperties": _TEXT}

# The schemas of response bodies and enums, keyed by the names that the service gives to them. [contract 3]
_SCHEMAS: Mapping[str, Schema] = {
    "ImageSchema": _object_schema(
        id=_UUID,
        environment_id=_nullable(_UUID),
        upload_token_id=_nullable(_UUID),
        original_filename=_TEXT,
        hash_sha256=_nullable(_TEXT),
        status=_ref("ImageStatus"),
        cdn_url=_TEXT,
        mime_type=_ref("SupportedMimeType"),
        can_upload=_BOOLEAN,
        is_directly_deliverable=_BOOLEAN,
        idempotency_key=_nullable(_TEXT),
        purpose=_nullable(_TEXT),
        extension=_TEXT,
        width=_INTEGER,
        height=_INTEGER,
        size_bytes=_INTEGER,
        custom_metadata={"type": "object", "additionalProperties": SCALAR},
        exif_data={"type": "object", "additionalProperties": True},
        **_CREATED_AND_UPDATED,
        deleted_at=_nullable(_TIME),
        processed_metadata_at=_nullable(_TIME),
    ),
    "StandardUploadResponseSchema": _object_schema(image=_ref("ImageSchema"), upload_url=_TEXT),
    "UploadTokenCreateResponseSchema": _object_schema(
        id=_UUID, environment_id=_UUID, token=_TEXT, expires_at=_TIME, used_at=_nullable(_TIME), **_CREATED_AND_UPDATED
    ),
    "ImageDownloadJobSchema": _object_schema(
        id=_UUID,
        environment_id=_nullable(_UUID),
        status=_ref("ImageDownloadStatus"),
        image_ids=_list_of(_UUID),
        download_url=_nullable(_TEXT),
        **_CREATED_AND_UPDATED,
    ),
    "CorsOriginSchema": _object_schema(id=_UUID, environment_id=_UUID, pattern=_TEXT, **_CREATED_AND_UPDATED),
    "CustomDomainSchema": _object_schema(
        id=_UUID,
        environment_id=_UUID,
        hostname=_TEXT,
        cname_record=_TEXT,
        cname_value=_TEXT,
        dcv_cname_record=_TEXT,
        dcv_cname_value=_TEXT,
        certificate_status=_ref("CustomDomainCertificateStatus"),
        status=_ref("CustomDomainStatus"),
        last_verified_at=_nullable(_TIME),
        **_CREATED_AND_UPDATED,
    ),
    "MetricsStatValueSchema": _object_schema(value=_NUMBER, prev=_NUMBER, pct_change=_nullable(_NUMBER)),
    "MetricsStatsSchema": _object_schema(**{name: _ref("MetricsStatValueSchema") for name in _METRICS}),
    "UploadsDatasetPointSchema": _object_schema(timestamp=_TIME, uploads=_INTEGER),
    "TransformationsDatasetPointSchema": _object_schema(timestamp=_TIME, transformations=_INTEGER),
    "RequestsDatasetPointSchema": _object_schema(timestamp=_TIME, requests=_INTEGER),
    "TransferBytesDatasetPointSchema": _object_schema(timestamp=_TIME, transfer_bytes=_INTEGER),
    "CacheHitRatioDatasetPointSchema": _object_schema(label=_TEXT, value=_NUMBER),
    "StorageBytesDatasetPointSchema": _object_schema(
        timestamp=_TIME, storage_bytes_current=_INTEGER, storage_bytes_added=_INTEGER
    ),
    "MetricsDatasetsSchema": _object_schema(
        **{name: _list_of(_ref(f"{name.title().replace('_', '')}DatasetPointSchema")) for name in _METRICS}
    ),
    "HTTPValidationError": {
        "type": "object", "properties": {"detail": _list_of(_ref("ValidationError"))},
    },
    "ValidationError": _object_schema(loc=_list_of({"anyOf": [_TEXT, _INTEGER]}), msg=_TEXT, type=_TEXT),
    "ImageStatus": _enum(*get_args(ImageStatus)),
    "ImageDownloadStatus": _enum(*get_args(JobStatus)),
    "CustomDomainStatus": _enum("PENDING", "CONNECTED", "FAILED"),
    "CustomDomainCertificateStatus": _enum("PENDING", "ACTIVE", "FAILING"),
    "MetricsDatasetInterval": _enum(*INTERVALS),
    "SupportedMimeType": _enum(*EXTENSIONS),
}  # fmt: skip

# Maps the names of operations to the schema names of their request bodies.
_BODIES: Mapping[str, str] = {
    "images.create": "StandardUploadCreateSchema",
    "images.upload_via_url": "UploadViaUrlCreateSchema",
    "images.bulk_delete": "BulkDeleteImagesSchema",
    "images.create_bulk_download_job": "ImageDownloadJobCreateSchema",
    "cors_origins.create": "CorsOriginCreateSchema",
    "cors_origins.update": "CorsOriginUpdateSchema",
    "custom_domain.create": "CustomDomainCreateSchema",
}
# Maps the names of operations to the schemas of their response bodies. All other operations have
# `_TEXT_VALUES`.
_RESPONSES: Mapping[str, Schema] = {
    "images.list": _list_of(_ref("ImageSchema")),
    "images.retrieve": _ref("ImageSchema"),
    "images.create": _ref("StandardUploadResponseSchema"),
    "images.upload_via_url": _ref("ImageSchema"),
    "images.create_upload_token": _ref("UploadTokenCreateResponseSchema"),
    "images.create_bulk_download_job": _ref("ImageDownloadJobSchema"),
    "images.retrieve_bulk_download_job": _ref("ImageDownloadJobSchema"),
    "cors_origins.list": _list_of(_ref("CorsOriginSchema")),
    "cors_origins.create": _ref("CorsOriginSchema"),
    "cors_origins.retrieve": _ref("CorsOriginSchema"),
    "cors_origins.update": _ref("CorsOriginSchema"),
    "custom_domain.retrieve": _ref("CustomDomainSchema"),
    "custom_domain.create": _ref("CustomDomainSchema"),
    "custom_domain.test_connection": _ref("CustomDomainSchema"),
    "metrics.get_datasets": _ref("MetricsDatasetsSchema"),
    "metrics.get_stats": _ref("MetricsStatsSchema"),
}


@cache
def document() -> Mapping[str, object]:
    """Return the OpenAPI 3.1 document without `servers`, which depends on the host name of the request."""
    paths: dict[str, dict[str, object]] = {}
    schemas: dict[str, Schema] = dict(_SCHEMAS)
    for operation in OPERATIONS:
        paths.setdefault(PREFIX + operation.path, {})[operation.method.lower()] = _operation_object(operation)
        if operation.body is not None:
            schemas[_BODIES[operation.name]] = _body_schema(operation.body)
    no_scopes: list[str] = []
    return {
        "openapi": "3.1.0",
        "info": {"title": "Imgwire emulator", "version": "1", "description": "20 operations of the Resource API."},
        "security": [{"key": no_scopes}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
        },
    }  # fmt: skip


def _operation_object(operation: Operation) -> Mapping[str, object]:
    group, _, method_name = operation.name.partition(".")
    operation_object: dict[str, object] = {
        "operationId": f"{_camel(f'_{group}')}_{_camel(method_name)}",
        "tags": [group],
        "description": "With a server key or a client key."
        if operation.allows_client_key
        else "With a server key.",
        "parameters": [
            *_path_parameters(operation.path),
            *(_query_parameter(field) for field in operation.query),
        ],
        "responses": {
            "200": _response("The result", _RESPONSES.get(operation.name, _TEXT_VALUES), _headers(operation)),
            "422": _response("A value in the request is not valid", _ref("HTTPValidationError"), {}),
        },
    }
    if operation.body is not None:
        content = {"application/json": {"schema": _ref(_BODIES[operation.name])}}
        operation_object["requestBody"] = {"required": True, "content": content}
    return operation_object


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _path_parameters(path: str) -> list[Schema]:
    names: list[str] = re.findall(r"\{(\w+)\}", path)
    return [{"in": "path", "name": name, "required": True, "schema": _UUID} for name in names]


def _query_parameter(field: Field) -> Schema:
    return {"in": "query", "name": field.name, "required": field.required, "schema": _field_schema(field)}


def _field_schema(field: Field) -> Schema:
    schema = field.validator.schema if field.schema is None else _ref(field.schema)
    if field.nullable:
        schema = _nullable(schema)
    return schema if field.default is None else {**schema, "default": field.default}


def _body_schema(fields: Sequence[Field]) -> Schema:
    return {
        "type": "object",
        "properties": {field.name: _field_schema(field) for field in fields},
        "required": [field.name for field in fields if field.required],
    }


def _headers(operation: Operation) -> Mapping[str, object]:
    is_list = operation.name.endswith(".list")
    return {name: {"schema": _TEXT} for name in _PAGING_HEADERS} if is_list else {}


def _response(description: str, schema: Schema, headers: Mapping[str, object]) -> Mapping[str, object]:
    response: dict[str, object] = {
        "description": description,
        "content": {"application/json": {"schema": schema}},
    }
    return {**response, "headers": headers} if headers else response
