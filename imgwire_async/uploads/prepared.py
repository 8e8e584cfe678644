"""An open file whose upload is settled, and its bytes, held to what was declared."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import AsyncGenerator

import attrs

from imgwire_async.errors import ImgwireError, SourceChangedError, UploadSizeError
from imgwire_async.formatting import path_for_message, shortened
from imgwire_async.uploads.source import Source


def label(path: str | None, file_name: str) -> str:
    """Return what messages about an upload begin with: the path as it was given, else the name."""
    return shortened(file_name) if path is None else path_for_message(path)


@attrs.define(slots=False, eq=False)  # made for each file, and faster without slots
class PreparedUpload:
    """Everything about an upload that is settled before its first request, and what was read of the file since."""

    source: Source
    size: int
    file_name: str
    path: str | None  # as it was given
    mime_type: str | None
    sha256: str | None  # what the bytes must hash to while they are sent, when asked for
    is_read: bool = attrs.field(init=False, default=False)  # whether its bytes were asked for
    bytes_read: int = attrs.field(init=False, default=0)  # of all attempts
    # What the caller's source raised, when that is of our classes.
    source_error: ImgwireError | None = attrs.field(init=False, default=None)

    @property
    def label(self) -> str:
        """What messages begin with: the path as given, else the name."""
        return label(self.path, self.file_name)

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the file's bytes for one attempt.

        The last chunk leaves only when the source has ended there and its hash is right.
        """
        self.is_read = True
        if self.sha256 is None and (whole := await self.source.read_if_small()) is not None:
            self.bytes_read += len(whole)
            if whole:
                yield whole
            return
        digest = hashlib.sha256() if self.sha256 is not None else None
        size = 0
        held: bytes | None = None
        async with contextlib.aclosing(self._source_chunks()) as chunks:
            async for chunk in chunks:
                self.bytes_read += len(chunk)
                size += len(chunk)
                if size > self.size:
                    raise self._wrong_size(f"at least {size}")
                if held is not None:
                    yield held
                held = chunk
                if digest is not None:
                    digest.update(chunk)
        if size < self.size:
            raise self._wrong_size(f"only {size}")
        if digest is not None and digest.hexdigest() != self.sha256:
            raise SourceChangedError(
                f"{self.label}: the bytes changed between hashing and sending; upload the file again once nothing writes to it",
                file_name=self.file_name,
            )
        if held is not None:
            yield held

    async def _source_chunks(self) -> AsyncGenerator[bytes, None]:
        """Yield the source's bytes. An error of our classes that a caller's source raises is noted as theirs."""
        try:
            async with contextlib.aclosing(self.source.open()) as chunks:
                async for chunk in chunks:
                    yield chunk
        except SourceChangedError:  # told by our own sources
            raise
        except ImgwireError as error:
            self.source_error = error
            raise

    def _wrong_size(self, found: str) -> UploadSizeError:
        return UploadSizeError(
            f"{self.label}: {self.size} bytes were declared, the source gave {found}; the upload was broken off. "
            "Give the right content_length, or none.",
            file_name=self.file_name,
        )
