"""The target file of a download. The file appears at its path only when it is complete."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from imgwire_async import checks, disk_work, user_code
from imgwire_async.atomic import PartFile, check_target, directory_error
from imgwire_async.downloads.download import Download
from imgwire_async.downloads.response import ResponseBody
from imgwire_async.formatting import path_for_message, shorten_file_name_in
from imgwire_async.results import DownloadProgress

OnProgress: TypeAlias = "Callable[[DownloadProgress], object]"

# Chunks are collected until they have at least this many bytes in all. Then one disk operation writes them.
_BATCH_SIZE = 256 * 1024


class DownloadTarget:
    """The path where a download is saved, with the options of the download.

    The constructor checks the arguments. `check` checks the disk and must be called before `save`.
    """

    def __init__(self, path: object, *, overwrite: object, on_progress: OnProgress | None) -> None:
        path_string = checks.path("path", path)
        checks.plain_callable("on_progress", on_progress)
        # A path that ends with a slash or "/." names a directory. `Path` drops these characters, so check the
        # original string.
        self._names_directory = os.path.basename(path_string) in {"", "."}  # noqa: PTH119  # see above
        self._path = Path(path_string)
        self._absolute = self._path
        self._overwrite = checks.flag("overwrite", overwrite)
        self._on_progress = on_progress
        self.display_path: str = path_for_message(str(self._path))

    def check(self) -> None:
        """Raise an `OSError` when the file cannot be written. This method blocks.

        The reason may be that the path is a directory, that the file exists and must not be overwritten, or
        that the parent directory is missing.
        """
        if self._names_directory:
            raise directory_error(self._path)
        # The path is made absolute now, because the working directory may change before the file is written.
        # `absolute` keeps links and "..". Removing ".." could lead to another directory if a link comes
        # before it.
        self._absolute = self._path.absolute()
        try:
            check_target(self._absolute, overwrite=self._overwrite)
        except OSError as error:
            shorten_file_name_in(error)
            raise

    @property
    def nothing_written(self) -> str:
        """A sentence for error messages which says that the file was not written. It ends with a blank."""
        old_file = "; the file that was there before is untouched" if self._overwrite else ""
        return f"Nothing was written to {self.display_path}{old_file}. "

    async def save(self, download: Download) -> Path:
        """Save the downloaded bytes and return the path of the complete file.

        A failed download leaves no new file. If the task is cancelled after the complete file was moved to
        its path, the file stays there.
        """
        part = PartFile(self._absolute, overwrite=self._overwrite)
        try:
            async with download:
                finish = await download.run(partial(self._write, part))
            await disk_work.run(finish)
        except asyncio.CancelledError:
            if not (part.published and download.deadline_passed):
                raise
        finally:
            if part.abandon():
                await disk_work.run_cleanup(part.discard)
        return self._path

    async def _write(self, part: PartFile, body: ResponseBody) -> Callable[[], None]:
        """Write the bytes as they arrive, and return a function that writes the rest and completes the file.

        The caller first releases the connection and then runs this function, because it needs no connection.
        """
        batch: list[bytes] = []
        written = 0
        async for chunk in body:
            batch.append(chunk)
            if body.received - written >= _BATCH_SIZE:
                await disk_work.run(_write_batch, part, batch, begin=not written)
                batch, written = [], body.received
            if self._on_progress is not None:
                progress = DownloadProgress(
                    received=body.received, total=body.response.total, path=self._path
                )
                await user_code.run_callback(self._on_progress, progress)
        return partial(_write_last, part, batch, begin=not written)


def _write_batch(part: PartFile, batch: list[bytes], *, begin: bool) -> None:
    if begin:
        part.begin()
    part.write(batch)


def _write_last(part: PartFile, batch: list[bytes], *, begin: bool) -> None:
    _write_batch(part, batch, begin=begin)
    part.publish()
