"""The table of the 20 API operations, and functions that find the operations for a path."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import TypeAlias
from urllib.parse import unquote

from attrs import frozen

from imgwire_async.emulator import cors_origins_api as cors_origins
from imgwire_async.emulator import domain_api as domain
from imgwire_async.emulator import images_api as images
from imgwire_async.emulator import jobs_api as jobs
from imgwire_async.emulator import metrics_api as metrics
from imgwire_async.emulator.http import Response
from imgwire_async.emulator.paging import PAGE_FIELDS
from imgwire_async.emulator.state import ApiCall, State
from imgwire_async.emulator.validation import Field
from imgwire_async.emulator.validators import text

__all__ = ["OPERATIONS", "PREFIX", "Operation", "operations_at", "redirect_path"]

PREFIX = "/api/v1"

OperationHandler: TypeAlias = Callable[[State, ApiCall], Response]


@frozen
class Operation:
    """One API operation.

    `body` and `query` are the fields of the request body and the query. If `body` is None, the operation
    ignores the request body. `allows_client_key` says whether the operation may be called with the client
    key. All operations may be called with the server key.
    """

    name: str
    method: str
    path: str
    handler: OperationHandler
    body: tuple[Field, ...] | None = None
    query: tuple[Field, ...] = ()
    allows_client_key: bool = False

    def params(self, raw_path: str) -> dict[str, str] | None:
        """Return the decoded path parameters by name, or None if the operation has another path."""
        match = _pattern(self.path).fullmatch(raw_path)
        return None if match is None else {name: unquote(value) for name, value in match.groupdict().items()}


_TOKEN_FIELDS = (Field("upload_token", text(), nullable=True),)
_IMAGE_PATH, _JOB_PATH, _ORIGIN_PATH = (
    "/images/{image_id}",
    "/images/downloads/{image_download_job_id}",
    "/cors_origins/{cors_origin_id}",
)
_CREATE_PATH = "/images/standard_upload"

OPERATIONS = (
    Operation("images.list", "GET", "/images/", images.list_images, query=PAGE_FIELDS),
    Operation(
        "images.create",
        "POST",
        _CREATE_PATH,
        images.create,
        images.STANDARD_UPLOAD_FIELDS,
        _TOKEN_FIELDS,
        allows_client_key=True,
    ),
    Operation(
        "images.upload_via_url",
        "POST",
        "/images/upload_via_url",
        images.upload_via_url,
        images.UPLOAD_VIA_URL_FIELDS,
    ),
    Operation("images.create_upload_token", "POST", "/images/token", images.create_upload_token),
    Operation(
        "images.bulk_delete", "POST", "/images/bulk_delete", images.bulk_delete, images.IMAGE_IDS_FIELDS
    ),
    Operation(
        "images.create_bulk_download_job", "POST", "/images/downloads", jobs.create, images.IMAGE_IDS_FIELDS
    ),
    Operation("images.retrieve_bulk_download_job", "GET", _JOB_PATH, jobs.retrieve),
    Operation("images.retrieve", "GET", _IMAGE_PATH, images.retrieve, allows_client_key=True),
    Operation("images.delete", "DELETE", _IMAGE_PATH, images.delete),
    Operation("cors_origins.list", "GET", "/cors_origins/", cors_origins.list_origins, query=PAGE_FIELDS),
    Operation(
        "cors_origins.create", "POST", "/cors_origins/", cors_origins.create, cors_origins.PATTERN_FIELDS
    ),
    Operation("cors_origins.retrieve", "GET", _ORIGIN_PATH, cors_origins.retrieve),
    Operation("cors_origins.update", "PATCH", _ORIGIN_PATH, cors_origins.update, cors_origins.PATTERN_FIELDS),
    Operation("cors_origins.delete", "DELETE", _ORIGIN_PATH, cors_origins.delete),
    Operation("custom_domain.retrieve", "GET", "/custom_domain/", domain.retrieve),
    Operation("custom_domain.create", "POST", "/custom_domain/", domain.create, domain.HOSTNAME_FIELDS),
    Operation("custom_domain.delete", "DELETE", "/custom_domain/", domain.delete),
    Operation(
        "custom_domain.test_connection", "POST", "/custom_domain/test_connection", domain.test_connection
    ),
    Operation(
        "metrics.get_datasets", "GET", "/metrics/datasets", metrics.get_datasets, query=metrics.RANGE_FIELDS
    ),
    Operation("metrics.get_stats", "GET", "/metrics/stats", metrics.get_stats, query=metrics.RANGE_FIELDS),
)


def operations_at(raw_path: str) -> list[tuple[Operation, dict[str, str]]]:
    """Return the operations of all methods that have this path, each with its path parameters."""
    candidates = ((operation, operation.params(raw_path)) for operation in OPERATIONS)
    return [(operation, params) for operation, params in candidates if params is not None]


def redirect_path(raw_path: str) -> str | None:
    """Add or remove the slash at the end of a path. Return the new path if an operation has it, or None.

    Like FastAPI, the emulator redirects a client to the new path.
    """
    target = raw_path.rstrip("/") if raw_path.endswith("/") else f"{raw_path}/"
    return target if operations_at(target) else None


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", PREFIX + path))
