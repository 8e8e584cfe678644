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
    """Return the text that begins messages about an upload: the path as given, else the name."""
    return shortened(file_name) if path is None else path_for_message(path)


# An object is made for each file, and objects without slots are made faster.
@attrs.define(slots=False, eq=False)
class PreparedUpload:
    """An open file with the final arguments of its upload, and counters of the bytes read."""

    source: Source
    size: int
    file_name: str
    # As the caller gave it.
    path: str | None
    mime_type: str | None
    # The hash that the sent bytes must have, if the caller wanted one to be computed.
    sha256: str | None
    # Whether an attempt has started to read the source.
    is_read: bool = attrs.field(init=False, default=False)
    # Counted over all attempts.
    bytes_read: int = attrs.field(init=False, default=0)
    # An `ImgwireError` that the caller's source raised. It is not an error of this upload's own requests.
    source_error: ImgwireError | None = attrs.field(init=False, default=None)

    @property
    def label(self) -> str:
        """The text that begins messages: the path as the caller gave it, else the name."""
        return label(self.path, self.file_name)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes for one attempt.

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
                    raise self._wrong_size(f"at least {size}")
                if last is not None:
                    yield last
                last = chunk
                if digest is not None:
                    digest.update(chunk)
        if size < self.size:
            raise self._wrong_size(f"only {size}")
        if digest is not None and digest.hexdigest() != self.sha256:
            raise SourceChangedError(
                f"{self.label}: the bytes changed between hashing and sending; upload the file again once nothing writes to it",
                file_name=self.file_name,
            )
        if last is not None:
            yield last

    async def _source_chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of the source. An `ImgwireError` of a user's source is kept in `source_error`."""
        try:
            async with contextlib.aclosing(self.source.open()) as chunks:
                async for chunk in chunks:
                    yield chunk
        # The SDK's own sources raise this one.
        except SourceChangedError:
            raise
        except ImgwireError as error:
            self.source_error = error
            raise

    def _wrong_size(self, found: str) -> UploadSizeError:
        return UploadSizeError(
            f"{self.label}: {self.size} bytes were declared, the source gave {found}; the upload was aborted. "
            "Give the right content_length, or none.",
            file_name=self.file_name,
        )
