"""URLs as a source of files: the service fetches each picture itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, Iterable
from pathlib import Path
from typing import TypeAlias

import attrs

from imgwire_async import checks
from imgwire_async.batch.items import BatchItem, Entry, RemoteFile, Skip, Source
from imgwire_async.batch.sources.base import CHUNK, Files
from imgwire_async.batch.sources.item_check import Checked, url_entry
from imgwire_async.batch.sources.iterable import IterableSource
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.upload_run import require_many_files

_Url: TypeAlias = str | RemoteFile | UploadItem | BatchItem | Skip
_Many: TypeAlias = Iterable[_Url] | AsyncIterable[_Url]


@attrs.frozen(eq=False)
class Urls(Files):
    """Pictures at URLs. `urls` creates it."""

    files: _Many = attrs.field(repr=False)
    wait: bool = True

    @property
    def name(self) -> str:
        """The name by which the journal knows all sources of URLs."""
        return "urls"

    def start(self, own_paths: frozenset[Path]) -> Source:
        """Return a source for one run. Raises `TypeError` for an async iterable in a blocking batch."""
        require_many_files(self.files)
        return UrlSource(self)


def urls(
    iterable: Iterable[str | RemoteFile | UploadItem | BatchItem | Skip]
    | AsyncIterable[str | RemoteFile | UploadItem | BatchItem | Skip],
    *,
    wait: bool = True,
) -> Urls:
    """Return pictures at http or https URLs as a source for a batch run. The service fetches them itself.

    The key of a picture is its URL without user info and query. If the URL has a query, `?` and 12
    hexadecimal digits of its SHA-256 follow. So neither the journal nor messages contain a query, which may
    be secret. A URL is fetched again only if its key or its arguments have changed, because the content
    behind it is not known.

    The URLs of a list or tuple are checked before the first upload. Those of an iterator are checked as they
    come: a text that is no http or https URL is skipped with the reason. Its key is its position, such as
    `files[3]`, because the text may be secret.

    Args:
        iterable: An iterable or async iterable of URLs. `UploadItem` or `BatchItem` objects with a URL as
            the file combine it with arguments.
        wait: True means that a picture is done when its image is READY, for which the run waits at most 120
            seconds, or the seconds of the batch. With False it is done when the service has accepted the
            URL, unless the batch waits.

    Returns:
        The pictures. Several runs may use them if the iterable is a list or tuple.

    Raises:
        TypeError: `iterable` is not an iterable of URLs.
    """
    if isinstance(iterable, str | RemoteFile | UploadItem | BatchItem):
        # The message does not contain the URL, because its query may be secret.
        raise TypeError(
            f"iterable must contain URLs, not be one {type(iterable).__name__}; pass a list: urls([url])"
        )
    require_many_files(iterable)
    return Urls(iterable, checks.flag("wait", wait))


class UrlSource(IterableSource):
    """The source of one run over URLs."""

    def __init__(self, described: Urls) -> None:
        super().__init__(described.files, frozenset(), described.name)
        self._described = described
        self._are_all_checked = False

    async def read(self) -> list[Entry | Skip]:
        """Return the next items, or an empty list at the end. Nothing is lost if the task is cancelled."""
        if not self._are_all_checked:
            await self._check_all()
            self._are_all_checked = True
        return await super().read()

    async def _check_all(self) -> None:
        """Check the URLs that are known already, so that a wrong one is an error before the first upload."""
        if not isinstance(files := self._described.files, list | tuple):
            return
        for position, value in enumerate(files):
            self._check_one(value, position)
            if not position % CHUNK:
                await asyncio.sleep(0)

    def _check_one(self, value: object, position: int) -> Checked | Entry | Skip:
        # The text of an iterator may come hours after the start of the run, so a wrong one must not end it.
        strict = isinstance(self._described.files, list | tuple)
        return url_entry(value, position, wait=self._described.wait, strict=strict)

    def again(self) -> Source | None:
        """Return a new source with the same URLs for a list or tuple, None for an iterator."""
        return UrlSource(self._described) if isinstance(self._described.files, list | tuple) else None
