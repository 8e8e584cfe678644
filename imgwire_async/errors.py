"""Every error this package raises on its own.

```
ImgwireError                               .exchange, .image
├── ConfigurationError (ValueError)        no key, a bad base URL ...
├── APIConnectionError                     no answer came
│   └── APITimeoutError (TimeoutError)     .which = "connect" | "attempt" | "deadline"
├── APIStatusError                         .status .error_type .message .request_id .headers .body
│   ├── BadRequestError 400          ├── ConflictError 409
│   ├── AuthenticationError 401      ├── PayloadTooLargeError 413
│   ├── PaymentRequiredError 402     ├── UnprocessableEntityError 422   .errors
│   ├── PermissionDeniedError 403    ├── RateLimitError 429             .retry_after
│   └── NotFoundError 404            └── ServerError 5xx
├── DecodeError                            the answer does not fit the model: .path .body
├── UnsafeURLError                         a URL that must not be followed; nothing was sent there
├── PaginationError                        the server repeats a page
├── UploadError                            .file_name
│   ├── UnsupportedImageError (ValueError)   no supported picture type
│   ├── UploadSizeError                    shorter or longer than declared
│   ├── SourceChangedError                 the file changed while it was read
│   ├── UploadNotReplayableError           a one-shot source would have to be sent again
│   ├── UploadConnectionError              storage unreachable, reset, TLS
│   ├── UploadStalledError (TimeoutError)  no progress for `stall` seconds
│   ├── UploadUrlExpiredError              the signed URL expired again and again
│   └── UploadRejectedError                storage refused the bytes: .status
├── WaitTimeoutError (TimeoutError)        not finished in time: .record
├── ImageQuarantinedError                  the service refused the picture
├── DownloadJobFailedError                 .record is the job
├── CustomDomainFailedError                .record is the domain
├── TransformationError (ValueError)       .faults
├── DownloadError                          cut, stalled, wrong length: .status
│   └── ArchiveError                       unsafe or broken archive
└── BulkDeleteError                        from `raise_if_failed()`: .result
```

Wrong arguments are plain `TypeError` and `ValueError`, raised before any request.
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

# For calls that change records and failed in a way that does not tell whether the service has changed them.
MAY_HAVE_SUCCEEDED = "The service may have carried out this call: check the records before you repeat it."

# The message of the `RuntimeError` for any use of a closed client.
CLIENT_CLOSED = "the client is closed; make a new one, or keep this one open for the life of the application"


def prefix_if_closed(error: RuntimeError, what: str) -> None:
    """Let an error of a closed client begin with what it ended: a call, and the upload or operation around it.

    Not with more: calls that wait for one key share its error.
    """
    said = str(error.args[0]) if error.args else ""
    if said.endswith(CLIENT_CLOSED) and said.removesuffix(CLIENT_CLOSED).count(": ") < 2:
        error.args = (escape_unprintable(f"{what}: {said}"),)


def _rebuild(cls: type[ImgwireError], args: tuple[Any, ...], state: Mapping[str, Any]) -> ImgwireError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def _without_page(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an error with a `body`; of a whole web page, which has no place in a queue or a log, the title."""
    body = state.get("body")
    return state | {"body": excerpt(body)} if isinstance(body, str) and is_html(body) else state


class ImgwireError(Exception):
    """The root of the tree. `exchange` is the call that failed, `image` the last known record, each None when there is none."""

    def __init__(self, message: str, *, exchange: Exchange | None = None, image: Image | None = None) -> None:
        # It may quote the service or a file's name, whose control characters must not reach a terminal or a log.
        super().__init__(escape_unprintable(message))
        self.exchange: Exchange | None = exchange
        self.image: Image | None = image

    def __reduce__(self) -> tuple[Any, ...]:
        # Not through __init__: subclasses take keywords, and the notes people added travel too.
        return _rebuild, (type(self), self.args, self._pickled())

    def _pickled(self) -> dict[str, Any]:
        """Return the attributes that go into a pickle."""
        return dict(self.__dict__)


class ConfigurationError(ImgwireError, ValueError):
    """A setting is missing or cannot be used; the message names it and where it can be given."""


class APIConnectionError(ImgwireError):
    """No answer came from the API: DNS, refused, reset, TLS.

    `sent` tells whether the request may have reached the service; False means that it certainly did nothing.
    """

    sent: bool = True


class APITimeoutError(APIConnectionError, TimeoutError):
    """A clock ran out; `which` says which one: "connect", "attempt" or "deadline"."""

    def __init__(
        self, message: str, *, which: Which, exchange: Exchange | None = None, image: Image | None = None
    ) -> None:
        super().__init__(message, exchange=exchange, image=image)
        self.which: Which = which


class APIStatusError(ImgwireError):
    """The API answered with a status that is no success.

    `message` is the server's own text, `error_type` its name for the error or None, `body` the answer as text
    (signed queries and keys removed), `headers` a case-insensitive mapping.
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
        return _without_page(super()._pickled())

    @property
    def request_id(self) -> str | None:
        """The service's id for this answer, or None when it named none."""
        return self.headers.request_id if isinstance(self.headers, Headers) else None


class BadRequestError(APIStatusError):
    """400: the request could not be understood. Keep `request_id` when you report it."""


class AuthenticationError(APIStatusError):
    """401: the key, upload token or bearer credential is not valid. A key callable was asked once more before."""


class PaymentRequiredError(APIStatusError):
    """402: no active subscription, or a plan or quota limit is reached."""


class PermissionDeniedError(APIStatusError):
    """403: this key may not do that, or not with that resource."""


class NotFoundError(APIStatusError):
    """404: no such resource in this environment."""


class ConflictError(APIStatusError):
    """409: the state at the service stands against it, e.g. an idempotency key or host name already taken."""


class PayloadTooLargeError(APIStatusError):
    """413: the request is too large: send fewer ids, or less metadata."""


class UnprocessableEntityError(APIStatusError):
    """422: the service refused the values; `errors` lists them (`loc`, `msg`, `type`), empty for a domain error."""

    errors: Sequence[ValidationError] = ()


class RateLimitError(APIStatusError):
    """429: too many requests; `retry_after` is the server's wish in seconds, or None when it gave none."""

    retry_after: float | None = None


class ServerError(APIStatusError):
    """5xx: the service failed, and again at every retry that the policy and the operation allow."""


class DecodeError(ImgwireError):
    """An answer does not fit the model.

    `path` is the place in the body (`$[3].id`), `body` the answer as text (signed queries and keys removed). `from_api` is False
    for a web page or other text that is no JSON, which the API never sends: whether the service has carried out the call is then unknown.
    """

    from_api: bool = True

    def __init__(
        self, message: str, *, path: str = "$", body: str = "", exchange: Exchange | None = None
    ) -> None:
        super().__init__(message, exchange=exchange)
        self.path: str = path
        self.body: str = body

    def _pickled(self) -> dict[str, Any]:
        return _without_page(super()._pickled())


class UnsafeURLError(ImgwireError):
    """A URL from the service, or a redirect, that must not be followed. Nothing was sent there."""


class PaginationError(ImgwireError):
    """The server's page numbers do not move forward, so going on would never end."""


class UploadError(ImgwireError):
    """An upload failed; `file_name` says which file, `image` the record that was made for it, if any."""

    def __init__(
        self,
        message: str,
        *,
        file_name: str | None = None,
        exchange: Exchange | None = None,
        image: Image | None = None,
    ) -> None:
        super().__init__(message, exchange=exchange, image=image)
        # No file system has longer names: a longer one is no name, and has no place in logs.
        self.file_name: str | None = (
            file_name if file_name is None or len(file_name) <= 255 else shortened(file_name)
        )


class UnsupportedImageError(UploadError, ValueError):
    """The bytes are none of the ten supported picture types; the message says what they are."""


class UploadSizeError(UploadError):
    """The source gave fewer or more bytes than were declared; the image is not complete."""


class SourceChangedError(UploadError):
    """The file changed while it was read, by its size, its modification time, or its hash: upload it again."""


class UploadNotReplayableError(UploadError):
    """The upload broke off and its source can be read only once; `__cause__` is the first failure."""


class UploadConnectionError(UploadError):
    """The storage could not be reached, or the connection broke, also at every retry; the record is still PENDING."""


class UploadStalledError(UploadError, TimeoutError):
    """No byte moved, or no answer came from the storage, for `stall` seconds."""


class UploadUrlExpiredError(UploadError):
    """Every signed upload URL, three at most, had expired before the bytes arrived."""


class UploadRejectedError(UploadError):
    """The storage refused the bytes; `status` is its HTTP status."""

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
    """An error about something that was waited for; `record` is its last known state."""

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
        if getattr(state.get("record"), "download_url", None) is not None:  # a job's is a secret
            state["record"] = attrs.evolve(state["record"], download_url=None)
        return state


class WaitTimeoutError(_RecordError, TimeoutError):
    """Waiting took longer than allowed; `record` (and `image`, for an image) is the last known state."""


class ImageQuarantinedError(_RecordError):
    """The service put the picture into quarantine: it will not be delivered."""


class DownloadJobFailedError(_RecordError):
    """The bulk download job ended as FAILED; `record` is the job. Its images may be gone, or not READY."""


class CustomDomainFailedError(_RecordError):
    """The custom domain ended as FAILED; `record` is the domain, with the DNS records that it needs."""


@attrs.frozen(slots=True)
class Fault:
    """One thing wrong with an image URL's rules: the rule as it was written, its value, why, and the nearest known name."""

    rule: str
    value: object
    reason: str
    suggestion: str | None = None

    def __str__(self) -> str:
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        # An unknown name is anybody's text: no line breaks and no novels in messages and logs.
        plain = len(self.rule) <= 60 and self.rule.isascii() and self.rule.isprintable()
        return escape_unprintable(f"{self.rule if plain else quoted(self.rule)}: {self.reason}{hint}")


_NAMED_FAULTS = 50  # a list of thousands of wrong widths would make a message of megabytes


class TransformationError(ImgwireError, ValueError):
    """Image URL rules that the CDN would refuse or ignore; `faults` lists all of them."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        named = [*map(str, faults[:_NAMED_FAULTS])]
        if len(faults) > _NAMED_FAULTS:
            named.append(f"and {len(faults) - _NAMED_FAULTS} more")
        super().__init__("; ".join(named))
        self.faults: tuple[Fault, ...] = tuple(faults)

    def _pickled(self) -> dict[str, Any]:
        # A faulty value may be anything, also what cannot travel: then its text goes instead, so that the error arrives.
        return super()._pickled() | {"faults": tuple(map(_travelling, self.faults))}


def _travelling(fault: Fault) -> Fault:
    import pickle  # such errors seldom travel, and it would be loaded with the client class

    try:
        pickle.dumps(fault)
    except Exception:  # noqa: BLE001  # whatever a foreign object raises
        return attrs.evolve(fault, value=type(fault.value).__name__)
    return fault


class DownloadError(ImgwireError):
    """A download was refused, cut, stalled or of the wrong length; `status` is the HTTP status, if there was an answer."""

    def __init__(self, message: str, *, status: int | None = None, exchange: Exchange | None = None) -> None:
        super().__init__(message, exchange=exchange)
        self.status: int | None = status


class ArchiveError(DownloadError):
    """An archive is broken or would write outside its target; nothing was left half extracted."""


class BulkDeleteError(ImgwireError):
    """Some images were not deleted, or it is not known; `result` is the `BulkDeleteResult` that says which."""

    def __init__(self, message: str, *, result: BulkDeleteResult) -> None:
        super().__init__(message)
        self.result: BulkDeleteResult = result
