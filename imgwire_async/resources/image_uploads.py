"""Operations of `client.images` that create images: uploads, fetches of a public URL, upload tokens.

[contract 2, 6]
"""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    Awaitable,
    Callable,
    Generator,  # noqa: F401  # pyright: ignore[reportUnusedImport]  # for annotations of the blocking client
    Iterable,
)
from typing import TYPE_CHECKING, Literal

from imgwire_async import checks
from imgwire_async.messages import prefix_closed_client_error
from imgwire_async.models import Image, StandardUpload, SupportedMimeType, UploadToken
from imgwire_async.protocol.request import Request, Transport, drop_none
from imgwire_async.resources import arguments, waiting
from imgwire_async.resources.arguments import Id, Metadata, keyword_only, reject_mapping
from imgwire_async.resources.base import Resource
from imgwire_async.resources.uploading import checked_item, checked_token_source, upload_run, wait_function
from imgwire_async.results import UploadProgress, UploadResult
from imgwire_async.uploads.item import UploadItem, name_for_messages
from imgwire_async.uploads.requests import create_request
from imgwire_async.uploads.source import File
from imgwire_async.uploads.tokens import TokenProvider
from imgwire_async.uploads.upload import Upload


class ImageUploads(Resource):
    """The operations of `client.images` that create images."""

    if TYPE_CHECKING:

        async def retrieve(self, image_id: Id) -> Image: ...

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
        """Create a record and a presigned URL for its bytes, without sending any; `upload` does both.

        Use it when another program, such as a browser, sends the bytes with a PUT to `.upload_url` of the
        result. The PUT must carry exactly the declared `Content-Type` and `Content-Length`.

        Args:
            file_name: Name of the file, stored as the original file name.
            mime_type: Type to declare. None takes the type that belongs to the extension of `file_name`. An
                unknown extension declares no type.
            content_length: Length of the file in bytes. None declares no length.
            custom_metadata: Flat metadata. Keys are text, values are text, int, float or bool.
            hash_sha256: SHA-256 of the file as hexadecimal text.
            idempotency_key: Key under which the service recognizes a repeated create. None sends a new key
                per call, the same in each attempt. False sends none.
            purpose: Text of your own, stored with the image.
            upload_token: Token for a client key, as text or as a callable that returns it.
                None takes the client's `upload_token`.

        Returns:
            The new record in `.image` and the presigned URL in `.upload_url`.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has a value that the API cannot take.
            ConflictError: The API returned 409. The call is not retried then.

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
        tokens = TokenProvider(self._transport(), checked_token_source(upload_token))

        def create(token: str | None) -> Awaitable[StandardUpload]:
            return self._call(create_request(body, token))

        if not callable(tokens.source):
            return await tokens.call_with_token(create, 1)
        # The deadline covers the token callable, too.
        # It is called a second time when a lost response may have used up the first token.
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

        Without `wait` the record may still be PENDING: the service processes the picture after the upload.

        Args:
            file: A path, bytes, a binary file object (read from its current position), an async file, an
                object with an async `read(n)` or `read_chunk(n)`, an iterator of bytes, or an `UploadSource`.
            file_name: Name to store. None takes the name of the path or file object. Bytes without a name are
                called `upload`, with the extension of their type.
            mime_type: Type to declare. None detects it from the first bytes.
            content_length: Length in bytes, for a source that cannot tell it. More or fewer bytes are an
                error.
            custom_metadata: Flat metadata. Keys are text, values are text, int, float or bool.
            hash_sha256: SHA-256 of the file as hexadecimal text. True computes it before the upload and
                checks it while the bytes are sent.
            idempotency_key: Key under which the service recognizes a repeated upload. None sends a new key
                per call, the same in each attempt. False sends none.
            purpose: Text of your own, stored with the image.
            upload_token: Token for a client key, as text or as a callable that returns it. The
                callable is called right before the record is created. None takes the client's `upload_token`.
            wait: Seconds to wait after the upload until the image is READY. True waits 120 seconds, False
                does not wait.
            on_created: Called with the record before any byte is sent.
            on_progress: Called with an `UploadProgress` as bytes are sent.

        Returns:
            The image, READY if `wait` was given.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has a value that the API cannot take.
            UploadError: The file cannot be uploaded, or the storage failed. Its subclasses name the reason.
            APIStatusError: The API rejected the upload. Once a record exists, `.image` holds it.
            ImageQuarantinedError: The service put the image into QUARANTINE while `wait` ran.
            WaitTimeoutError: The image was not READY after the seconds of `wait`.

        [POST /images/standard_upload, PUT upload_url]
        """
        checks.plain_callable("on_created", on_created)
        checks.plain_callable("on_progress", on_progress)
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
        # An error report may list the variables of this frame.
        del upload_token
        until_ready = wait_function(self._wait_for_stored, wait)
        upload = Upload(
            self._transport_for_upload(item),
            checked_item(item),
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
        """Upload many files at the same time and yield a result when an upload ends.

        Results come in no particular order. A failed file does not end the others: check `.error` of its
        result, or call `.unwrap()`. Files are taken from `files` only when an upload can start. Uploading
        pauses while `concurrency` results wait to be read. Leaving the loop early stops the uploads.

        Args:
            files: An iterable or async iterable, which may be endless. Its items are anything that `upload`
                takes, or an `UploadItem` with arguments of its own.
            concurrency: Maximum number of uploads at the same time, 1 to 10,000.
            wait: Seconds to wait after each upload until the image is READY. True waits 120 seconds, False
                does not wait.
            purpose: Text of your own, stored with the images. An `UploadItem` may override it.
            custom_metadata: Flat metadata of the images. An `UploadItem` may override it.
            on_created: Called with each record before its bytes are sent.
            on_progress: Called with an `UploadProgress` as bytes of a file are sent.

        Yields:
            UploadResult: The result of one file, with its position in `files`.

        Raises:
            AuthenticationError: The API rejected the key (401). Every other file would fail the same way.
            PaymentRequiredError: The plan allows no more uploads (402).
            PermissionDeniedError: The key may not upload (403).
            ConfigurationError: A setting of the client cannot be used.
            Exception: The error of a callback, or of `files` itself.

        [POST /images/standard_upload, PUT upload_url]
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
        """Return the transport for an upload, named in the error of a closed client."""
        transport = self._transport()
        try:
            transport.require_usable()
        except RuntimeError as error:
            prefix_closed_client_error(error, f"upload of {name_for_messages(item)}")
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
        """Let the service fetch a picture from a public URL and return its record.

        Without `wait` the record may still be PENDING: the service fetches and processes the picture later.

        Args:
            url: An http or https URL that the service can reach, of at most 100 MiB.
            file_name: Name to store. None leaves it to the service.
            mime_type: Type to declare. None takes the type that belongs to the extension of `file_name`.
                Without `file_name`, or with an unknown extension, no type is declared.
            custom_metadata: Flat metadata. Keys are text, values are text, int, float or bool.
            idempotency_key: Key under which the service recognizes a repeated call. None sends a new key per
                call, the same in each attempt. False sends none.
            purpose: Text of your own, stored with the image.
            wait: Seconds to wait until the image is READY. True waits 120 seconds, False does not wait.

        Returns:
            The image, READY if `wait` was given.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has a value that the API cannot take.
            APIStatusError: The service cannot fetch the URL, or rejected the call.
            ImageQuarantinedError: The service put the image into QUARANTINE while `wait` ran.
            WaitTimeoutError: The image was not READY after the seconds of `wait`.

        [POST /images/upload_via_url]
        """
        reject_mapping(url, 'images.upload_via_url("https://...", file_name=...)')
        name = checks.optional_text("file_name", file_name, max_length=None)
        timeout = arguments.wait_timeout(wait)
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
            if timeout is None:
                return image
            transport = self._transport_for("wait_until_ready")
            return await waiting.wait_for_image(self, transport, image, timeout)

    async def _wait_for_stored(self, image: Image, timeout: float) -> Image:
        """Wait until a stored image is READY, and return it."""
        return await waiting.wait_for_stored(self, self._transport_for("wait_until_ready"), image, timeout)

    async def create_upload_token(self) -> UploadToken:
        """Create a token that lets a client key upload one file before `.expires_at`.

        Pass `.token` to the browser or app that uploads. The call is not retried after a lost response.
        Raises `PermissionDeniedError` for a client key. [POST /images/token]
        """
        return await self._call(Request("POST", "/images/token", UploadToken))
