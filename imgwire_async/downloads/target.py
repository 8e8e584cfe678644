"""The file that a download becomes: whole, or not at all."""

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
from imgwire_async.formatting import path_for_message, shorten_file_name
from imgwire_async.results import DownloadProgress

OnProgress: TypeAlias = "Callable[[DownloadProgress], object]"

# Bytes that go to the disk in one step.
_BATCH = 256 * 1024


class DownloadTarget:
    """Where a download is saved. Arguments are checked when it is made, the disk by `check`, which comes first."""

    def __init__(self, path: object, *, overwrite: object, on_progress: OnProgress | None) -> None:
        text = checks.path("path", path)
        checks.callable_("on_progress", on_progress)
        self._names_directory = os.path.basename(text) in {"", "."}  # noqa: PTH119  # a Path has forgotten how it was written
        self._path = Path(text)
        self._absolute = self._path
        self._overwrite = checks.flag("overwrite", overwrite)
        self._on_progress = on_progress
        self.name: str = path_for_message(str(self._path))

    def check(self) -> None:
        """Raise what stands against the file on the disk: a directory, an existing file, a missing parent. Blocks."""
        if self._names_directory:
            raise directory_error(self._path)
        # The working directory may change. Links and ".." stay: behind a link the text alone would lead elsewhere.
        self._absolute = self._path.absolute()
        try:
            check_target(self._absolute, overwrite=self._overwrite)
        except OSError as error:
            shorten_file_name(error)
            raise

    @property
    def outcome(self) -> str:
        """What a failure leaves, as a sentence and a blank."""
        kept = "; the file that was there before is untouched" if self._overwrite else ""
        return f"Nothing was written to {self.name}{kept}. "

    async def receive(self, download: Download) -> Path:
        """Save the bytes and return the path, once the file is there, whole. A failure leaves nothing.

        A cancellation that comes after the file took its place leaves it there, whole.
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
        """Write the bytes as they come; return the last step, which needs no connection any more."""
        batch: list[bytes] = []
        written = 0
        async for chunk in body:
            batch.append(chunk)
            if body.received - written >= _BATCH:
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
