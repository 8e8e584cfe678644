"""The items that a source passes to a batch run."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from typing import Literal, Protocol
from urllib.parse import urlsplit

import attrs

from imgwire_async import checks
from imgwire_async.formatting import short_repr
from imgwire_async.models import SupportedMimeType
from imgwire_async.redaction import Secret
from imgwire_async.resources import arguments
from imgwire_async.uploads.detect import base_name
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.source import File

# One object is created for each file of a run, and an object without `__slots__` is created faster.
# Queues of files contain at most about so many bytes, besides the number of files.
MAX_BYTES = 16 * 2**20


@attrs.frozen(slots=False)
class Identity:
    """What tells two versions of a file apart: its size, and what else the source knows.

    `mtime_ns` is the modification time in nanoseconds, `sha256` the hash in hexadecimal digits, and `tag`
    a value that the source compares as text, such as an ETag or a CRC.
    """

    size: int | None
    mtime_ns: int | None = None
    sha256: str | None = None
    tag: str | None = None


def _checked_url(value: str) -> str:
    """Return an absolute http(s) URL without its fragment, which no server receives.

    Raises `TypeError` or `ValueError`. The message does not contain the URL, because its query may be secret.
    """
    url = arguments.http_url("url", value)
    try:
        parts = urlsplit(url)
        # A password with a slash or a hash sign is read as a port.
        has_host = bool(parts.hostname) and parts.port != 0
    except ValueError:
        has_host = False
    if not has_host:
        raise ValueError("url must be an http(s) URL with a host, and with a port from 1 to 65535 if any")
    # The repr of a `Secret` has no query.
    return Secret(url.partition("#")[0])


def _checked_wait(value: bool) -> bool:
    return checks.flag("wait", value)


@attrs.frozen(repr=False)
class RemoteFile:
    """A picture at an http(s) URL, which the service fetches itself.

    Pass it as the file of a `BatchItem`. Only batch runs upload it. The query and the user info of a URL may
    be secrets, so the repr and `label` contain neither.

    Args:
        url: An absolute http or https URL that the service can reach. A fragment is dropped.
        wait: Whether the file is done only when its image is READY, also if the batch does not wait.

    Raises:
        TypeError: The URL is not text.
        ValueError: The URL is not an absolute http or https URL.
    """

    url: str = attrs.field(converter=_checked_url)
    wait: bool = attrs.field(default=True, kw_only=True, converter=_checked_wait)

    @property
    def label(self) -> str:
        """The URL without user info and query."""
        scheme, _, rest = self.url.partition("?")[0].partition("://")
        authority, slash, path = rest.partition("/")
        return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"

    def __repr__(self) -> str:
        return f"RemoteFile({short_repr(self.label)})"

    @property
    def name(self) -> str | None:
        """The last part of the path of the URL, None if it is empty."""
        return base_name(urlsplit(self.url).path) or None

    @property
    def size(self) -> int | None:
        """None: only the service knows the size."""
        return None

    @property
    def replayable(self) -> bool:
        """True: the service can fetch the URL again."""
        return True

    def open(self) -> AsyncGenerator[bytes, None]:
        """Raise `TypeError`, because only the service reads the bytes."""
        raise TypeError(
            "only the service can fetch a RemoteFile: upload it in a batch run, or call "
            "client.images.upload_via_url(url)"
        )


@attrs.frozen
class BatchItem:
    """One file for a batch run, with the key by which the journal knows it.

    The other arguments are those of `UploadItem`.

    Args:
        key: The name of the file in the journal. It must be unique in a run.
        file: The file, of any kind that `upload` takes.
        file_name: Name to store. None takes the name of the path or file object.
        mime_type: Type to declare. None detects it from the first bytes.
        content_length: Length in bytes, for a source whose size is unknown.
        custom_metadata: Metadata without nesting. None takes the argument of the batch.
        hash_sha256: SHA-256 of the file as hexadecimal text, or True to compute it.
        idempotency_key: A key of your own, which is never replaced. None derives it from the file.
        purpose: Text of your own, stored with the image. None takes the argument of the batch.
        upload_token: Token for a client key, or a callable that returns it. None takes the client's token.
    """

    key: str = attrs.field(repr=short_repr)
    file: File = attrs.field(repr=short_repr)
    file_name: str | None = attrs.field(default=None, kw_only=True, repr=short_repr)
    mime_type: SupportedMimeType | str | None = attrs.field(default=None, kw_only=True)
    content_length: int | None = attrs.field(default=None, kw_only=True)
    custom_metadata: Mapping[str, str | int | float | bool] | None = attrs.field(
        default=None, kw_only=True, hash=False, repr=short_repr
    )
    hash_sha256: str | bool | None = attrs.field(default=None, kw_only=True)
    idempotency_key: str | Literal[False] | None = attrs.field(default=None, kw_only=True)
    purpose: str | None = attrs.field(default=None, kw_only=True)
    upload_token: str | Callable[[], str | Awaitable[str]] | None = attrs.field(
        default=None, kw_only=True, repr=False
    )


@attrs.frozen(slots=False)
class Entry:
    """One file of a source: its key, the file with its arguments, and its identity.

    A source may pass a path instead of an `UploadItem`, because files that are done need none. `is_missing`
    means that a path which the user gave leads to no file. Its upload fails, unless the file was uploaded
    before.
    """

    key: str
    _item: UploadItem | str
    identity: Identity
    is_missing: bool = False

    @property
    def item(self) -> UploadItem:
        """The file with its arguments."""
        return UploadItem(self._item) if isinstance(self._item, str) else self._item

    @property
    def remote(self) -> RemoteFile | None:
        """The URL from which the service fetches the picture, None for any other file."""
        file = None if isinstance(self._item, str) else self._item.file
        return file if isinstance(file, RemoteFile) else None

    @property
    def bytes_in_memory(self) -> int:
        """The number of bytes that the item keeps in memory, because its file is not on disk."""
        if isinstance(self._item, str) or isinstance(file := self._item.file, str):
            return 0
        if isinstance(file, bytes | bytearray):
            return len(file)
        # Views and arrays have this attribute.
        size: object = getattr(file, "nbytes", 0)
        return size if isinstance(size, int) else 0


@attrs.frozen
class Skip:
    """One file that a source leaves out, and the reason. A source of your own may yield it.

    Args:
        key: The name of the file in the journal, as in `BatchItem`.
        reason: Why the file is not uploaded. Results, events, records and exports contain this text.
    """

    key: str
    reason: str

    @property
    def bytes_in_memory(self) -> int:
        """Zero, because no file is kept."""
        return 0


class BatchSource(Protocol):
    """A source of files that you write yourself, for example over the rows of a database.

    A run iterates over it in the event loop of the client, so the iteration must not block. Each run calls
    `aclose` once at the end, also after an error, a `break` or a cancellation, so one object serves one run
    unless its `aclose` leaves it usable.
    """

    @property
    def name(self) -> str:
        """The name of the source in the journal. A run from a source of another name is kept apart."""
        ...

    def __aiter__(self) -> AsyncIterator[str | os.PathLike[str] | UploadItem | BatchItem | RemoteFile | Skip]:
        """Return the files. A `Skip` is noted with its reason, and not uploaded."""
        ...

    async def aclose(self) -> None:
        """Release all resources."""
        ...


class Source(Protocol):
    """A source of files. Only one task iterates over it, and closes it with `aclose` at the end.

    `name` is the name in the journal, such as the absolute path of a folder. `prefix` is the part of derived
    keys that stands for the source: the prefix that the user gave, or the name. `may_repeat` says whether the
    same key can come twice. `is_moved` says that files of the journal with another source name belong to this
    source.
    """

    name: str
    prefix: str
    may_repeat: bool
    is_moved: bool

    def __aiter__(self) -> Source: ...

    async def __anext__(self) -> Entry | Skip: ...

    async def read(self) -> list[Entry | Skip]:
        """Return the next items, up to 500, or an empty list at the end.

        Wait for the first item only. This is much faster than `__anext__`.
        """
        ...

    def again(self) -> Source | None:
        """Return a new source with the same files, or None if they can be read only once."""
        ...

    async def aclose(self) -> None:
        """Release all resources. Idempotent. Does not wait for a call of user code that hangs."""
        ...
