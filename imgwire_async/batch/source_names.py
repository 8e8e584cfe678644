"""Keep the files of different sources apart that have the same keys in one journal."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from imgwire_async import cancellation, disk_work
from imgwire_async.batch.items import Entry, Skip, Source
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.records import RowOwner
from imgwire_async.batch_errors import BatchError
from imgwire_async.formatting import quoted
from imgwire_async.threads import CANCEL_GRACE


async def compare_sources(
    source: Source,
    journal: Journal,
    owner: RowOwner,
    *,
    shard: Shard | None = None,
    stop: asyncio.Event | None = None,
) -> None:
    """Compare the keys of a source that is new in a journal with those of the other sources.

    So a conflict is found before the first request. A source that cannot be repeated is compared while the
    run goes on. Raises `BatchError` for a conflict, or renames the other source if the user has moved it.
    Returns early when `stop` is set, and the next run compares again.
    """
    if await disk_work.run(_is_compared, journal, owner, shard):
        return
    again = source.again()
    if again is None:
        return
    stop = asyncio.Event() if stop is None else stop
    comparing = asyncio.ensure_future(_compare_all(source, again, journal, owner, shard))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait([comparing, stopping], return_when=asyncio.FIRST_COMPLETED)
        if comparing.done():
            comparing.result()
    finally:
        for task in (comparing, stopping):
            task.cancel()
        try:
            await cancellation.wait_all([comparing, stopping], timeout=2 * CANCEL_GRACE)
        finally:
            closing = asyncio.ensure_future(again.aclose())
            await cancellation.wait_all([closing], timeout=2 * CANCEL_GRACE)


async def _compare_all(
    source: Source, again: Source, journal: Journal, owner: RowOwner, shard: Shard | None
) -> None:
    try:
        while items := await _read(again):
            keys = [item.key for item in items if shard is None or item.key in shard]
            await disk_work.run(_compare, source, journal, owner, keys)
    except _UnreadableError:
        return
    await disk_work.run(journal.mark_compared, owner, shard)


class _UnreadableError(Exception):
    """A source has raised an exception."""


async def _read(source: Source) -> list[Entry | Skip]:
    try:
        return await source.read()
    except Exception as error:
        # The run itself gets the same exception, and raises it.
        raise _UnreadableError from error


def _is_compared(journal: Journal, owner: RowOwner, shard: Shard | None) -> bool:
    if journal.is_compared(owner, shard):
        return True
    if len(journal.sources()) == 1:
        journal.mark_compared(owner, shard)
        return True
    return False


def _compare(source: Source, journal: Journal, owner: RowOwner, keys: Sequence[str]) -> None:
    resolve(source, journal, journal.other_sources(owner, keys))


def resolve(source: Source, journal: Journal, others: Mapping[str, int]) -> bool:
    """Rename the sources of keys if the user has moved them. Return whether the journal has changed.

    `others` maps keys to the numbers of their sources in the journal. Blocks. Raises `BatchError` for a
    source that the user has not moved.
    """
    if not others:
        return False
    names = journal.sources()
    if not source.is_moved:
        raise conflict(source, *min((key, names[number]) for key, number in others.items()))
    for number in {*others.values()}:
        journal.rename_source(names[number], source.name)
    return True


def conflict(source: Source, key: str, other: str) -> BatchError:
    """Return the error for a key that belongs to another source."""
    return BatchError(
        f"the journal has {quoted(key)} from the source {quoted(other)}, and {quoted(source.name)} has a file of the same name. "
        "Nothing was uploaded for it. If these are different files, pass prefix= for one of the sources, or use another "
        "journal. If a folder, file or bucket was moved or renamed, pass moved=True once, such as folder(path, moved=True)."
    )
