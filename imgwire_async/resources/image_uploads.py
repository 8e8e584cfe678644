"""Operations of `client.images` that create images, from files or from a URL, and that create upload tokens.

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
        """Create the record of an image and a presigned URL, to which another program uploads the file.

        The other program, such as a browser, sends the file with a PUT request to `.upload_url` of the
        result. The request must have exactly the declared `Content-Type` and `Content-Length`. To upload a
        file from this program, call `upload`.

        Args:
            file_name: Name of the file, stored as the original file name.
            mime_type: MIME type to declare. None takes the type that belongs to the extension of `file_name`.
                If the extension is unknown, no type is declared.
            content_length: Length of the file in bytes. None declares no length.
            custom_metadata: Your metadata. Keys are text, values are text, int, float or bool.
            hash_sha256: SHA-256 of the file as hexadecimal text.
            idempotency_key: Key by which the service recognizes that a call is repeated. None creates a new
                key for this call, which all its attempts send. False sends no key.
            purpose: Any text, which is stored with the image.
            upload_token: Token that a client key needs, or a callable that returns it. None takes the
                `upload_token` of the client.

        Returns:
            The new record in `.image` and the presigned URL in `.upload_url`.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has a value that the API does not accept.
            ConflictError: The API returned the status 409, after which the call is not retried.

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
        # The operation has a deadline, so that a token callable that hangs is cancelled. When the response to
        # the first request is lost, the service may have used up the token. So the callable is called again.
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
        """Upload a picture to the storage, and return the record of the new image.

        The service processes the picture after the upload. So without `wait`, the status of the record may
        still be PENDING.

        Args:
            file: A path, bytes, a binary file object (read from its current position), an async file, an
                object with an async `read(n)` or `read_chunk(n)`, an iterator of bytes, or an `UploadSource`.
            file_name: Name to store. None takes the name of the path or file object. Without any name, it is
                `upload` with the extension that belongs to the MIME type.
            mime_type: MIME type to declare. None detects the type from the first bytes of the file.
            content_length: Length of the file in bytes, if `file` does not have a known length. The upload
                fails when the file has more or fewer bytes.
            custom_metadata: Your metadata. Keys are text, values are text, int, float or bool.
            hash_sha256: SHA-256 of the file as hexadecimal text. True computes it before the upload. The
                upload fails when the bytes that are sent do not match.
            idempotency_key: Key by which the service recognizes that an upload is repeated. None creates a
                new key for this call, which all its attempts send. False sends no key.
            purpose: Any text, which is stored with the image.
            upload_token: Token that a client key needs, or a callable that returns it. The callable is called
                right before the record is created. None takes the `upload_token` of the client.
            wait: Maximum time in seconds to wait after the upload until the image is READY. True waits at
                most 120 seconds, False does not wait.
            on_created: Called with the new record before the first byte is sent.
            on_progress: Called with an `UploadProgress` as bytes are sent.

        Returns:
            The record of the image. Unless `wait` is False, its status is READY.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has a value that the API does not accept.
            UploadError: The file cannot be uploaded, or the storage failed. Its subclasses name the reason.
            APIStatusError: The API rejected the upload. If the record was created before, `.image` has it.
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
        # Tools for error reports list the local variables of this frame, and the token is secret.
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
        """Upload many files at the same time, and yield the result of each upload when it ends.

        The results have no particular order. When an upload fails, the other uploads go on. Check `.error` of
        each result, or call `.unwrap()`, which raises the error. Files are taken from `files` only when an
        upload can start. No new upload starts while `concurrency` results have not been read. Leaving the
        loop early stops the uploads.

        Args:
            files: An iterable or async iterable, which may be endless. Its items are files as in `upload`, or
                `UploadItem` objects, which combine a file with its own arguments.
            concurrency: Maximum number of uploads at the same time, 1 to 10,000.
            wait: Maximum time in seconds to wait after each upload until the image is READY. True waits at
                most 120 seconds, False does not wait.
            purpose: Any text, which is stored with the images. An `UploadItem` may override it.
            custom_metadata: Metadata of the images, as in `upload`. An `UploadItem` may override it.
            on_created: Called with each new record before the first byte of its file is sent.
            on_progress: Called with an `UploadProgress` as bytes of a file are sent.

        Yields:
            UploadResult: The result of one file, with its position in `files`.

        Raises:
            AuthenticationError: The API rejected the API key (401). Every other file would fail the same way.
            PaymentRequiredError: The plan allows no more uploads (402).
            PermissionDeniedError: The API key may not upload (403).
            ConfigurationError: A setting of the client cannot be used.
            Exception: A callback or the iteration over `files` raised this error.

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
        """Return the transport of the client, for the upload of `item`.

        Raises `RuntimeError` when the client is closed. The message contains the name of the file.
        """
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
        """Make the service fetch a picture from a public URL, and return the record of the new image.

        The service fetches and processes the picture after this call. So without `wait`, the status of the
        record may still be PENDING.

        Args:
            url: An http or https URL that the service can reach. The picture may have at most 100 MiB.
            file_name: Name to store. With None, the service chooses a name.
            mime_type: MIME type to declare. None takes the type that belongs to the extension of `file_name`.
                Without `file_name`, or with an unknown extension, no type is declared.
            custom_metadata: Your metadata. Keys are text, values are text, int, float or bool.
            idempotency_key: Key by which the service recognizes that a call is repeated. None creates a new
                key for this call, which all its attempts send. False sends no key.
            purpose: Any text, which is stored with the image.
            wait: Maximum time in seconds to wait until the image is READY. True waits at most 120 seconds,
                False does not wait.

        Returns:
            The record of the image. Unless `wait` is False, its status is READY.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has a value that the API does not accept.
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
        """Wait after an upload until the image is READY, and return its record."""
        return await waiting.wait_for_stored(self, self._transport_for("wait_until_ready"), image, timeout)

    async def create_upload_token(self) -> UploadToken:
        """Create an upload token, with which a program that has only a client API key may upload one file.

        Pass `.token` of the result to that program, such as a browser or an app. The token is valid until
        `.expires_at`. If the response is lost, the call is not retried. This client needs a server key: with
        a client key, `PermissionDeniedError` is raised. [POST /images/token]
        """
        return await self._call(Request("POST", "/images/token", UploadToken))
