"""The members of archives as files to upload."""

from __future__ import annotations

import abc
import functools
from collections.abc import AsyncGenerator

from imgwire_async import disk_work
from imgwire_async.batch.sources.archive_file import ArchiveFile, read_fully
from imgwire_async.batch.sources.archive_tar import TarMember
from imgwire_async.batch.sources.archive_zip_list import ZipMember
from imgwire_async.batch.sources.archive_zip_read import ZipReader
from imgwire_async.formatting import quoted, short_repr
from imgwire_async.uploads.chunks import split
from imgwire_async.uploads.detect import base_name
from imgwire_async.uploads.disk import CHUNK_SIZE
from imgwire_async.uploads.sdk_source import BlockingReader, SDKSource, read_in_threads


class ArchiveMember(SDKSource):
    """A file in an archive. It can be uploaded as long as the archive stays the same."""

    def __init__(self, file: ArchiveFile, member: str, size: int) -> None:
        self.archive: str = file.path
        self.member: str = member
        self._file = file
        self._size = size

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {short_repr(self.member)} of {quoted(self.archive)}>"

    @property
    def name(self) -> str | None:
        """The last part of the path in the archive."""
        return base_name(self.member) or None

    @property
    def size(self) -> int:
        """The number of bytes, without compression."""
        return self._size

    @property
    def replayable(self) -> bool:
        """True: the archive can be read again."""
        return True

    @property
    def path(self) -> str:
        """The path of the archive and the path in it, for messages."""
        return f"{self.archive}/{self.member}"


class ReadableMember(ArchiveMember):
    """A file in an archive whose members can be read in any order."""

    def __init__(self, file: ArchiveFile, member: str, size: int) -> None:
        super().__init__(file, member, size)
        # All bytes of a small file, while its upload goes on.
        self._data: bytes | None = None

    @abc.abstractmethod
    def open_reader(self) -> BlockingReader:
        """Return a reader of the content. Blocks."""

    async def open(self) -> AsyncGenerator[bytes, None]:
        """Yield the bytes from the start."""
        if (data := await self.read_if_small()) is not None:
            for chunk in split(data):
                yield chunk
            return
        reading = read_in_threads(self.open_reader)
        try:
            async for chunk in reading:
                yield chunk
        finally:
            await reading.aclose()

    async def peek(self, size: int) -> bytes:
        """Return the first `size` bytes."""
        data = await self.read_if_small()
        return await super().peek(size) if data is None else data[:size]

    async def read_if_small(self) -> bytes | None:
        """Return all bytes of a file of at most `CHUNK_SIZE` bytes, else None."""
        if self._data is None and self._size <= CHUNK_SIZE:
            self._data = await disk_work.run(self._read_all)
        return self._data

    def _read_all(self) -> bytes:
        reader = self.open_reader()
        try:
            return b"".join(iter(functools.partial(reader.read, CHUNK_SIZE), b""))
        finally:
            reader.close()

    async def aclose(self) -> None:
        """Release the bytes that are kept."""
        self._data = None


class ZipFileMember(ReadableMember):
    """A file in a ZIP archive."""

    def __init__(self, file: ArchiveFile, path: str, member: ZipMember) -> None:
        super().__init__(file, path, member.size)
        self._member = member

    def open_reader(self) -> BlockingReader:
        """Return a reader of the content. Blocks."""
        return ZipReader(self._file, self._member)


class TarFileMember(ReadableMember):
    """A file in a TAR archive without compression."""

    def __init__(self, file: ArchiveFile, path: str, member: TarMember) -> None:
        super().__init__(file, path, member.size)
        self._offset = member.offset

    def open_reader(self) -> BlockingReader:
        """Return a reader of the content. Blocks."""
        return _RangeReader(self._file, self._offset, self._size, self.member)


class _RangeReader:
    """A reader of some bytes of an archive."""

    def __init__(self, file: ArchiveFile, offset: int, size: int, member: str) -> None:
        self._file = file
        self._position = offset
        self._left = size
        self._member = member
        self._handle = file.open()

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, no bytes at the end."""
        wanted = min(size, self._left)
        data = read_fully(self._handle, wanted, self._position)
        self._position += len(data)
        self._left -= len(data)
        if not self._left and data:
            self._file.require_unchanged(self._handle)
        if len(data) < wanted:
            self._file.require_unchanged(self._handle)
            raise self._file.error("is cut off", self._member)
        return data

    def close(self) -> None:
        """Close the archive."""
        self._handle.close()
