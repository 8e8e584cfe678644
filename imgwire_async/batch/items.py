"""The items that a source passes to a batch run."""

from __future__ import annotations

import attrs


@attrs.frozen
class Identity:
    """What tells two versions of a file apart: its size, and what else the source knows.

    `mtime_ns` is the modification time in nanoseconds, `sha256` the hash in hexadecimal digits, and `tag`
    a value that the source compares as text, such as an ETag or a CRC.
    """

    size: int | None
    mtime_ns: int | None = None
    sha256: str | None = None
    tag: str | None = None
