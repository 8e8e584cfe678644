"""Errors of an upload whose first request was made: what happened to which file, what is left of it, and what to do. Pure."""

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
from imgwire_async.uploads.states import PutOutcome

PutFailure: TypeAlias = APIResponse | NoResponseError

_STALLED = "Upload the file again; a slow network or source may need a larger Timeouts(stall=...)."
_NOT_REACHED = "Upload the file again; if it goes on, look at network, proxy and firewall."
_LATER = "Upload the file again later."
_NOT_AS_DECLARED = "The storage will not take these bytes as declared: check mime_type and size."
_CHANGED = "What arrived is not what the URL was signed for: check mime_type, and whether a proxy on the way changes URLs or headers."
_NOT_THE_STORAGE = (
    "Not the storage but somebody on the way to it answers so: a proxy, a firewall, or a login page of the network (captive "
    "portal). Let them allow that host, then upload the file again."
)
_TOO_LATE = "Check this machine's clock, or lower the concurrency so that bytes follow their URL sooner."


def put_error(
    file: PreparedUpload,
    outcome: PutOutcome,
    failure: PutFailure,
    *,
    image: Image | None,
    puts: int,
    urls_requested: int,
) -> UploadError:
    """Return the error for the last of `puts` PUTs, after requests for `urls_requested` upload URLs; `image` is the record that stays."""
    tries = f"after {puts} PUT{'' if puts == 1 else 's'}"
    kept = f" The record {image.id} stays PENDING at the service." if image is not None else ""
    if isinstance(failure, NoResponseError):
        return _no_answer(file, outcome, failure, image=image, tries=tries, kept=kept)
    name, exchange = file.file_name, failure.exchange
    said = excerpt(redact(failure.text)) or "no message"
    what = f"the storage answered HTTP {failure.status} {tries}: {said}.{kept}"
    if outcome is PutOutcome.EXPIRED:
        return UploadUrlExpiredError(
            f"{file.label}: every upload URL had expired ({urls_requested} made): {what} {_TOO_LATE}",
            file_name=name,
            exchange=exchange,
            image=image,
        )
    doubt = interception_warning("the storage", failure.headers, failure.body)
    advice = doubt + (
        _LATER if outcome is PutOutcome.BUSY or doubt else _advice(failure.status, failure.text)
    )
    return UploadRejectedError(
        f"{file.label}: {what} {advice}",
        status=failure.status,
        file_name=name,
        exchange=exchange,
        image=image,
    )


def _advice(status: int, said: str) -> str:
    """Return what to do after a refusal that will not change."""
    if 300 <= status < 400:  # the storage sends nobody elsewhere
        return _NOT_THE_STORAGE
    return _CHANGED if "SignatureDoesNotMatch" in said else _NOT_AS_DECLARED


def _no_answer(
    file: PreparedUpload,
    outcome: PutOutcome,
    error: NoResponseError,
    *,
    image: Image | None,
    tries: str,
    kept: str,
) -> UploadError:
    failure = error.failure
    kind = UploadStalledError if outcome is PutOutcome.STALLED else UploadConnectionError
    if failure.kind == "no_slot":  # its reason says what to do
        return kind(f"{file.label}: {failure.reason}.{kept}", file_name=file.file_name, image=image)
    general = _STALLED if outcome is PutOutcome.STALLED else _NOT_REACHED
    advice = f"{failure.advice} Then upload the file again." if failure.advice else general
    return kind(
        f"{file.label}: {failure.reason}, {tries}.{kept} {advice}",
        file_name=file.file_name,
        exchange=error.exchange,
        image=image,
    )


def not_replayable(file: PreparedUpload, first: UploadError) -> UploadNotReplayableError:
    """Return the error for a source that can be read only once, after `first` broke the upload off."""
    error = UploadNotReplayableError(
        f"{file.label}: the upload broke off and its source can be read only once, so it was not repeated. "
        f"Give a path, bytes or a seekable file. What broke it: {first}",
        file_name=file.file_name,
        exchange=first.exchange,
        image=first.image,
    )
    error.__cause__ = first
    return error


def repeated_url(file: PreparedUpload, image: Image | None) -> UploadUrlExpiredError:
    """Return the error for a URL that the service gave again after the storage had refused it."""
    return UploadUrlExpiredError(
        f"{file.label}: the service gave the same upload URL again after the storage had refused it. "
        "Upload the file again with another idempotency_key.",
        file_name=file.file_name,
        image=image,
    )


# The calls that an upload makes, and what ends its wait.
_CALLS = frozenset({"/images/standard_upload", "/images/{image_id}"})
_ENDS_OF_WAITS = (ImageQuarantinedError, WaitTimeoutError)


def concerns_one_file(error: ImgwireError) -> bool:
    """Return whether a call of one upload failed. An error of the caller's key is shared by all uploads that wait for it."""
    if isinstance(error, UploadError):  # begins with the path already
        return False
    return isinstance(error, _ENDS_OF_WAITS) or (error.exchange is not None and error.exchange.path in _CALLS)


def prefix_path(path: str, error: ImgwireError) -> None:
    """Let an error of the API begin with the path of the file that was being uploaded."""
    if error.args and not str(error.args[0]).startswith(path):
        error.args = (escape_unprintable(f"{path}: {error.args[0]}"), *error.args[1:])
