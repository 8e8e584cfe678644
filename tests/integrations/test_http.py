"""`response_for` returns a helpful response for each error, and no response reveals a secret."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from typing import Any

import pytest
import samples

import imgwire_async
from imgwire_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    ConflictError,
    DecodeError,
    DownloadError,
    Fault,
    Image,
    ImageQuarantinedError,
    ImgwireError,
    NotFoundError,
    PayloadTooLargeError,
    PaymentRequiredError,
    PermissionDeniedError,
    RateLimitError,
    ServerError,
    SourceChangedError,
    TransformationError,
    UnprocessableEntityError,
    UnsafeURLError,
    UnsupportedImageError,
    UploadConnectionError,
    UploadNotReplayableError,
    UploadRejectedError,
    UploadSizeError,
    UploadStalledError,
    UploadUrlExpiredError,
    WaitTimeoutError,
)
from imgwire_async.integrations.http import response_for
from imgwire_async.protocol.codec import decode

RESPONSES: list[tuple[ImgwireError, int, str]] = [
    (NotFoundError("x", status=404), 404, "not_found"),
    (DownloadError("x", status=404), 404, "not_found"),
    (UnsupportedImageError("x"), 415, "unsupported_image"),
    (PayloadTooLargeError("x", status=413), 413, "too_large"),
    (UploadRejectedError("x", status=413), 413, "too_large"),
    (UploadSizeError("x"), 400, "wrong_length"),
    (TransformationError([Fault("widht", 3, "unknown rule", "width")]), 400, "bad_transformation"),
    (ImageQuarantinedError("x", record=None), 422, "quarantined"),
    (UnprocessableEntityError("x", status=422), 422, "unprocessable"),
    (ConflictError("x", status=409), 409, "conflict"),
    (SourceChangedError("x"), 409, "conflict"),
    (RateLimitError("x", status=429), 503, "busy"),
    (ServerError("x", status=503), 503, "unreachable"),
    (APIConnectionError("x"), 503, "unreachable"),
    (UploadConnectionError("x"), 503, "unreachable"),
    (UploadNotReplayableError("x"), 503, "unreachable"),
    (UploadUrlExpiredError("x"), 503, "unreachable"),
    (WaitTimeoutError("x", record=None), 504, "not_ready"),
    (APITimeoutError("x", which="deadline"), 504, "timeout"),
    (UploadStalledError("x"), 504, "timeout"),
    (ConfigurationError("x"), 500, "misconfigured"),
    (AuthenticationError("x", status=401), 502, "service_failed"),
    (PaymentRequiredError("x", status=402), 502, "service_failed"),
    (PermissionDeniedError("x", status=403), 502, "service_failed"),
    (BadRequestError("x", status=400), 502, "service_failed"),
    (APIStatusError("x", status=302), 502, "service_failed"),
    (ServerError("x", status=500), 502, "service_failed"),
    (UploadRejectedError("x", status=403), 502, "service_failed"),
    (DownloadError("x"), 502, "service_failed"),
    (DecodeError("x"), 502, "service_failed"),
    (UnsafeURLError("x"), 502, "service_failed"),
]


@pytest.mark.parametrize(("error", "status", "code"), RESPONSES, ids=lambda value: type(value).__name__)
def test_an_error_has_the_documented_status_and_code(error: ImgwireError, status: int, code: str) -> None:
    response = response_for(error)
    problem = json.loads(response.body)
    assert (response.status, problem["status"], problem["code"]) == (status, status, code)
    assert response.headers["Content-Type"] == "application/problem+json"
    assert problem["title"]
    assert problem["detail"]


ERRORS = [
    value
    for name in imgwire_async.__all__
    if inspect.isclass(value := getattr(imgwire_async, name)) and issubclass(value, ImgwireError)
]


@pytest.mark.parametrize("kind", ERRORS)
def test_each_error_class_has_a_response(kind: type[ImgwireError]) -> None:
    error: Any = kind.__new__(kind)
    # `response_for` reads these attributes.
    error.__dict__.update(status=400, faults=(), image=None)
    assert 400 <= response_for(error).status < 600


@pytest.mark.parametrize(
    "error", [row[0] for row in RESPONSES if not isinstance(row[0], TransformationError)]
)
def test_a_response_never_contains_the_text_of_the_error(error: ImgwireError) -> None:
    error.args = ("key sk_live_secret at https://internal.example/api",)
    assert b"secret" not in response_for(error).body
    assert b"internal" not in response_for(error).body


def test_a_response_for_wrong_url_rules_lists_the_faults() -> None:
    problem = json.loads(response_for(TransformationError([Fault("widht", 3, "unknown rule", "width")])).body)
    assert problem["faults"] == ["widht: unknown rule (did you mean 'width'?)"]


@pytest.mark.parametrize(
    ("delay", "header"), [(0.2, "1"), (12.2, "13"), (None, "7"), (float("inf"), "86400")]
)
def test_a_rate_limit_has_a_retry_after_in_whole_seconds(delay: float | None, header: str) -> None:
    error = RateLimitError("x", status=429)
    error.retry_after = delay
    assert response_for(error, retry_after=7).headers["Retry-After"] == header


def test_only_a_503_has_a_retry_after() -> None:
    assert {a.status for row in RESPONSES if "Retry-After" in (a := response_for(row[0])).headers} == {503}


def test_a_timeout_of_a_stored_picture_contains_its_id() -> None:
    image = decode(samples.api_response(samples.image()), Image)
    problem = json.loads(response_for(WaitTimeoutError("x", record=image, image=image)).body)
    assert problem["image_id"] == image.id


# Run in a process of its own, in which no framework can be imported.
WITHOUT_FRAMEWORKS = """
import sys
sys.modules.update(dict.fromkeys(["django", "fastapi", "starlette"]))
import imgwire_async.integrations.http
for name in ("django", "fastapi"):
    try:
        __import__(f"imgwire_async.integrations.{name}")
    except ImportError as error:
        print(error)
"""


def test_a_missing_framework_is_named_and_other_modules_work() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", WITHOUT_FRAMEWORKS], capture_output=True, text=True, timeout=30
    )
    assert (finished.returncode, finished.stderr) == (0, "")
    django, fastapi = finished.stdout.splitlines()
    assert "pip install 'imgwire-async[django]'" in django
    assert "pip install 'imgwire-async[fastapi]'" in fastapi
