"""Errors of an upload whose first request was made: what happened to which file, what is left of it, and what to do. Pure."""

from __future__ import annotations

from typing import TypeAlias

from imgwire_async.errors import (
    SourceChangedError,
    UploadConnectionError,
    UploadError,
    UploadNotReplayableError,
    UploadRejectedError,
    UploadSizeError,
    UploadStalledError,
    UploadUrlExpiredError,
)
from imgwire_async.models import Image
from imgwire_async.protocol.intermediaries import doubt_about
from imgwire_async.protocol.request import APIResponse, NoAnswerError
from imgwire_async.redaction import excerpt, redact
from imgwire_async.uploads.prepare import Plan
from imgwire_async.uploads.states import PutOutcome

Trouble: TypeAlias = APIResponse | NoAnswerError

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


def failed_put(
    plan: Plan, event: PutOutcome, trouble: Trouble, *, image: Image | None, puts: int, mints: int
) -> UploadError:
    """Return the error for the last of `puts` PUTs, after `mints` URLs; `image` is the record that stays."""
    tries = f"after {puts} PUT{'' if puts == 1 else 's'}"
    kept = f" The record {image.id} stays PENDING at the service." if image is not None else ""
    if isinstance(trouble, NoAnswerError):
        return _no_answer(plan, event, trouble, image=image, tries=tries, kept=kept)
    name, exchange = plan.file_name, trouble.exchange
    said = excerpt(redact(trouble.text)) or "no message"
    what = f"the storage answered HTTP {trouble.status} {tries}: {said}.{kept}"
    if event is PutOutcome.EXPIRED:
        return UploadUrlExpiredError(
            f"{plan.label}: every upload URL had expired ({mints} made): {what} {_TOO_LATE}",
            file_name=name,
            exchange=exchange,
            image=image,
        )
    doubt = doubt_about("the storage", trouble.headers, trouble.body)
    advice = doubt + (_LATER if event is PutOutcome.BUSY or doubt else _advice(trouble.status, trouble.text))
    return UploadRejectedError(
        f"{plan.label}: {what} {advice}",
        status=trouble.status,
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
    plan: Plan, event: PutOutcome, trouble: NoAnswerError, *, image: Image | None, tries: str, kept: str
) -> UploadError:
    failure = trouble.failure
    kind = UploadStalledError if event is PutOutcome.STALLED else UploadConnectionError
    if failure.fate == "slot":  # its reason says what to do
        return kind(f"{plan.label}: {failure.reason}.{kept}", file_name=plan.file_name, image=image)
    general = _STALLED if event is PutOutcome.STALLED else _NOT_REACHED
    advice = f"{failure.advice} Then upload the file again." if failure.advice else general
    return kind(
        f"{plan.label}: {failure.reason}, {tries}.{kept} {advice}",
        file_name=plan.file_name,
        exchange=trouble.exchange,
        image=image,
    )


def not_replayable(plan: Plan, first: UploadError) -> UploadNotReplayableError:
    """Return the error for a source that can be read only once, after `first` broke the upload off."""
    error = UploadNotReplayableError(
        f"{plan.label}: the upload broke off and its source can be read only once, so it was not repeated. "
        f"Give a path, bytes or a seekable file. What broke it: {first}",
        file_name=plan.file_name,
        exchange=first.exchange,
        image=first.image,
    )
    error.__cause__ = first
    return error


def same_url(plan: Plan, image: Image | None) -> UploadUrlExpiredError:
    """Return the error for a URL that the service gave again after the storage had refused it."""
    return UploadUrlExpiredError(
        f"{plan.label}: the service gave the same upload URL again after the storage had refused it. "
        "Upload the file again with another idempotency_key.",
        file_name=plan.file_name,
        image=image,
    )


def wrong_size(plan: Plan, found: str) -> UploadSizeError:
    """Return the error for a source that gave more or fewer bytes than declared."""
    return UploadSizeError(
        f"{plan.label}: {plan.size} bytes were declared, the source gave {found}; the upload was broken off. "
        "Give the right content_length, or none.",
        file_name=plan.file_name,
    )


def changed_since_hashing(plan: Plan) -> SourceChangedError:
    """Return the error for bytes that do not hash to what was declared."""
    return SourceChangedError(
        f"{plan.label}: the bytes changed between hashing and sending; upload the file again once nothing writes to it",
        file_name=plan.file_name,
    )
