"""Read the content of one member of a ZIP archive, and check its size and CRC. All functions block."""

from __future__ import annotations

import bz2
import lzma
import zlib

from imgwire_async.batch.sources.archive_file import ArchiveFile, BrokenArchiveError
from imgwire_async.batch.sources.archive_streams import Decoder, GzipDecoder, broken_data
from imgwire_async.batch.sources.archive_zip_list import (
    BZIP2,
    DEFLATED,
    LOCAL_HEADER_SIZE,
    STORED,
    ZipMember,
)

_READ = 128 * 1024
# The maximum dictionary of LZMA, which each of many readers may fill. It never needs to be larger than the
# content.
_MAX_DICTIONARY = 64 * 2**20
_CUT_OFF = "is cut off"


class ZipReader:
    """A reader of one member. It opens the archive again, so any number of members can be read at once."""

    def __init__(self, file: ArchiveFile, member: ZipMember) -> None:
        self._file = file
        self._member = member
        self._left = member.size
        self._crc = 0
        self._input = b""
        self._decoder: Decoder | None = None
        self._handle = file.open()
        try:
            self._position = self._begin()
            self._packed_left = member.packed
        except BrokenArchiveError as error:
            self._handle.close()
            raise file.error(str(error), member.name) from error
        except BaseException:
            self._handle.close()
            raise

    def _begin(self) -> int:
        """Read the header of the member. Return where its content begins."""
        member = self._member
        header = self._handle.read(LOCAL_HEADER_SIZE, member.offset)
        if len(header) < LOCAL_HEADER_SIZE or header[:4] != b"PK\3\4":
            raise BrokenArchiveError("has a broken header")
        sizes = int.from_bytes(header[26:28], "little") + int.from_bytes(header[28:30], "little")
        if int.from_bytes(header[8:10], "little") != member.method:
            raise BrokenArchiveError("has another method in its header than in the list of members")
        if member.method == DEFLATED:
            self._decoder = GzipDecoder(-15)
        elif member.method == BZIP2:
            self._decoder = bz2.BZ2Decompressor()
        return member.offset + LOCAL_HEADER_SIZE + sizes

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, no bytes at the end. Size and CRC are checked before the last bytes."""
        if not self._left:
            return b""
        try:
            data = self._decode(min(size, self._left))
            self._left -= len(data)
            self._crc = zlib.crc32(data, self._crc)
            if not self._left:
                self._check_end()
        except BrokenArchiveError as error:
            raise self._file.error(str(error), self._member.name) from error
        return data

    def _check_end(self) -> None:
        self._file.require_unchanged(self._handle)
        if self._member.method == STORED:
            has_more = self._packed_left > 0
        else:
            assert self._decoder is not None
            has_more = not self._decoder.eof and bool(self._decode_some(1))
        if has_more:
            raise BrokenArchiveError("has more bytes than the list of members says")
        if self._crc != self._member.crc:
            raise BrokenArchiveError("is damaged: its CRC is wrong")

    def _decode(self, size: int) -> bytes:
        """Return up to `size` bytes, at least one."""
        data = self._read_packed(size) if self._member.method == STORED else self._decode_some(size)
        if not data:
            raise BrokenArchiveError(_CUT_OFF)
        return data

    def _decode_some(self, size: int) -> bytes:
        """Return up to `size` bytes, no bytes at the end of the compressed data."""
        if self._decoder is None:
            self._decoder = self._lzma_decoder()
        while not self._decoder.eof:
            try:
                data = self._decoder.decompress(self._input, size)
            except (zlib.error, lzma.LZMAError, OSError, EOFError, ValueError) as error:
                raise broken_data(error) from error
            self._input = b""
            if data:
                return data
            self._input = b"" if self._decoder.eof else self._read_packed(_READ)
            if not self._input:
                break
        return b""

    def _read_packed(self, size: int) -> bytes:
        data = self._handle.read(min(size, self._packed_left), self._position)
        self._position += len(data)
        self._packed_left -= len(data)
        return data

    def _lzma_decoder(self) -> Decoder:
        """Return a decompressor with the properties at the beginning of the content."""
        head = self._read_packed(9)
        if len(head) < 9 or head[2:4] != b"\5\0" or head[4] >= 225:
            raise BrokenArchiveError("has damaged compressed data")
        rest, lc = divmod(head[4], 9)
        pb, lp = divmod(rest, 5)
        dictionary = min(int.from_bytes(head[5:9], "little"), self._member.size)
        if dictionary > _MAX_DICTIONARY:
            raise BrokenArchiveError("needs too much memory to be decompressed")
        options = {"id": lzma.FILTER_LZMA1, "dict_size": max(4_096, dictionary), "lc": lc, "lp": lp, "pb": pb}
        try:
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=[options])
        except (lzma.LZMAError, ValueError) as error:
            raise broken_data(error) from error

    def close(self) -> None:
        """Close the archive."""
        self._handle.close()
