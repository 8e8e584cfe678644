"""Walk through the members of an archive, in worker threads. All functions here block."""

from __future__ import annotations

from collections.abc import Generator, Iterator

import attrs

from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.sources import archive_tar, archive_zip_list
from imgwire_async.batch.sources.archive_contents import Contents, PackedMember
from imgwire_async.batch.sources.archive_file import (
    ArchiveFile,
    BrokenArchiveError,
    Compression,
    Kind,
    kind_of,
    open_archive,
    read_fully,
    what_it_is,
)
from imgwire_async.batch.sources.archive_members import TarFileMember, ZipFileMember
from imgwire_async.batch.sources.archive_names import hidden_reason, key_of, path_in_archive, unsafe_reason
from imgwire_async.batch.sources.archive_streams import READ, DecompressedStream, PlainStream
from imgwire_async.batch.sources.archive_tar import TarMember
from imgwire_async.batch.sources.archive_tar_header import BLOCK, BROKEN_HEADER, SHORT_HEADER, has_checksum
from imgwire_async.uploads.disk import Handle
from imgwire_async.uploads.item import UploadItem


@attrs.frozen(slots=False)
class _Named:
    """The key of a member that is uploaded, and its path in the archive."""

    key: str
    path: str


@attrs.frozen
class ArchiveItems:
    """The items of an archive. `contents` keeps what is read of a compressed TAR archive."""

    path: str
    prefix: str
    contents: Contents

    def read(self) -> Generator[Entry | Skip | None, None, None]:
        """Yield the items of the archive, and None where a step may end.

        Raises `OSError` if the archive cannot be opened, `ArchiveError` if it is broken, and
        `SourceChangedError` if it changes meanwhile.
        """
        file, handle = open_archive(self.path)
        try:
            head = read_fully(handle, BLOCK, 0)
            yield from self._read_kind(file, handle, head)
            file.require_unchanged(handle)
        except BrokenArchiveError as error:
            # A change is the reason for what looks like damage.
            file.require_unchanged(handle)
            raise file.error(str(error)) from error
        finally:
            handle.close()

    def _read_kind(self, file: ArchiveFile, handle: Handle, head: bytes) -> Iterator[Entry | Skip | None]:
        kind: Kind | None = kind_of(head)
        if kind is None and has_checksum(head.ljust(BLOCK, b"\0")):
            kind = "tar"
        if kind is None or kind == "zip":
            directory = archive_zip_list.find_directory(handle)
            if directory is not None:
                return self._read_zip(file, handle, directory)
            raise BrokenArchiveError(
                what_it_is(head) if kind is None else "is cut off: the list of its members is missing"
            )
        if kind == "tar":
            return self._read_tar(file, PlainStream(handle, file.path))
        return self._read_packed(file, handle, kind)

    def _read_zip(
        self, file: ArchiveFile, handle: Handle, directory: archive_zip_list.Directory
    ) -> Iterator[Entry | Skip | None]:
        for member in archive_zip_list.members(handle, directory):
            if member is None:
                yield None
                continue
            named = self._name(member.name, member.size, member.reason)
            if isinstance(named, Skip):
                yield named
                continue
            source = ZipFileMember(file, named.path, member)
            tag = f"crc={member.crc:08x} archive={file.stat.mtime_ns}"
            yield Entry(named.key, UploadItem(source), Identity(member.size, tag=tag))

    def _read_tar(self, file: ArchiveFile, stream: PlainStream) -> Iterator[Entry | Skip | None]:
        for member in archive_tar.members(stream):
            if member is None:
                yield None
                continue
            reason = member.reason
            if member.offset + member.size > file.stat.size:
                reason = "it is cut off with the archive"
            named = self._name(member.name, member.size, reason)
            if isinstance(named, Skip):
                yield named
                continue
            source = TarFileMember(file, named.path, member)
            yield Entry(named.key, UploadItem(source), _identity(member))

    def _read_packed(
        self, file: ArchiveFile, handle: Handle, compression: Compression
    ) -> Iterator[Entry | Skip | None]:
        stream = DecompressedStream(handle, file.path, compression)
        contents = self.contents
        contents.begin(file, compression)
        try:
            for member in archive_tar.members(stream):
                if member is None:
                    yield None
                    continue
                named = self._name(member.name, member.size, member.reason)
                if isinstance(named, Skip):
                    yield named
                    continue
                content = contents.keep(member, stream)
                source = PackedMember(file, named.path, member, contents, content)
                yield Entry(named.key, UploadItem(source), _identity(member))
            # The checksum of the compressed data is at its end.
            while stream.read(READ):
                yield None
        except BrokenArchiveError as error:
            if stream.position <= BLOCK and str(error) in {BROKEN_HEADER, SHORT_HEADER}:
                raise BrokenArchiveError(f"is a {compression} file, but no TAR archive is in it") from error
            raise

    def _name(self, name: str, size: int, reason: str | None) -> _Named | Skip:
        """Return the key of a member that is no folder. `reason` is why it cannot be uploaded, or None."""
        path = path_in_archive(name)
        key, key_reason = key_of(self.prefix, path)
        reason = unsafe_reason(name) or hidden_reason(path) or reason or key_reason
        if reason is None and not size:
            reason = "an empty file"
        return _Named(key, path) if reason is None else Skip(key, reason)


def _identity(member: TarMember) -> Identity:
    return Identity(member.size, tag=f"mtime={member.mtime}")
