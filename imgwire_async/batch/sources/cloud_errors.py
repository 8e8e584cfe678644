"""Decide what an error of a file system means. Pure functions.

Each package for a protocol has errors of its own. So the status of a response decides, if there is one, and
then the class.
"""

from __future__ import annotations

import enum
import errno
from collections.abc import Iterator
from typing import Any, cast

from imgwire_async.batch_errors import BatchError
from imgwire_async.retry import is_transient


class Meaning(enum.Enum):
    """What an error means for the listing or the file."""

    GONE = "gone"
    FORBIDDEN = "forbidden"
    CHANGED = "changed"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


_BY_STATUS = {
    401: Meaning.FORBIDDEN,
    403: Meaning.FORBIDDEN,
    404: Meaning.GONE,
    410: Meaning.GONE,
    412: Meaning.CHANGED,
    416: Meaning.CHANGED,
}
_TRANSIENT_ERRNOS = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.EIO,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ETIMEDOUT,
        getattr(errno, "EREMOTEIO", errno.EIO),
    }
)
# Base classes of errors of connections, in packages that are imported only if they are used.
_CONNECTION_CLASSES = frozenset(
    {
        # aiohttp.
        "ClientConnectionError",
        "ClientPayloadError",
        # botocore.
        "EndpointConnectionError",
        "HTTPClientError",
        "IncompleteReadError",
        "ResponseStreamingError",
        "ResponseParserError",
        # azure-core.
        "ServiceRequestError",
        "ServiceResponseError",
        # fsspec and paramiko.
        "FSTimeoutError",
        "SSHException",
    }
)
# Base classes of errors that may have a response, of requests and gcsfs.
_REQUEST_CLASSES = frozenset({"RequestException", "HttpError"})


class ObjectChangedError(Exception):
    """A file is not the one that was listed."""


class OtherServerError(Exception):
    """A server redirects a request to another server."""


class RedirectedError(BatchError):
    """A listing needs a request that is redirected to another server."""


def meaning_of(error: BaseException) -> Meaning:
    """Return what an error of a file system means."""
    if isinstance(error, ObjectChangedError):
        return Meaning.CHANGED
    classes = {base.__name__ for base in type(error).__mro__}
    # The causes of such an error may have a status, which is not that of a response.
    if classes & _CONNECTION_CLASSES:
        return Meaning.TRANSIENT
    statuses = [*_statuses(error)]
    for status in statuses:
        if status in _BY_STATUS:
            return _BY_STATUS[status]
        if is_transient(status):
            return Meaning.TRANSIENT
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Meaning.GONE
    if isinstance(error, PermissionError):
        return Meaning.FORBIDDEN
    # S3 reports a timeout of a request with the status 400.
    if isinstance(error, TimeoutError | ConnectionError | EOFError):
        return Meaning.TRANSIENT
    if any(400 <= status < 500 for status in statuses):
        return Meaning.PERMANENT
    if isinstance(error, OSError) and error.errno in _TRANSIENT_ERRNOS:
        return Meaning.TRANSIENT
    return Meaning.TRANSIENT if classes & _REQUEST_CLASSES else Meaning.PERMANENT


def _statuses(error: BaseException) -> Iterator[int]:
    """Yield the statuses of the HTTP responses that an error and its causes know, the innermost last."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        status = _status(current)
        if status is not None:
            yield status
        current = current.__cause__


def _status(error: Any) -> int | None:
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):
        # botocore has the response as a dictionary.
        metadata: Any = cast("dict[str, Any]", response).get("ResponseMetadata") or {}
        return _valid(metadata.get("HTTPStatusCode"))
    for holder in (response, error):
        # The last one comes last, because it is deprecated in aiohttp.
        for name in ("status", "status_code", "code"):
            if (status := _valid(getattr(holder, name, None))) is not None:
                return status
    return None


def _valid(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600 else None
