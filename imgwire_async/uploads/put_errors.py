"""Build the exceptions for an upload that failed after its first request. Pure functions.

A message names the file and says what happened, which record is left at the service, and what to do.
"""

from __future__ import annotations

from typing import TypeAlias

from imgwire_async.errors import (
    ImageQuarantinedError,
    ImgwireError,
    UploadConnectionError,
    UploadError,
    UploadNotReplayableError,
    UploadRejectedError,
    UploadStalledError,
    UploadUrlExpiredError,
    WaitTimeoutError,
)
from imgwire_async.models import Image
from imgwire_async.protocol.intermediaries import interception_warning
from imgwire_async.protocol.request import APIResponse, NoResponseError
from imgwire_async.redaction import escape_unprintable, excerpt, redact
from imgwire_async.uploads.prepared import PreparedUpload
from imgwire_async.uploads.states import PutOutcome, UploadState

PutFailure: TypeAlias = APIResponse | NoResponseError

_STALL_ADVICE = "A slow network or source may need a larger Timeouts(stall=...)."
_CONNECTION_ADVICE = "If uploads fail again, check network, proxy and firewall."
_DECLARATION_ADVICE = "The storage does not accept these bytes as declared: check mime_type and size."
_SIGNATURE_ADVICE = "The request is not the one that the URL was signed for: check mime_type, and whether a proxy changes URLs or headers."
_OTHER_SERVER_ADVICE = (
    "The storage never responds like this: the response is that of a proxy, a firewall, or a login page of the network "
    "(captive portal). Allow the host there."
)
_EXPIRED_ADVICE = (
    "Check the clock of this machine, and copy files from a slow source to a local disk before the upload."
)


def put_error(
    file: PreparedUpload,
    outcome: PutOutcome,
    failure: PutFailure,
    state: UploadState,
    image: Image | None,
    puts: int,
) -> UploadError:
    """Return the exception for an upload whose last PUT failed.

    `image` is the record at the service, and `puts` is the number of PUTs sent.
    """
    after_puts = f"after {puts} PUT{'' if puts == 1 else 's'}"
    record_left = _record_left(image, state)
    # A second upload without a check of the record may make a duplicate, so the message must not advise it.
    may_repeat = image is None or not state.is_record_unknown
    if isinstance(failure, NoResponseError):
        return _no_response_error(
            file,
            outcome,
            failure,
            image=image,
            after_puts=after_puts,
            record_left=record_left,
            may_repeat=may_repeat,
        )
    name, exchange = file.file_name, failure.exchange
    text = excerpt(redact(failure.text)) or "no message"
    description = f"the storage responded with HTTP {failure.status} {after_puts}: {text}.{record_left}"
    if outcome is PutOutcome.EXPIRED:
        return UploadUrlExpiredError(
            f"{file.label}: every upload URL had expired ({state.urls_requested} requested): {description} {_EXPIRED_ADVICE}",
            file_name=name,
            exchange=exchange,
            image=image,
        )
    advice = _advice(outcome, failure, may_repeat)
    return UploadRejectedError(
        f"{file.label}: {description} {advice}".rstrip(),
        status=failure.status,
        file_name=name,
        exchange=exchange,
        image=image,
    )


def _record_left(image: Image | None, state: UploadState) -> str:
    """Return a sentence about the record that the failed upload leaves at the service."""
    if image is None:
        return ""
    if state.is_record_unknown:
        return f" The record {image.id} may have its bytes: retrieve it before you upload the file again."
    return f" The record {image.id} stays {image.status} at the service."


def _advice(outcome: PutOutcome, failure: APIResponse, may_repeat: bool) -> str:
    """Return advice for a response with which the storage rejected the bytes. It may be empty."""
    warning = interception_warning("the storage", failure.headers, failure.body)
    if outcome is PutOutcome.BUSY or warning:
        return f"{warning}Upload the file again later." if may_repeat else warning
    # The storage sends no redirects, so another server has sent this one.
    if 300 <= failure.status < 400:
        return f"{_OTHER_SERVER_ADVICE} Then upload the file again." if may_repeat else _OTHER_SERVER_ADVICE
    return _SIGNATURE_ADVICE if "SignatureDoesNotMatch" in failure.text else _DECLARATION_ADVICE


def _no_response_error(
    file: PreparedUpload,
    outcome: PutOutcome,
    error: NoResponseError,
    *,
    image: Image | None,
    after_puts: str,
    record_left: str,
    may_repeat: bool,
) -> UploadError:
    failure = error.failure
    kind = UploadStalledError if outcome is PutOutcome.STALLED else UploadConnectionError
    if failure.kind == "no_slot":
        return kind(f"{file.label}: {failure.reason}.{record_left}", file_name=file.file_name, image=image)
    if failure.advice:
        advice = f"{failure.advice} Then upload the file again." if may_repeat else failure.advice
    else:
        advice = _STALL_ADVICE if outcome is PutOutcome.STALLED else _CONNECTION_ADVICE
        advice = f"Upload the file again. {advice}" if may_repeat else advice
    return kind(
        f"{file.label}: {failure.reason}, {after_puts}.{record_left} {advice}",
        file_name=file.file_name,
        exchange=error.exchange,
        image=image,
    )


def not_replayable_error(file: PreparedUpload, first: UploadError) -> UploadNotReplayableError:
    """Return the exception for a source that can be read only once, if the upload failed with `first`."""
    error = UploadNotReplayableError(
        f"{file.label}: the upload failed and its source can be read only once, so it was not repeated. "
        f"Pass a path, bytes or a seekable file. The failure: {first}",
        file_name=file.file_name,
        exchange=first.exchange,
        image=first.image,
    )
    error.__cause__ = first
    return error


def unusable_record_error(file: PreparedUpload, image: Image) -> UploadError:
    """Return the exception for a deleted record, or for a rejected upload URL that was returned again."""
    if image.deleted_at is not None:
        return UploadError(
            f"{file.label}: the image with this idempotency key was deleted. "
            "Upload the file again with another idempotency_key.",
            file_name=file.file_name,
            image=image,
        )
    return UploadUrlExpiredError(
        f"{file.label}: the service returned the same upload URL again after the storage had rejected it. "
        "Upload the file again with another idempotency_key.",
        file_name=file.file_name,
        image=image,
    )


# The paths of the requests that an upload sends.
_PATHS = frozenset({"/images/standard_upload", "/images/{image_id}"})
_WAIT_ERRORS = (ImageQuarantinedError, WaitTimeoutError)


def concerns_one_file(error: ImgwireError) -> bool:
    """Return whether an error is about one file only, so that the name of the file belongs in its message.

    This is true for errors of this upload's requests and of the wait for its record. But an exception of the
    API key callable, for example, is raised in all uploads that wait for the key.
    """
    # The message of an `UploadError` already names the file.
    if isinstance(error, UploadError):
        return False
    return isinstance(error, _WAIT_ERRORS) or (error.exchange is not None and error.exchange.path in _PATHS)


def prefix_path(path: str, error: ImgwireError) -> None:
    """Put the path of the uploaded file before the message of an error, unless the message begins with it."""
    message = str(error.args[0]) if error.args else ""
    if message and not message.startswith((f"{path}: ", f"upload of {path}: ")):
        error.args = (escape_unprintable(f"{path}: {message}"), *error.args[1:])
