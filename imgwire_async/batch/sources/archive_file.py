"""The file of an archive: open it, find its kind, and see that it stays the same. All functions block."""

from __future__ import annotations

import errno
import os
import stat
from typing import Literal, TypeAlias

import attrs

from imgwire_async.errors import ArchiveError, SourceChangedError
from imgwire_async.formatting import path_for_message
from imgwire_async.uploads.disk import FileStat, Handle, describe_change

Compression: TypeAlias = Literal["gzip", "bzip2", "xz", "zstd"]
Kind: TypeAlias = Literal["zip", "tar"] | Compression

_MAGIC: tuple[tuple[bytes, Compression], ...] = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"),
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
)
_ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_OTHER_ARCHIVES = ((b"Rar!", "a RAR archive"), (b"7z\xbc\xaf\x27\x1c", "a 7z archive"))


class BrokenArchiveError(Exception):
    """The content of an archive is wrong. The text completes the sentence "the archive ...".

    Other code raises an `ArchiveError` with the path instead.
    """


@attrs.frozen
class ArchiveFile:
    """The file of an archive as it was when its members were listed. `path` is absolute."""

    path: str
    stat: FileStat

    def open(self) -> Handle:
        """Open the file again. Raises `SourceChangedError` if it is another one now."""
        handle = Handle(self.path)
        try:
            self.require_unchanged(handle)
        except BaseException:
            handle.close()
            raise
        return handle

    def require_unchanged(self, handle: Handle) -> None:
        """Raise `SourceChangedError` if the open file was replaced or written to."""
        now = handle.read_stat()
        # The last field, `ctime_ns`, also changes with permissions and links.
        if now[:4] != self.stat[:4]:
            raise SourceChangedError(
                f"{path_for_message(self.path)}: the archive changed while it was read: {describe_change(now, self.stat)}. "
                "Run again once nothing writes to it."
            )

    def error(self, reason: str, member: str | None = None) -> ArchiveError:
        """Return the error for a broken archive, or for a broken member of it."""
        path = self.path if member is None else f"{self.path}/{member}"
        what = "the archive" if member is None else "the member"
        return ArchiveError(
            f"{path_for_message(path)}: {what} {reason}. Copy the archive from its origin again, or repair it, and run again."
        )


def open_archive(path: str) -> tuple[ArchiveFile, Handle]:
    """Open the file of an archive for the first time. Raises `OSError` if that is not possible."""
    try:
        handle = Handle(path)
    except FileNotFoundError as error:
        hint = " (~ is not expanded: pass os.path.expanduser(path))" if "/~" in path else ""
        error.strerror = f"There is no such archive{hint}"
        raise
    mode = handle.status.st_mode
    if not stat.S_ISREG(mode):
        handle.close()
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, "This is a folder: pass folder(path)", path)
        raise OSError(errno.EINVAL, "This is not a file: copy the archive to the disk first", path)
    return ArchiveFile(path, FileStat.of(handle.status)), handle


def read_fully(handle: Handle, size: int, position: int) -> bytes:
    """Return `size` bytes at a position, fewer only at the end of the file."""
    data = handle.read(size, position)
    while len(data) < size and (more := handle.read(size - len(data), position + len(data))):
        data += more
    return data


def kind_of(head: bytes) -> Kind | None:
    """Return the kind of an archive by its first 512 bytes. None: it may only have a ZIP at its end."""
    for magic, compression in _MAGIC:
        if head.startswith(magic):
            return compression
    if head.startswith(_ZIP_MAGIC):
        return "zip"
    if head[257:262] == b"ustar" or (len(head) == 512 and not any(head)):
        return "tar"
    return None


def what_it_is(head: bytes) -> str:
    """Return the end of the sentence "the archive ..." for a file of another kind."""
    for magic, name in _OTHER_ARCHIVES:
        if head.startswith(magic):
            return f"is {name}, which cannot be read: unpack it and pass the folder"
    return "is empty" if not head else "is neither a ZIP nor a TAR archive"


def absolute(path: str) -> str:
    """Return the absolute path, as a str."""
    return os.path.abspath(path)  # noqa: PTH100  # as a str
