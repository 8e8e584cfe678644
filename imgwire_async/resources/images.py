"""Images: upload, list, retrieve, wait for, delete. What fetches them stands in `image_downloads`. [contract 2, 6]"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,  # noqa: F401  # pyright: ignore[reportUnusedImport]  # the twin's annotations are read here
    Iterable,
    Mapping,
    Sequence,
)
from typing import Literal

from imgwire_async import checks
from imgwire_async.errors import prefix_if_closed
from imgwire_async.models import Image, StandardUpload, SupportedMimeType, UploadToken
from imgwire_async.protocol.request import Request, Transport, drop_none, path_segment
from imgwire_async.resources import arguments, bulk, waiting
from imgwire_async.resources.arguments import Id, Metadata, keyword_only, reject_mapping
from imgwire_async.resources.base import OPAQUE
from imgwire_async.resources.image_downloads import ImageDownloads
from imgwire_async.resources.pages import page_params
from imgwire_async.resources.uploading import checked, token_source, upload_run, waiter
from imgwire_async.results import BulkDeleteResult, Page, UploadProgress, UploadResult
from imgwire_async.uploads.item import UploadItem, name_for_messages
from imgwire_async.uploads.requests import create_request, retrieve_request
from imgwire_async.uploads.source import File
from imgwire_async.uploads.tokens import TokenProvider
from imgwire_async.uploads.upload import Upload


class AsyncImages(ImageDownloads):
    """`client.images`: upload, find, wait for, fetch and delete images."""

    async def list(self, *, page: int = 1, limit: int | None = None) -> Page[Image]:
        """One page of images, at most `limit` (1..100, default 20) of them. The order is the service's. [GET /images/]"""
        return await self._page(_list(page_params(page, limit)))

    async def list_pages(
        self, *, page: int = 1, limit: int = 100, prefetch: int = 8
    ) -> AsyncGenerator[Page[Image], None]:
        """Every page from `page` on, in order; up to `prefetch` of them in flight.

        Pages are numbered, so deleting or adding meanwhile skips or repeats images: collect the ids first. [GET /images/]
        """
        async with self._pages(_list, page, limit, prefetch) as pages:
            async for each in pages:
                yield each

    async def list_all(
        self, *, page: int = 1, limit: int = 100, prefetch: int = 8
    ) -> AsyncGenerator[Image, None]:
        """Every image, in order, fetched page by page of `limit`.

        Pages are numbered, so deleting or adding meanwhile skips or repeats images: collect the ids first, then
        `bulk_delete`. [GET /images/]
        """
        async with self._pages(_list, page, limit, prefetch) as pages:
            async for each in pages:
                for image in each.data:
                    yield image

    async def retrieve(self, image_id: Id) -> Image:
        """Return one image as the service holds it now.

        Raises `NotFoundError` when this environment has no such id, or it was deleted. [GET /images/{image_id}]
        """
        return await self._call(retrieve_request(image_id))

    @keyword_only('images.create(file_name="hero.jpg", ...)')
    async def create(
        self,
        *,
        file_name: str,
        mime_type: SupportedMimeType | str | None = None,
        content_length: int | None = None,
        custom_metadata: Metadata | None = None,
        hash_sha256: str | None = None,
        idempotency_key: str | Literal[False] | None = None,
        purpose: str | None = None,
        upload_token: str | Callable[[], str | Awaitable[str]] | None = None,
    ) -> StandardUpload:
        """Make a record and a signed URL for its bytes, for whoever sends them; `upload` does both.

        `mime_type` not given: from the name's extension, else not declared. The PUT to `.upload_url` must carry exactly the
        declared `Content-Type` and the `Content-Length`. `content_length` is in bytes. A `ConflictError` (409) is not tried
        again. `upload_token`: text, or a plain or async callable that is asked for it; None takes the client's.
        [POST /images/standard_upload]
        """
        name = checks.nonempty_text("file_name", file_name, max_length=None)
        length = checks.optional_integer("content_length", content_length, minimum=0)
        body = drop_none(
            file_name=name,
            mime_type=arguments.mime_type(mime_type, name),
            content_length=length,
            custom_metadata=arguments.metadata(custom_metadata),
            hash_sha256=checks.optional_text("hash_sha256", hash_sha256),
            idempotency_key=arguments.idempotency_key(idempotency_key),
            purpose=checks.optional_text("purpose", purpose),
        )
        tokens = TokenProvider(self._transport(), token_source(upload_token))

        def create(token: str | None) -> Awaitable[StandardUpload]:
            return self._call(create_request(body, token))

        if not callable(tokens.source):
            return await tokens.call_with_token(create, 1)
        # The deadline counts for the callable, too. A token that a lost answer may have used up is asked for once more.
        async with self._operation("images.create"):
            return await tokens.call_with_token(create, 2)

    async def upload(
        self,
        file: File,
        *,
        file_name: str | None = None,
        mime_type: SupportedMimeType | str | None = None,
        content_length: int | None = None,
        custom_metadata: Metadata | None = None,
        hash_sha256: str | bool | None = None,
        idempotency_key: str | Literal[False] | None = None,
        purpose: str | None = None,
        upload_token: str | Callable[[], str | Awaitable[str]] | None = None,
        wait: bool | float = False,
        on_created: Callable[[Image], object] | None = None,
        on_progress: Callable[[UploadProgress], object] | None = None,
    ) -> Image:
        """Upload a picture straight to the storage and return its record.

        `file`: a path, bytes, a binary file object (from where it stands), an async file, an object with an async `read(n)`
        or `read_chunk(n)`, an iterator of bytes, or an `UploadSource`. The type is read from the bytes unless `mime_type` is
        given. `wait=True` (120 s, or a number of seconds) returns once the image is READY, or raises `ImageQuarantinedError`
        or `WaitTimeoutError`; without it the record may still say PENDING. `hash_sha256=True` hashes the bytes before and
        while they are sent. `idempotency_key` None: a fresh one per call, the same on every attempt; False: none.
        `on_created` is told the record before the bytes go, `on_progress` each step in bytes. `upload_token`, for a client key: text,
        or a plain or async callable, asked right before the record is made; None takes the client's.
        Raises `UploadError` kinds for the file and the storage, `APIStatusError` kinds for the API, each with `.image` once
        a record exists. [POST /images/standard_upload, PUT upload_url]
        """
        checks.callable_("on_created", on_created)
        checks.callable_("on_progress", on_progress)
        item = UploadItem(
            file,
            file_name=file_name,
            mime_type=mime_type,
            content_length=content_length,
            custom_metadata=custom_metadata,
            hash_sha256=hash_sha256,
            idempotency_key=idempotency_key,
            purpose=purpose,
            upload_token=upload_token,
        )
        del upload_token  # an error report may list the variables of this frame
        until_ready = waiter(self._wait_for_stored, wait)
        upload = Upload(
            self._transport_for_upload(item),
            checked(item),
            on_created=on_created,
            on_progress=on_progress,
            until_ready=until_ready,
        )
        return await upload.run()

    async def upload_many(
        self,
        files: Iterable[File | UploadItem] | AsyncIterable[File | UploadItem],
        *,
        concurrency: int = 32,
        wait: bool | float = False,
        purpose: str | None = None,
        custom_metadata: Metadata | None = None,
        on_created: Callable[[Image], object] | None = None,
        on_progress: Callable[[UploadProgress], object] | None = None,
    ) -> AsyncGenerator[UploadResult, None]:
        """Upload many files, `concurrency` at once, and give a result as each ends, in no particular order.

        `files`: an iterable or async iterable, perhaps endless, of anything that `upload` takes, or of `UploadItem`s with
        arguments of their own. It is pulled only as workers become free; when `concurrency` results wait unread, uploading
        pauses. One bad file never ends the others: look at `.error`, or call `.unwrap()`. What would meet every file (401,
        402 or 403 of the API, a bad setting), an error of a callback, and what `files` itself raises end the run.
        Leaving the loop early stops the work. [POST /images/standard_upload, PUT upload_url]
        """
        run = upload_run(
            self._transport_for("upload_many"),
            files,
            self._wait_for_stored,
            concurrency=concurrency,
            wait=wait,
            purpose=purpose,
            custom_metadata=custom_metadata,
            on_created=on_created,
            on_progress=on_progress,
        )
        async with run as results:
            async for result in results:
                yield result

    def _transport_for_upload(self, item: UploadItem) -> Transport:
        transport = self._transport()
        try:
            transport.require_usable()
        except RuntimeError as error:
            prefix_if_closed(error, f"upload of {name_for_messages(item)}")
            raise
        return transport

    async def upload_via_url(
        self,
        url: str,
        *,
        file_name: str | None = None,
        mime_type: SupportedMimeType | str | None = None,
        custom_metadata: Metadata | None = None,
        idempotency_key: str | Literal[False] | None = None,
        purpose: str | None = None,
        wait: bool | float = False,
    ) -> Image:
        """Let the service fetch a public URL (at most 100 MiB) and return the record, which may still be PENDING.

        `wait=True` (120 s, or a number of seconds) returns once the image is READY, or raises `ImageQuarantinedError` or
        `WaitTimeoutError`, both with `.image`. `url` is http or https; what the service cannot fetch is an
        `APIStatusError`. [POST /images/upload_via_url]
        """
        reject_mapping(url, 'images.upload_via_url("https://...", file_name=...)')
        name = checks.optional_text("file_name", file_name, max_length=None)
        patience = arguments.wait_timeout(wait)
        body = drop_none(
            url=arguments.http_url("url", url),
            file_name=name,
            mime_type=arguments.mime_type(mime_type, name),
            custom_metadata=arguments.metadata(custom_metadata),
            idempotency_key=arguments.idempotency_key(idempotency_key),
            purpose=checks.optional_text("purpose", purpose),
        )
        request = Request(
            "POST", "/images/upload_via_url", Image, json=body, repeatable="idempotency_key" in body
        )
        async with self._operation("images.upload_via_url"):
            image = await self._call(request)
            if patience is None:
                return image
            transport = self._transport_for("wait_until_ready")
            return await waiting.wait_for_image(self, transport, image, patience)

    async def wait_until_ready(
        self,
        image: Image | Id,
        *,
        timeout: float = 120.0,
        metadata: bool = False,
        on_update: Callable[[Image], object] | None = None,
    ) -> Image:
        """Return the image once it is READY, with `metadata=True` once its metadata is final, too.

        An `Image` that is READY already is returned without a request; an id always asks. Raises `ImageQuarantinedError`,
        or `WaitTimeoutError` after `timeout` seconds. `on_update` is called with each record seen. [GET /images/{image_id}]
        """
        limit = checks.positive_seconds("timeout", timeout)
        metadata = checks.flag("metadata", metadata)
        checks.callable_("on_update", on_update)
        if not isinstance(image, Image):
            path_segment("image", image)
        transport = self._transport_for("wait_until_ready")
        return await waiting.wait_for_image(
            self, transport, image, limit, metadata=metadata, on_update=on_update
        )

    async def _wait_for_stored(self, image: Image, timeout: float) -> Image:
        return await waiting.wait_for_stored(self, self._transport_for("wait_until_ready"), image, timeout)

    async def create_upload_token(self) -> UploadToken:
        """Make a token that lets a client key upload once before `.expires_at`; hand `.token` to the browser or app.

        Not repeated after a lost answer. Raises `PermissionDeniedError` for a client key. [POST /images/token]
        """
        return await self._call(Request("POST", "/images/token", UploadToken))

    async def delete(self, image_id: Id) -> Mapping[str, object]:
        """Delete an image for good and return the service's words, whose keys are not documented.

        Raises `NotFoundError` when there is none; only a repeat after a lost answer takes 404 for success, and returns an
        empty mapping. [DELETE /images/{image_id}]
        """
        return await self._call(
            Request("DELETE", "/images/{image_id}", OPAQUE, {"image_id": path_segment("image_id", image_id)})
        )

    async def bulk_delete(self, image_ids: Iterable[Id], *, chunk_size: int = 100) -> BulkDeleteResult:
        """Delete many images, `chunk_size` per request; a chunk that fails does not stop the others.

        The result tells which are `deleted`, which `failed` and why, and which are `unknown` because an answer was lost.
        Raises itself only when the very first chunk meets 401, 402 or 403, or when the deadline passes. [POST /images/bulk_delete]
        """
        size = checks.integer("chunk_size", chunk_size, minimum=1)
        ids = arguments.ids("image_ids", image_ids, spelling="images.bulk_delete([id, ...])")
        with bulk.noting_deleted(len(ids)) as deleted:
            async with self._operation("images.bulk_delete"):
                return await bulk.delete_in_chunks(ids, size, self._delete_chunk, deleted)

    async def _delete_chunk(self, ids: Sequence[str]) -> Mapping[str, object]:
        return await self._call(Request("POST", "/images/bulk_delete", OPAQUE, json={"image_ids": ids}))


def _list(params: Mapping[str, int]) -> Request[list[Image]]:
    return Request("GET", "/images/", list[Image], params=params)
