"""What a file system knows about one file, in one form for all protocols of fsspec. Pure functions."""

from __future__ import annotations

import html
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Literal, TypeAlias, cast
from urllib.parse import unquote

import attrs

from imgwire_async.batch.items import Identity

Kind: TypeAlias = Literal["file", "folder", "link", "other"]

# Names that file systems use, in the order in which they are preferred. A checksum is that of the bytes, and
# an ETag often is, so both stay equal when the same bytes are written again.
_CHECKSUMS = ("md5Hash", "content_md5", "crc32c", "CRC", "checksum", "blob_id")
_TAGS = ("ETag", "etag", "e_tag")
_TIMES = (
    "mtime",
    "LastModified",
    "last_modified",
    "modified",
    "updated",
    "Last-Modified",
    "modify",
    "modificationTime",
    "date_time",
    "created",
)


@attrs.frozen(slots=False)
class Found:
    """One entry of a listing.

    Args:
        path: The path by which the file system knows it.
        kind: What it is.
        size: The number of bytes, None if the listing does not say it.
        tag: A checksum, an ETag or a time, by which two versions of the file differ.
        mtime_ns: The modification time, if the file system has neither a checksum nor an ETag.
        etag: The ETag as the service wrote it, for requests with a condition.
    """

    path: str
    kind: Kind
    size: int | None = None
    tag: str | None = None
    mtime_ns: int | None = None
    etag: str | None = None

    @property
    def identity(self) -> Identity:
        """What tells two versions of the file apart."""
        return Identity(self.size, self.mtime_ns, tag=self.tag)


def found_of(info: Mapping[str, object]) -> Found:
    """Return the entry that a dictionary of fsspec describes."""
    path = str(info.get("name", ""))
    etag = _text(info, _TAGS)
    checksum = _text(info, _CHECKSUMS) or (None if etag is None else etag.removeprefix("W/").strip('"'))
    mtime_ns, time = _time(info) if checksum is None else (None, None)
    return Found(path, _kind(info, path), _size(info), checksum or time, mtime_ns, etag)


def _kind(info: Mapping[str, object], path: str) -> Kind:
    kind = info.get("type")
    if kind == "link" or info.get("islink") is True:
        return "link"
    if kind == "directory":
        return "folder"
    # A file whose type the file system does not say is one.
    return "file" if kind in {"file", None} or path.endswith("/") else "other"


def _size(info: Mapping[str, object]) -> int | None:
    size = info.get("size")
    return size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None


def _text(info: Mapping[str, object], names: tuple[str, ...]) -> str | None:
    settings = info.get("content_settings")
    for name in names:
        value = info.get(name)
        if value is None and name == "content_md5" and isinstance(settings, Mapping):
            value = cast("Mapping[str, object]", settings).get(name)
        if isinstance(value, bytes | bytearray) and value:
            return value.hex()
        if isinstance(value, str) and value:
            return value
        if isinstance(value, int) and not isinstance(value, bool):
            return f"{value:08x}"
    return None


def _time(info: Mapping[str, object]) -> tuple[int | None, str | None]:
    """Return the modification time in nanoseconds, or as a text if it is not a moment."""
    for name in _TIMES:
        value = info.get(name)
        if isinstance(value, datetime):
            moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
            return round(moment.timestamp() * 1e9), None
        if isinstance(value, int | float) and not isinstance(value, bool):
            return round(value * 1e9), None
        if isinstance(value, str | tuple) and value:
            return None, str(cast("object", value))
    return None, None


def below_root(found: Found, root: str, *, is_http: bool) -> str | None:
    """Return the path of an entry below the root of its source, None for the root and for foreign links.

    The path of a folder ends with `/` only if that of the file system does.
    """
    path = found.path
    start = f"{root}/" if root and not root.endswith("/") else root
    if not path.startswith(start):
        return None
    # Some file systems begin all paths with `/`.
    below = path[len(start) :] if start else path.removeprefix("/")
    if is_http:
        # A listing is a web page. It also has links that sort it, and links to other places.
        below = html.unescape(below)
        if any(char in below for char in "?#:"):
            return None
        below = unquote(below, errors="surrogateescape")
        if ".." in below.split("/"):
            return None
    return below or None
