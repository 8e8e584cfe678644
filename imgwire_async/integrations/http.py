"""Turn errors of this package into HTTP responses, for any framework.

```python
try:
    image = await client.images.upload(body)
except ImgwireError as error:
    status, headers, body = response_for(error)
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

__all__ = ["ErrorResponse", "response_for"]


class ErrorResponse(NamedTuple):
    """An HTTP response: a status, headers, and a JSON body as described in RFC 9457."""

    status: int
    headers: dict[str, str]
    body: bytes


class _ResponseTemplate(NamedTuple):
    error_classes: tuple[type[ImgwireError], ...]
    status: HTTPStatus
    code: str
    detail: str


# `response_for` uses the first template that lists a class of the error, so subclasses come before base
# classes. A status of 4xx means that the sender of the request can correct the error. All other errors
# concern only the application and the service, so the text in `detail` mentions no key, plan or URL.
_TEMPLATES = (
    _ResponseTemplate((NotFoundError,), HTTPStatus.NOT_FOUND, "not_found", "There is no such image."),
    _ResponseTemplate(
        (UnsupportedImageError,),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_image",
        "This is not a picture of a supported type: JPEG, PNG, WebP, AVIF, GIF, HEIC, JPEG XL, TIFF, BMP, ICO.",
    ),
    _ResponseTemplate(
        (PayloadTooLargeError,),
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "too_large",
        "The picture is too large.",
    ),
    _ResponseTemplate(
        (UploadSizeError,),
        HTTPStatus.BAD_REQUEST,
        "wrong_length",
        "The body is shorter or longer than declared.",
    ),
    # `detail` is empty, because `response_for` replaces it with the message of the error.
    _ResponseTemplate((TransformationError,), HTTPStatus.BAD_REQUEST, "bad_transformation", ""),
    _ResponseTemplate(
        (ImageQuarantinedError,),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "quarantined",
        "The image service rejected this picture.",
    ),
    _ResponseTemplate(
        (UnprocessableEntityError,),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "unprocessable",
        "The image service rejected these values.",
    ),
    _ResponseTemplate(
        (ConflictError, SourceChangedError),
        HTTPStatus.CONFLICT,
        "conflict",
        "The request conflicts with an earlier change.",
    ),
    _ResponseTemplate(
        (RateLimitError,),
        HTTPStatus.SERVICE_UNAVAILABLE,
        "busy",
        "The image service is busy. Try again later.",
    ),
    _ResponseTemplate(
        (WaitTimeoutError,),
        HTTPStatus.GATEWAY_TIMEOUT,
        "not_ready",
        "The picture is not ready yet. Ask for it later.",
    ),
    _ResponseTemplate(
        (APITimeoutError, UploadStalledError),
        HTTPStatus.GATEWAY_TIMEOUT,
        "timeout",
        "The image service did not respond in time. Try again later.",
    ),
    _ResponseTemplate(
        (APIConnectionError, UploadConnectionError, UploadNotReplayableError, UploadUrlExpiredError),
        HTTPStatus.SERVICE_UNAVAILABLE,
        "unreachable",
        "The image service could not be reached. Try again later.",
    ),
    _ResponseTemplate(
        (ConfigurationError,),
        HTTPStatus.INTERNAL_SERVER_ERROR,
        "misconfigured",
        "The application is not set up for images.",
    ),
    _ResponseTemplate((ImgwireError,), HTTPStatus.BAD_GATEWAY, "service_failed", "The image service failed."),
)


# The maximum value of the header Retry-After, in seconds: one day.
_MAX_RETRY_AFTER = 86_400.0


def response_for(error: ImgwireError, *, retry_after: float = 5.0) -> ErrorResponse:
    """Return the HTTP response that an application sends if `error` is raised while it handles a request.

    The statuses are: 404 no such image, 415 unsupported picture, 413 too large, 400 wrong length or wrong URL
    rules, 422 values or picture rejected, 409 conflict, 503 rate limit or lost connection, 504 timeout, 500
    wrong configuration, and 502 for all other errors, such as a rejected API key. A 503 has a `Retry-After`
    header with the delay that the service asked for, else `retry_after` seconds.

    The body is `application/problem+json` with `title`, `status`, `detail` and a stable `code`. After a
    `WaitTimeoutError` the picture is stored in spite of the error, so the body also has `image_id`. After a
    `TransformationError` the body also has `faults`, and `detail` is the message of the error. The messages
    of all other errors are left out, because they could reveal the customer's plan at the service, or
    internal servers.
    """
    template = _template_for(error)
    problem: dict[str, object] = {
        "title": template.status.phrase,
        "status": int(template.status),
        "detail": template.detail,
        "code": template.code,
    }
    headers = {"Content-Type": "application/problem+json"}
    if template.status is HTTPStatus.SERVICE_UNAVAILABLE:
        requested = error.retry_after if isinstance(error, RateLimitError) else None
        seconds = min(retry_after if requested is None else requested, _MAX_RETRY_AFTER)
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if isinstance(error, TransformationError):
        problem |= {"detail": str(error), "faults": [str(fault) for fault in error.faults]}
    if isinstance(error, WaitTimeoutError) and error.image is not None:
        problem["image_id"] = error.image.id
    return ErrorResponse(int(template.status), headers, json.dumps(problem).encode())


def _template_for(error: ImgwireError) -> _ResponseTemplate:
    status = error.status if isinstance(error, APIStatusError | UploadRejectedError | DownloadError) else None
    # For a response of the storage, the CDN or a proxy, the client raises other classes than for a response
    # of the API. If the status means the same as from the API, use the template of the class in `equivalent`.
    equivalent: type[ImgwireError] | None = None
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        equivalent = PayloadTooLargeError
    elif status == HTTPStatus.NOT_FOUND and isinstance(error, DownloadError):
        equivalent = NotFoundError
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        equivalent = APIConnectionError
    error_class = equivalent or type(error)
    return next(template for template in _TEMPLATES if issubclass(error_class, template.error_classes))
