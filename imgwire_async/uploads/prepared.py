"""A file that is ready to be sent, and the check of its bytes against the declared size and hash."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncGenerator

import attrs

from imgwire_async.errors import ImgwireError, SourceChangedError, UploadSizeError
from imgwire_async.formatting import path_for_message, shortened
from imgwire_async.uploads.source import Source


def label(path: str | None, file_name: str) -> str:
    """Return the name of an upload for messages: the path as the caller gave it, else the file name."""
    return shortened(file_name) if path is None else path_for_message(path)


# One object is created per file, and an object without `__slots__` is created faster.
@attrs.define(slots=False, eq=False)
class PreparedUpload:
    """An open file with the final arguments of its upload, and counters of the bytes read."""

    source: Source
    size: int
    file_name: str
    # The path as the caller gave it, or None for other sources.
    path: str | None
    mime_type: str | None
    # The computed SHA-256 that the sent bytes must have, or None if the caller did not want a computed hash.
    sha256: str | None
    # Whether an attempt has started to read the source.
    is_read: bool = attrs.field(init=False, default=False)
    # The number of bytes read in all attempts.
    bytes_read: int = attrs.field(init=False, default=0)
    # An `ImgwireError` that the caller's source raised, for example because the source uses another client.
    # The requests of this upload did not raise this error.
    source_error: ImgwireError | None = attrs.field(init=False, default=None)

    @property
    def label(self) -> str:
        """The name of the upload for messages: the path as the caller gave it, else the file name."""
        return label(self.path, self.file_name)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the file for one attempt.

        Size and hash are checked before the last chunk is yielded, so that the storage never gets a complete
        body with wrong bytes.
        """
        self.is_read = True
        if self.sha256 is None and (data := await self.source.read_if_small()) is not None:
            self.bytes_read += len(data)
            if data:
                yield data
            return
        digest = hashlib.sha256() if self.sha256 is not None else None
        size = 0
        last: bytes | None = None
        async with contextlib.aclosing(self._source_chunks()) as chunks:
            async for chunk in chunks:
                self.bytes_read += len(chunk)
                size += len(chunk)
                if size > self.size:
                    raise self._wrong_size_error(f"at least {size}")
                if last is not None:
                    yield last
                last = chunk
                if digest is not None:
                    digest.update(chunk)
        if size < self.size:
            raise self._wrong_size_error(f"only {size}")
        if digest is not None and digest.hexdigest() != self.sha256:
            raise SourceChangedError(
                f"{self.label}: the bytes changed between hashing and sending; upload the file again once nothing writes to it",
                file_name=self.file_name,
            )
        if last is not None:
            yield last

    async def _source_chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the source. If a user's source raises an `ImgwireError`, set `source_error`."""
        try:
            async with contextlib.aclosing(self.source.open()) as chunks:
                async for chunk in chunks:
                    yield chunk
        # `SourceChangedError` comes from the SDK's own sources, so it is no error of user code.
        except SourceChangedError:
            raise
        except ImgwireError as error:
            self.source_error = error
            raise

    def _wrong_size_error(self, found: str) -> UploadSizeError:
        return UploadSizeError(
            f"{self.label}: {self.size} bytes were declared, the source gave {found}; the upload was aborted. "
            "Pass the right content_length, or none.",
            file_name=self.file_name,
        )
