"""Turn errors of this package into HTTP responses, for any framework.

```python
try:
    image = await client.images.upload(body)
except ImgwireError as error:
    status, headers, body = answer_for(error)
```
"""

from __future__ import annotations

import json
import math
from http import HTTPStatus
from typing import NamedTuple

from imgwire_async import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    ConflictError,
    DownloadError,
    ImageQuarantinedError,
    ImgwireError,
    NotFoundError,
    PayloadTooLargeError,
    RateLimitError,
    SourceChangedError,
    TransformationError,
    UnprocessableEntityError,
    UnsupportedImageError,
    UploadConnectionError,
    UploadNotReplayableError,
    UploadRejectedError,
    UploadSizeError,
    UploadStalledError,
    UploadUrlExpiredError,
    WaitTimeoutError,
)

__all__ = ["ErrorAnswer", "answer_for"]


class ErrorAnswer(NamedTuple):
    """An HTTP response: a status, headers, and a JSON body as described in RFC 9457."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Row(NamedTuple):
    error_classes: tuple[type[ImgwireError], ...]
    status: HTTPStatus
    code: str
    detail: str


# The first matching row counts, so special errors come before general ones. 4xx stands for errors that the
# sender of the request can correct. All other errors are between the application and the service; their texts
# mention no key, plan or URL.
_ROWS = (
    _Row((NotFoundError,), HTTPStatus.NOT_FOUND, "not_found", "There is no such image."),
    _Row(
        (UnsupportedImageError,),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_image",
        "This is not a picture of a supported type: JPEG, PNG, WebP, AVIF, GIF, HEIC, JPEG XL, TIFF, BMP, ICO.",
    ),
    _Row(
        (PayloadTooLargeError,),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        "The picture is too large.",
    ),
    _Row(
        (UploadSizeError,),
        HTTPStatus.BAD_REQUEST,
        "wrong_length",
        "The body is shorter or longer than declared.",
    ),
    # `answer_for` puts the error's own text here.
    _Row((TransformationError,), HTTPStatus.BAD_REQUEST, "bad_transformation", ""),
    _Row(
        (ImageQuarantinedError,),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "quarantined",
        "The image service rejected this picture.",
    ),
    _Row(
        (UnprocessableEntityError,),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "unprocessable",
        "The image service rejected these values.",
    ),
    _Row(
        (ConflictError, SourceChangedError),
        HTTPStatus.CONFLICT,
        "conflict",
        "Someone else changed the image meanwhile.",
    ),
    _Row(
        (RateLimitError,),
        HTTPStatus.SERVICE_UNAVAILABLE,
        "busy",
        "The image service is busy. Try again later.",
    ),
    _Row(
        (WaitTimeoutError,),
        HTTPStatus.GATEWAY_TIMEOUT,
        "not_ready",
        "The picture is not ready yet. Ask for it later.",
    ),
    _Row(
        (APITimeoutError, UploadStalledError),
        HTTPStatus.GATEWAY_TIMEOUT,
        "timeout",
        "The image service did not respond in time. Try again later.",
    ),
    _Row(
        (APIConnectionError, UploadConnectionError, UploadNotReplayableError, UploadUrlExpiredError),
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unreachable",
        "The image service could not be reached. Try again later.",
    ),
    _Row(
        (ConfigurationError,),
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "misconfigured",
        "The application is not set up for images.",
    ),
    _Row((ImgwireError,), HTTPStatus.BAD_GATEWAY, "service_failed", "The image service failed."),
)


# Maximum of the Retry-After header: one day in seconds.
_MAX_RETRY_AFTER = 86_400.0


def answer_for(error: ImgwireError, *, retry_after: float = 5.0) -> ErrorAnswer:
    """Return the HTTP response for `error`, for the sender of the request during which it was raised.

    The statuses are: 404 no such image, 415 unsupported picture, 413 too large, 400 wrong length or wrong URL
    rules, 422 values or picture rejected, 409 conflict, 503 rate limit or lost connection, 504 timeout, 500
    wrong configuration, and 502 for all other errors, such as a rejected API key. A 503 has a `Retry-After`
    header with the delay that the service asked for, else `retry_after` seconds.

    The body is `application/problem+json` with `title`, `status`, `detail` and a stable `code`. It has
    `image_id` when the picture is stored in spite of the error, and `faults` for URL rules. Except for URL
    rules it does not contain the error's own text, so that it reveals nothing about the key, the plan or the
    servers behind the application.
    """
    row = _row_for(error)
    problem: dict[str, object] = {
        "title": row.status.phrase,
        "status": int(row.status),
        "detail": row.detail,
        "code": row.code,
    }
    headers = {"Content-Type": "application/problem+json"}
    if row.status is HTTPStatus.SERVICE_UNAVAILABLE:
        requested = error.retry_after if isinstance(error, RateLimitError) else None
        seconds = min(retry_after if requested is None else requested, _MAX_RETRY_AFTER)
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if isinstance(error, TransformationError):
        problem |= {"detail": str(error), "faults": [str(fault) for fault in error.faults]}
    if isinstance(error, WaitTimeoutError) and error.image is not None:
        problem["image_id"] = error.image.id
    return ErrorAnswer(int(row.status), headers, json.dumps(problem).encode())


def _row_for(error: ImgwireError) -> _Row:
    status = error.status if isinstance(error, APIStatusError | UploadRejectedError | DownloadError) else None
    # These statuses mean the same whether they come from the API, the storage, the CDN or a proxy.
    equivalent: type[ImgwireError] | None = None
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        equivalent = PayloadTooLargeError
    elif status == HTTPStatus.NOT_FOUND and isinstance(error, DownloadError):
        equivalent = NotFoundError
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        equivalent = APIConnectionError
    kind = equivalent or type(error)
    return next(row for row in _ROWS if issubclass(kind, row.error_classes))
