"""`upload` and `upload_many`: the plan, the flow and the wait, each file under its own deadline."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Mapping
from os import PathLike
from pathlib import PurePath
from typing import Any

import attrs

from imgwire_async import checks
from imgwire_async.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    DecodeError,
    ImageQuarantinedError,
    ImgwireError,
    UploadError,
    WaitTimeoutError,
    name_closed,
)
from imgwire_async.formatting import shortened
from imgwire_async.mime import HEAD_BYTES
from imgwire_async.models import Image, StandardUpload
from imgwire_async.plain import plain_bool, plain_text
from imgwire_async.protocol.request import Transport, compact
from imgwire_async.redaction import escape_unprintable
from imgwire_async.resources import arguments
from imgwire_async.resources.arguments import Metadata
from imgwire_async.resources.upload_tokens import TokenProvider, TokenSource, require_source
from imgwire_async.results import UploadProgress
from imgwire_async.uploads.disk import PIECE
from imgwire_async.uploads.flow import Flow
from imgwire_async.uploads.kinds import base_name
from imgwire_async.uploads.many import FATAL, Run, Trace, UploadItem, require_many
from imgwire_async.uploads.prepare import Plan, planned
from imgwire_async.uploads.source import File

# All files that `upload_many` holds in memory together: small ones are read whole when they are looked at.
_STAGED_BYTES = 64 * 2**20

Create = Callable[[Mapping[str, object], str | None], Awaitable[StandardUpload]]
OnCreated = Callable[[Image], object] | None
OnProgress = Callable[[UploadProgress], object] | None


@attrs.frozen(kw_only=True, slots=False)  # made for each file, and faster without slots
class _Given:
    """What the caller said about one upload, checked."""

    file_name: str | None
    mime_type: str | None
    content_length: int | None
    custom_metadata: Mapping[str, Any] | None
    hash_sha256: str | bool | None
    idempotency_key: str | None
    own_key: bool
    purpose: str | None
    upload_token: TokenSource | None = attrs.field(repr=False)


def _checked(item: UploadItem) -> _Given:
    length, digest = item.content_length, item.hash_sha256
    hashed = None if digest is None else plain_bool(digest)
    return _Given(
        file_name=arguments.optional_text("file_name", item.file_name, longest=None),
        mime_type=arguments.token("mime_type", item.mime_type),
        content_length=None if length is None else arguments.whole("content_length", length, low=0),
        custom_metadata=arguments.metadata(item.custom_metadata),
        hash_sha256=arguments.optional_text("hash_sha256", digest) if hashed is None else hashed,
        idempotency_key=arguments.idempotency_key(item.idempotency_key),
        own_key=item.idempotency_key is None,
        purpose=arguments.optional_text("purpose", item.purpose),
        upload_token=require_source(item.upload_token),
    )


@attrs.define
class _Desk:
    """Mints URLs for one upload, always with the same body: the same key on every attempt."""

    body: dict[str, object]
    tokens: TokenProvider
    own_key: bool
    create: Create
    look: Callable[[str], Awaitable[Image]]
    renewed: bool = False

    def ask(self) -> Awaitable[None]:
        return self.tokens.ask()

    def token_is_used_up(self, error: AuthenticationError) -> bool:
        return self.tokens.is_used_up(error)

    @property
    def own_token(self) -> bool:
        return self.tokens.per_file

    def mint(self, *, fresh_key: bool) -> Awaitable[StandardUpload]:
        if fresh_key and not self.renewed:  # one fresh key, the same from then on
            self.renewed = True
            self.body = {**self.body, "idempotency_key": arguments.fresh_key()}
        return self.create(self.body, self.tokens.token())


def _path_name(file: object) -> str | None:
    """Return the base name of a path, None for anything else."""
    return (
        base_name(file)
        if isinstance(file, str)
        else getattr(file, "name", None)
        if isinstance(file, PurePath)
        else None
    )


def label_of(item: UploadItem) -> str:
    """Return what messages call a file before it is looked at."""
    name: object = item.file_name or _path_name(item.file)
    return shortened(plain_text(name)) if isinstance(name, str) else "a file"


# The calls that an upload makes, and what ends its wait.
_CALLS = frozenset({"/images/standard_upload", "/images/{image_id}"})
_ENDS_OF_WAITS = (ImageQuarantinedError, WaitTimeoutError)


def _is_of_a_file(error: ImgwireError) -> bool:
    """Return whether a call of one upload failed. An error of the caller's key is shared by all uploads that wait for it."""
    if isinstance(error, UploadError):  # begins with the path already
        return False
    return isinstance(error, _ENDS_OF_WAITS) or (error.exchange is not None and error.exchange.path in _CALLS)


def _begin_with(path: str, error: ImgwireError) -> None:
    """Let an error of the API begin with the path of the file that was being uploaded."""
    if error.args and not str(error.args[0]).startswith(path):
        error.args = (escape_unprintable(f"{path}: {error.args[0]}"), *error.args[1:])


def _body(plan: Plan, given: _Given) -> dict[str, object]:
    return compact(
        file_name=plan.file_name,
        mime_type=plan.mime_type,
        content_length=plan.size,
        custom_metadata=given.custom_metadata,
        hash_sha256=plan.sha256 or (given.hash_sha256 or None),
        idempotency_key=given.idempotency_key,
        purpose=given.purpose,
    )


@attrs.frozen(kw_only=True)
class Uploading:
    """What uploads need of their resource."""

    transport: Transport
    create: Create
    retrieve: Callable[[str], Awaitable[Image]]
    wait_until_ready: Callable[[Image, float], Awaitable[Image]]

    async def one(
        self,
        item: UploadItem,
        *,
        wait: float | None,
        on_created: OnCreated,
        on_progress: OnProgress,
        trace: Trace,
        stage: int = HEAD_BYTES,
    ) -> Image:
        """The record of the uploaded file. Errors carry it as soon as there is one; `trace` tells what was done."""
        given = _checked(item)
        label = label_of(item)
        try:
            async with self.transport.operation("images.upload", f"upload of {label}"):
                async with contextlib.AsyncExitStack() as held:
                    plan = await planned(
                        item.file,
                        held=held,
                        file_name=given.file_name,
                        mime_type=given.mime_type,
                        content_length=given.content_length,
                        sha256=given.hash_sha256,
                        on_created=on_created,
                        on_progress=on_progress,
                        stall=self.transport.options.timeout.stall,
                        stage=stage,
                    )
                    desk = _Desk(
                        _body(plan, given),
                        TokenProvider(self.transport, given.upload_token),
                        given.own_key,
                        self.create,
                        self.retrieve,
                    )
                    trace.flow = Flow(plan, desk, self.transport)
                    image = await trace.flow.run()
                return image if wait is None else await self._ready(image, wait)
        except ImgwireError as error:
            flow = trace.flow
            if flow is not None and error is not flow.foreign_error:
                error.image = error.image or flow.image
                if isinstance(item.file, str | PathLike) and _is_of_a_file(error):
                    _begin_with(flow.label, error)
            if isinstance(error, UploadError) and error.file_name is None:
                error.file_name = trace.file_name or given.file_name or _path_name(item.file)
            raise
        except RuntimeError as error:
            name_closed(error, f"upload of {label}")
            raise

    async def _ready(self, image: Image, wait: float) -> Image:
        try:
            return await self.wait_until_ready(image, wait)
        except (APIConnectionError, APIStatusError, DecodeError) as error:
            # Who reads only that a GET failed would upload the file once more.
            told = f"image {image.id} ({shortened(image.original_filename)}): the upload itself succeeded, but asking whether it is ready"
            error.args = (escape_unprintable(f"{told} failed; wait for it with its id. {error}"),)
            raise

    def many(
        self,
        files: Iterable[File | UploadItem] | AsyncIterable[File | UploadItem],
        *,
        concurrency: int,
        wait: bool | float,
        purpose: str | None,
        custom_metadata: Metadata | None,
        on_created: OnCreated,
        on_progress: OnProgress,
    ) -> Run[File | UploadItem]:
        """The results of all files, as each ends."""
        require_many(files)
        workers = arguments.whole("concurrency", concurrency, low=1, high=10_000)
        patience = arguments.waiting(wait)
        common = UploadItem(
            b"",
            purpose=arguments.optional_text("purpose", purpose),
            custom_metadata=arguments.metadata(custom_metadata),
        )
        checks.callable_("on_created", on_created)
        checks.callable_("on_progress", on_progress)
        stage = min(PIECE, _STAGED_BYTES // workers)

        def upload(file: File | UploadItem, trace: Trace) -> Awaitable[Image]:
            return self.one(
                _with_defaults(file, common),
                wait=patience,
                on_created=told,
                on_progress=heard,
                trace=trace,
                stage=stage,
            )

        run = Run(files, upload, concurrency=workers, fatal=self._is_fatal)
        told, heard = run.guarded(on_created), run.guarded(on_progress)
        return run

    def _is_fatal(self, error: Exception, trace: Trace) -> bool:
        """Return whether every file would meet this error: a key, a plan, a setting, or a client that was closed.

        What a file's own source raises meets that file alone, also when it comes from another client of ours. So does the
        refusal of an upload token of its own.
        """
        if self.transport.closed:
            return True
        flow = trace.flow  # none: no request was made
        if isinstance(error, AuthenticationError) and flow is not None and flow.own_token:
            return False
        return isinstance(error, FATAL) and flow is not None and error is not flow.foreign_error


def _with_defaults(file: File | UploadItem, common: UploadItem) -> UploadItem:
    if not isinstance(file, UploadItem):
        return UploadItem(file, purpose=common.purpose, custom_metadata=common.custom_metadata)
    if common.purpose is None and common.custom_metadata is None:
        return file
    return attrs.evolve(
        file,
        purpose=common.purpose if file.purpose is None else file.purpose,
        custom_metadata=common.custom_metadata if file.custom_metadata is None else file.custom_metadata,
    )
