"""The exceptions of this package. Wrong arguments raise `TypeError` or `ValueError`, before any request.

```
ImgwireError                               .exchange, .image
├── ConfigurationError (ValueError)        a setting is missing or wrong
├── APIConnectionError                     no response came
│   └── APITimeoutError (TimeoutError)     .which = "connect" | "attempt" | "deadline"
├── APIStatusError                         .status .error_type .message .request_id .headers .body
│   ├── BadRequestError 400          ├── ConflictError 409
│   ├── AuthenticationError 401      ├── PayloadTooLargeError 413
│   ├── PaymentRequiredError 402     ├── UnprocessableEntityError 422   .errors
│   ├── PermissionDeniedError 403    ├── RateLimitError 429             .retry_after
│   └── NotFoundError 404            └── ServerError 5xx
├── DecodeError                            the response does not match the model: .path .body
├── UnsafeURLError                         a URL is not safe to use; nothing was sent to it
├── PaginationError                        the page numbers do not increase
├── UploadError                            .file_name
│   ├── UnsupportedImageError (ValueError)   not a supported picture type
│   ├── UploadSizeError                    fewer or more bytes than declared
│   ├── SourceChangedError                 the file changed during the upload
│   ├── UploadNotReplayableError           a retry needs a source that can be read again
│   ├── UploadConnectionError              the connection to the storage failed or broke
│   ├── UploadStalledError (TimeoutError)  no progress for `Timeouts.stall` seconds
│   ├── UploadUrlExpiredError              all upload URLs expired
│   └── UploadRejectedError                the storage rejected the bytes: .status
├── WaitTimeoutError (TimeoutError)        a record was not ready in time: .record
├── ImageQuarantinedError                  the service rejected the picture: .record
├── DownloadJobFailedError                 a bulk download job failed: .record
├── CustomDomainFailedError                a custom domain failed: .record
├── TransformationError (ValueError)       wrong rules of an image URL: .faults
├── DownloadError                          a download was rejected, cut off or stalled: .status
│   └── ArchiveError                       an unsafe or broken archive
├── BulkDeleteError                        raised by `raise_if_failed()`: .result
└── BatchError                             a batch run cannot start or continue
    ├── JournalError                       its journal cannot be used: .path
    │   └── JournalLockedError             another run uses it: .pid, .host, .since
    └── BatchStoppedError                  it has reached a limit: .reason, .summary
```
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import attrs

from imgwire_async.exchange import Exchange, Headers
from imgwire_async.formatting import quoted, shortened
from imgwire_async.redaction import escape_unprintable, excerpt, is_html

if TYPE_CHECKING:
    from imgwire_async.models import CustomDomain, Image, ImageDownloadJob, ValidationError
    from imgwire_async.results import BulkDeleteResult

Which: TypeAlias = Literal["connect", "attempt", "deadline"]


def _rebuild(cls: type[ImgwireError], args: tuple[Any, ...], state: Mapping[str, Any]) -> ImgwireError:
    """Rebuild a pickled error from its `args` and attributes, without calling `__init__`."""
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _without_html(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes to pickle. If `body` is a web page, its title replaces the page."""
    body = state.get("body")
    return state | {"body": excerpt(body)} if isinstance(body, str) and is_html(body) else state


class ImgwireError(Exception):
    """The base class of all errors of this package.

    `exchange` describes the failed call, and `image` is the last known record of the image. Both may be None.
    """

    def __init__(self, message: str, *, exchange: Exchange | None = None, image: Image | None = None) -> None:
        # The message may contain a file name, or a message of the service, with control characters.
        super().__init__(escape_unprintable(message))
        self.exchange: Exchange | None = exchange
        self.image: Image | None = image

    def __reduce__(self) -> tuple[Any, ...]:
        # `_rebuild` does not call `__init__`, because subclasses have other parameters.
        return _rebuild, (type(self), self.args, self._pickled())

    def _pickled(self) -> dict[str, Any]:
        """Return the attributes to pickle."""
        return dict(self.__dict__)


class ConfigurationError(ImgwireError, ValueError):
    """A setting of the client is missing or not valid. The message names the setting."""


class APIConnectionError(ImgwireError):
    """The API sent no response. `sent` is False if the service certainly did not process the request."""

    sent: bool = True


class APITimeoutError(APIConnectionError, TimeoutError):
    """The API did not respond in time. `which` is the timeout: "connect", "attempt" or "deadline"."""

    def __init__(
        self, message: str, *, which: Which, exchange: Exchange | None = None, image: Image | None = None
    ) -> None:
        super().__init__(message, exchange=exchange, image=image)
        self.which: Which = which


class APIStatusError(ImgwireError):
    """The API sent a response with an error status, or with a redirect that is not followed.

    `message` is the error message of the service, and `error_type` the service's name for the error, or None.
    `body` is the body of the response as text without secrets. `headers` is a case-insensitive mapping.
    """

    def __init__(
        self,
        text: str,
        *,
        status: int,
        message: str = "",
        error_type: str | None = None,
        headers: Headers | None = None,
        body: str = "",
        exchange: Exchange | None = None,
        image: Image | None = None,
    ) -> None:
        super().__init__(text, exchange=exchange, image=image)
        self.status: int = status
        self.message: str = message
        self.error_type: str | None = error_type
        self.headers: Mapping[str, str] = Headers() if headers is None else headers
        self.body: str = body

    def _pickled(self) -> dict[str, Any]:
        return _without_html(super()._pickled())

    @property
    def request_id(self) -> str | None:
        """The service's id for this response, or None when the response has none."""
        return self.headers.request_id if isinstance(self.headers, Headers) else None


class BadRequestError(APIStatusError):
    """Status 400: the service could not understand the request. Mention `request_id` when you report it."""


class AuthenticationError(APIStatusError):
    """Status 401: the API key (also a second key from its callable) or the upload token is not valid."""


class PaymentRequiredError(APIStatusError):
    """Status 402: there is no active subscription, or a limit of the plan is reached."""


class PermissionDeniedError(APIStatusError):
    """Status 403: the API key does not allow this operation or this resource."""


class NotFoundError(APIStatusError):
    """Status 404: the environment has no such resource."""


class ConflictError(APIStatusError):
    """Status 409: the request conflicts with a record that exists, for example with the same host name."""


class PayloadTooLargeError(APIStatusError):
    """Status 413: the request is too large. Send fewer ids or less metadata."""


class UnprocessableEntityError(APIStatusError):
    """Status 422: the service rejected values. `errors` lists those that the response names."""

    errors: Sequence[ValidationError] = ()


class RateLimitError(APIStatusError):
    """Status 429: too many requests.

    `retry_after` is the delay in seconds that the service asks for, or None.
    """

    retry_after: float | None = None


class ServerError(APIStatusError):
    """Status 5xx: the service failed in all attempts that the policy and the operation allow."""


class DecodeError(ImgwireError):
    """A successful response does not match the model.

    `path` is the JSON path of the wrong value (`$[3].id`), and `body` the body as text without secrets.
    `from_api` is False if the body is not JSON, for example a web page. The API itself sends only JSON.
    """

    from_api: bool = True

    def __init__(
        self, message: str, *, path: str = "$", body: str = "", exchange: Exchange | None = None
    ) -> None:
        super().__init__(message, exchange=exchange)
        self.path: str = path
        self.body: str = body

    def _pickled(self) -> dict[str, Any]:
        return _without_html(super()._pickled())


class UnsafeURLError(ImgwireError):
    """A URL from the service, or of a redirect, is not safe to use. Nothing was sent to this URL."""


class PaginationError(ImgwireError):
    """The page numbers in the responses do not increase, so the iteration would never end."""


class UploadError(ImgwireError):
    """An upload failed.

    `file_name` is the name of the file, and `image` the record of this upload, or None.
    """

    def __init__(
        self,
        message: str,
        *,
        file_name: str | None = None,
        exchange: Exchange | None = None,
        image: Image | None = None,
    ) -> None:
        super().__init__(message, exchange=exchange, image=image)
        # File systems allow 255 characters. A longer text is not a file name, and is shortened for logs.
        self.file_name: str | None = (
            file_name if file_name is None or len(file_name) <= 255 else shortened(file_name)
        )


class UnsupportedImageError(UploadError, ValueError):
    """The file is not one of the ten supported picture types. The message says what the file seems to be."""


class UploadSizeError(UploadError):
    """The source returned fewer or more bytes than declared, so the upload is not complete."""


class SourceChangedError(UploadError):
    """The file was replaced or changed during the upload, or its hash does not match. Upload it again."""


class UploadNotReplayableError(UploadError):
    """The upload failed (see `__cause__`), and its source cannot be read again for a retry."""


class UploadConnectionError(UploadError):
    """The connection to the storage failed or broke in all attempts.

    If the message says that the bytes may have arrived, retrieve the record before you upload the file again.
    """


class UploadStalledError(UploadError, TimeoutError):
    """No byte or response came for `Timeouts.stall` seconds, or a nested upload got no slot in time."""


class UploadUrlExpiredError(UploadError):
    """All upload URLs expired (at most three are requested), or a rejected URL was returned again."""


class UploadRejectedError(UploadError):
    """The storage rejected the bytes. `status` is the HTTP status of its response."""

    def __init__(
        self,
        message: str,
        *,
        status: int,
        file_name: str | None = None,
        exchange: Exchange | None = None,
        image: Image | None = None,
    ) -> None:
        super().__init__(message, file_name=file_name, exchange=exchange, image=image)
        self.status: int = status


class _RecordError(ImgwireError):
    """The wait for a record failed. `record` is the last known state of the record."""

    def __init__(
        self,
        message: str,
        *,
        record: Image | ImageDownloadJob | CustomDomain | None = None,
        exchange: Exchange | None = None,
        image: Image | None = None,
    ) -> None:
        super().__init__(message, exchange=exchange, image=image)
        self.record: Image | ImageDownloadJob | CustomDomain | None = record if image is None else image

    def _pickled(self) -> dict[str, Any]:
        state = super()._pickled()
        if getattr(state.get("record"), "download_url", None) is not None:
            # The download URL of a job is a secret, which a pickle must not contain.
            state["record"] = attrs.evolve(state["record"], download_url=None)
        return state


class WaitTimeoutError(_RecordError, TimeoutError):
    """The wait for a record took too long. `record` is its last known state."""


class ImageQuarantinedError(_RecordError):
    """The service has put the image into quarantine and will not deliver it. `record` is the image."""


class DownloadJobFailedError(_RecordError):
    """The bulk download job `record` failed, perhaps because images are deleted or not `READY`."""


class CustomDomainFailedError(_RecordError):
    """The custom domain has the status `FAILED`.

    `record` is the domain, with the DNS records that it needs.
    """


@attrs.frozen(slots=True)
class Fault:
    """One mistake in the rules of an image URL.

    `rule` is the name of the rule, and `suggestion` is the most similar known name, or None.
    """

    rule: str
    value: object
    reason: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        # The name of an unknown rule may be any text, even a long text or a text with line breaks.
        is_short = len(self.rule) <= 60 and self.rule.isascii() and self.rule.isprintable()
        return escape_unprintable(f"{self.rule if is_short else quoted(self.rule)}: {self.reason}{hint}")


# The maximum number of faults in a message. Thousands of wrong widths would make a message of megabytes.
_MAX_FAULTS_SHOWN = 50


class TransformationError(ImgwireError, ValueError):
    """The CDN would reject or ignore transformation rules of an image URL. `faults` lists all mistakes."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        texts = [*map(str, faults[:_MAX_FAULTS_SHOWN])]
        if len(faults) > _MAX_FAULTS_SHOWN:
            texts.append(f"and {len(faults) - _MAX_FAULTS_SHOWN} more")
        super().__init__("; ".join(texts))
        self.faults: tuple[Fault, ...] = tuple(faults)

    def _pickled(self) -> dict[str, Any]:
        # A wrong value may be an object that cannot be pickled. It is replaced by the name of its class.
        return super()._pickled() | {"faults": tuple(map(_picklable, self.faults))}


def _picklable(fault: Fault) -> Fault:
    # Imported here, because such errors are rarely pickled and importing the client class has to stay fast.
    import pickle

    try:
        pickle.dumps(fault)
    except Exception:  # noqa: BLE001  # the object may raise anything
        return attrs.evolve(fault, value=type(fault.value).__name__)
    return fault


class DownloadError(ImgwireError):
    """A download was rejected, cut off or stalled. `status` is the HTTP status, None without a response."""

    def __init__(self, message: str, *, status: int | None = None, exchange: Exchange | None = None) -> None:
        super().__init__(message, exchange=exchange)
        self.status: int | None = status


class ArchiveError(DownloadError):
    """An archive is broken, or would write outside its target folder. No partly extracted files remain."""


class BulkDeleteError(ImgwireError):
    """It is not certain that all images were deleted. `result` is the `BulkDeleteResult` with their ids."""

    def __init__(self, message: str, *, result: BulkDeleteResult) -> None:
        super().__init__(message)
        self.result: BulkDeleteResult = result
