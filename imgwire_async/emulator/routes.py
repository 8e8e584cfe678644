"""The table of the 20 API operations, and the lookup of a path in it."""

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
from imgwire_async.emulator.paging import PAGE
from imgwire_async.emulator.state import ApiCall, State
from imgwire_async.emulator.validation import Field
from imgwire_async.emulator.validators import text

__all__ = ["OPERATIONS", "PREFIX", "Operation", "operations_at", "redirect_path"]

PREFIX = "/api/v1"

OperationHandler: TypeAlias = Callable[[State, ApiCall], Response]


@frozen
class Operation:
    """One API operation.

    `body` and `query` are its fields. `body` None means that the operation ignores its body. `client_key`
    is True if a client key may call the operation.
    """

    name: str
    method: str
    path: str
    handler: OperationHandler
    body: tuple[Field, ...] | None = None
    query: tuple[Field, ...] = ()
    client_key: bool = False

    def params(self, raw_path: str) -> dict[str, str] | None:
        """Return the decoded path parameters by name, or None if the path does not match."""
        match = _pattern(self.path).fullmatch(raw_path)
        return None if match is None else {name: unquote(value) for name, value in match.groupdict().items()}


_TOKEN = (Field("upload_token", text(), nullable=True),)
_IMAGE, _JOB, _ORIGIN = (
    "/images/{image_id}",
    "/images/downloads/{image_download_job_id}",
    "/cors_origins/{cors_origin_id}",
)
_CREATE = "/images/standard_upload"

OPERATIONS = (
    Operation("images.list", "GET", "/images/", images.list_images, query=PAGE),
    Operation(
        "images.create", "POST", _CREATE, images.create, images.STANDARD_UPLOAD, _TOKEN, client_key=True
    ),
    Operation(
        "images.upload_via_url",
        "POST",
        "/images/upload_via_url",
        images.upload_via_url,
        images.UPLOAD_VIA_URL,
    ),
    Operation("images.create_upload_token", "POST", "/images/token", images.create_upload_token),
    Operation("images.bulk_delete", "POST", "/images/bulk_delete", images.bulk_delete, images.IMAGE_IDS),
    Operation("images.create_bulk_download_job", "POST", "/images/downloads", jobs.create, images.IMAGE_IDS),
    Operation("images.retrieve_bulk_download_job", "GET", _JOB, jobs.retrieve),
    Operation("images.retrieve", "GET", _IMAGE, images.retrieve, client_key=True),
    Operation("images.delete", "DELETE", _IMAGE, images.delete),
    Operation("cors_origins.list", "GET", "/cors_origins/", cors_origins.list_origins, query=PAGE),
    Operation("cors_origins.create", "POST", "/cors_origins/", cors_origins.create, cors_origins.PATTERN),
    Operation("cors_origins.retrieve", "GET", _ORIGIN, cors_origins.retrieve),
    Operation("cors_origins.update", "PATCH", _ORIGIN, cors_origins.update, cors_origins.PATTERN),
    Operation("cors_origins.delete", "DELETE", _ORIGIN, cors_origins.delete),
    Operation("custom_domain.retrieve", "GET", "/custom_domain/", domain.retrieve),
    Operation("custom_domain.create", "POST", "/custom_domain/", domain.create, domain.HOSTNAME),
    Operation("custom_domain.delete", "DELETE", "/custom_domain/", domain.delete),
    Operation(
        "custom_domain.test_connection", "POST", "/custom_domain/test_connection", domain.test_connection
    ),
    Operation("metrics.get_datasets", "GET", "/metrics/datasets", metrics.get_datasets, query=metrics.RANGE),
    Operation("metrics.get_stats", "GET", "/metrics/stats", metrics.get_stats, query=metrics.RANGE),
)


def operations_at(raw_path: str) -> list[tuple[Operation, dict[str, str]]]:
    """Return the operations with this path and any method, and their path parameters."""
    candidates = ((operation, operation.params(raw_path)) for operation in OPERATIONS)
    return [(operation, params) for operation, params in candidates if params is not None]


def redirect_path(raw_path: str) -> str | None:
    """Return the path of an operation that differs only by its last slash, or None.

    FastAPI redirects to such a path.
    """
    target = raw_path.rstrip("/") if raw_path.endswith("/") else f"{raw_path}/"
    return target if operations_at(target) else None


@cache
def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]+)", PREFIX + path))
