"""Errors of this package as HTTP answers, for any framework.

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
    """An HTTP answer: a status, headers, and a JSON body of the kind that RFC 9457 describes."""

    status: int
    headers: dict[str, str]
    body: bytes


class _Row(NamedTuple):
    kinds: tuple[type[ImgwireError], ...]
    status: HTTPStatus
    code: str
    detail: str


# The first row that fits counts, so the special stand before the general. 4xx is what whoever asked can change; the rest is
# between the application and the service, and says nothing about keys, plans or addresses.
_ROWS = (
    _Row((NotFoundError,), HTTPStatus.NOT_FOUND, "not_found", "There is no such image."),
    _Row(
        (UnsupportedImageError,),
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "unsupported_image",
        "This is no picture of a supported type: JPEG, PNG, WebP, AVIF, GIF, HEIC, JPEG XL, TIFF, BMP, ICO.",
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
        "The body is shorter or longer than was declared.",
    ),
    # The error's own text is the answer.
    _Row((TransformationError,), HTTPStatus.BAD_REQUEST, "bad_transformation", ""),
    _Row(
        (ImageQuarantinedError,),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "quarantined",
        "The image service refused this picture.",
    ),
    _Row(
        (UnprocessableEntityError,),
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "unprocessable",
        "The image service refused these values.",
    ),
    _Row(
        (ConflictError, SourceChangedError),
        HTTPStatus.CONFLICT,
        "conflict",
        "Something else changed it meanwhile.",
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
        "The image service did not answer in time. Try again later.",
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


_LONGEST = 86_400.0  # a day: nobody plans further ahead, whatever a header says


def answer_for(error: ImgwireError, *, retry_after: float = 5.0) -> ErrorAnswer:
    """Return the HTTP answer for an error, for those who sent the request that met it.

    404 no such image, 415 no supported picture, 413 too large, 400 wrong length or URL rules, 422 refused values or picture,
    409 conflict; 503 with `Retry-After` for rate limits and lost connections (the service's own wish, else `retry_after`
    seconds), 504 for timeouts, 500 for a wrong setting, 502 for everything else, a refused API key among it.

    The body is `application/problem+json` with `title`, `status`, `detail` and a stable `code`; `image_id` when the picture is
    stored all the same, `faults` for URL rules. It never holds the error's own text, which is for your log: nothing of the key,
    the plan or the addresses behind the application is told.
    """
    row = _row_of(error)
    problem: dict[str, object] = {
        "title": row.status.phrase,
        "status": int(row.status),
        "detail": row.detail,
        "code": row.code,
    }
    headers = {"Content-Type": "application/problem+json"}
    if row.status is HTTPStatus.SERVICE_UNAVAILABLE:
        wish = error.retry_after if isinstance(error, RateLimitError) else None
        seconds = min(retry_after if wish is None else wish, _LONGEST)
        headers["Retry-After"] = str(max(1, math.ceil(seconds)))
    if isinstance(error, TransformationError):
        problem |= {"detail": str(error), "faults": [str(fault) for fault in error.faults]}
    if isinstance(error, WaitTimeoutError) and error.image is not None:
        problem["image_id"] = error.image.id
    return ErrorAnswer(int(row.status), headers, json.dumps(problem).encode())


def _row_of(error: ImgwireError) -> _Row:
    status = error.status if isinstance(error, APIStatusError | UploadRejectedError | DownloadError) else None
    # What the storage, the CDN or a proxy on the way refuses means the same as when the API does.
    same: type[ImgwireError] | None = None
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        same = PayloadTooLargeError
    elif status == HTTPStatus.NOT_FOUND and isinstance(error, DownloadError):
        same = NotFoundError
    elif status == HTTPStatus.SERVICE_UNAVAILABLE:
        same = APIConnectionError
    kind = same or type(error)
    return next(row for row in _ROWS if issubclass(kind, row.kinds))
