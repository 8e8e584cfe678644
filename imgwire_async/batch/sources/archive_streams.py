"""The bytes of a TAR archive from its beginning, plain or decompressed. All functions block."""

from __future__ import annotations

import abc
import bz2
import importlib
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from imgwire_async.batch.sources.archive_file import BrokenArchiveError, Compression, read_fully
from imgwire_async.uploads.disk import Handle

# The number of bytes that are read from the disk, and that are decompressed, at once.
READ = 256 * 1024
# The maximum number of bytes that decompression of xz may need. A hostile archive could demand gigabytes.
_MAX_MEMORY = 256 * 2**20
CUT_OFF = "is cut off: its end is missing"


class ByteStream(abc.ABC):
    """Bytes that are read from the beginning to the end. `position` is the number of bytes so far."""

    def __init__(self, handle: Handle, label: str) -> None:
        self.handle: Handle = handle
        # The path of the archive for messages.
        self.label: str = label
        self.position: int = 0

    @abc.abstractmethod
    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""

    @abc.abstractmethod
    def skip(self, size: int) -> Iterator[None]:
        """Go forward by `size` bytes in short steps. Raises `BrokenArchiveError` if there are fewer."""

    @abc.abstractmethod
    def skip_padding(self, size: int) -> None:
        """Go forward by a few bytes, which may be missing at the end."""


class PlainStream(ByteStream):
    """The bytes of a file."""

    position: int

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        data = read_fully(self.handle, size, self.position)
        self.position += len(data)
        return data

    def skip(self, size: int) -> Iterator[None]:
        """Go forward without reading."""
        self.position += size
        if self.position > self.handle.status.st_size:
            raise BrokenArchiveError(CUT_OFF)
        return iter(())

    def skip_padding(self, size: int) -> None:
        """Go forward without reading."""
        self.position += size


class Decoder(Protocol):
    """The interface of the decompressors of `bz2` and `lzma`."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class GzipDecoder:
    """A decompressor of `zlib` with the interface of the others. `bits` are the window bits of `zlib`."""

    def __init__(self, bits: int = 31) -> None:
        self._decoder = zlib.decompressobj(bits)

    @property
    def eof(self) -> bool:
        """Whether the end of the compressed data was reached."""
        return self._decoder.eof

    @property
    def unused_data(self) -> bytes:
        """The bytes after the end."""
        return self._decoder.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Return up to `max_length` bytes. The input that is left is used by the next call."""
        return self._decoder.decompress(self._decoder.unconsumed_tail + data, max_length)


def _zstd_decoder() -> Decoder:
    try:
        module: Any = importlib.import_module("compression.zstd")
    except ImportError:
        raise BrokenArchiveError(
            "is compressed with zstd, which needs Python 3.14: decompress it first"
        ) from None
    decoder: Decoder = module.ZstdDecompressor()
    return decoder


_DECODERS: dict[Compression, tuple[Callable[[], Decoder], bytes]] = {
    "gzip": (GzipDecoder, b"\x1f\x8b"),
    "bzip2": (bz2.BZ2Decompressor, b"BZh"),
    "xz": (lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _MAX_MEMORY), b"\xfd7zXZ"),
    "zstd": (_zstd_decoder, b"\x28\xb5\x2f\xfd"),
}


class DecompressedStream(ByteStream):
    """The decompressed bytes of a file, also if it has several parts that were compressed separately."""

    position: int

    def __init__(self, handle: Handle, label: str, compression: Compression) -> None:
        super().__init__(handle, label)
        self._new_decoder, self._magic = _DECODERS[compression]
        self._decoder = self._new_decoder()
        self._input = b""
        self._file_position = 0

    def read(self, size: int) -> bytes:
        """Return `size` bytes, fewer only at the end."""
        parts: list[bytes] = []
        left = size
        while left and (data := self._read_some(min(left, READ))):
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def skip(self, size: int) -> Iterator[None]:
        """Decompress and drop bytes, in short steps."""
        while size:
            data = self._read_some(min(size, READ))
            if not data:
                raise BrokenArchiveError(CUT_OFF)
            size -= len(data)
            yield None

    def skip_padding(self, size: int) -> None:
        """Decompress and drop a few bytes."""
        self.read(size)

    def _read_some(self, size: int) -> bytes:
        """Return up to `size` bytes, no bytes at the end."""
        while not self._decoder.eof or self._begin_next_part():
            try:
                data = self._decoder.decompress(self._input, size)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise broken_data(error) from error
            self._input = b""
            if data:
                self.position += len(data)
                return data
            if not self._decoder.eof:
                self._input = self._read_file()
                if not self._input:
                    raise BrokenArchiveError(CUT_OFF)
        return b""

    def _begin_next_part(self) -> bool:
        """Begin with the next part of the file. Return False if there is none."""
        rest = self._decoder.unused_data.lstrip(b"\0")
        while len(rest) < len(self._magic) and (more := self._read_file()):
            rest = (rest + more).lstrip(b"\0")
        if not rest.startswith(self._magic):
            return False
        self._decoder = self._new_decoder()
        self._input = rest
        return True

    def _read_file(self) -> bytes:
        data = self.handle.read(READ, self._file_position)
        self._file_position += len(data)
        return data


def broken_data(error: Exception) -> BrokenArchiveError:
    """Return the error for compressed data that cannot be decompressed."""
    if "emory" in str(error):
        return BrokenArchiveError("needs too much memory to be decompressed")
    return BrokenArchiveError(f"has damaged compressed data ({error})")
