"""Names of files that are neither files with bytes nor folders."""

from __future__ import annotations

import os
import stat

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def special_kind(status: os.stat_result) -> str:
    """Return what something is that is neither a file, a folder nor a link."""
    return _KINDS.get(stat.S_IFMT(status.st_mode), "neither a file nor a folder")
