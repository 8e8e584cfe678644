"""Find out what a run would do, without a request and without a write."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator

from imgwire_async import disk_work
from imgwire_async.batch.items import Entry, Source
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.records import RowOwner
from imgwire_async.batch.results import PlannedFile
from imgwire_async.batch.walk import Planned, Walk


async def plan(
    source: Source,
    journal: Journal,
    destination: Destination | None,
    *,
    shard: Shard | None = None,
    checksum: bool = False,
) -> AsyncGenerator[PlannedFile, None]:
    """Yield what a run would do with each file of a source.

    `destination` is the one that the journal chooses for the client, without a check at the service.
    """
    names = await disk_work.run(journal.sources)
    numbers = [number for number, name in names.items() if name == source.name]
    # Numbers begin with 1, so 0 is a destination, a source or a run that the journal does not know.
    owner = RowOwner(0 if destination is None else destination.number, numbers[0] if numbers else 0, 0)
    walk = Walk(source, journal, owner, shard=shard, checksum=checksum, reads_only=True)
    async with contextlib.aclosing(walk):
        async for files in walk:
            for file in files:
                yield _planned_file(file)


def _planned_file(file: Planned) -> PlannedFile:
    size = file.entry.identity.size if isinstance(file.entry, Entry) else None
    decision = file.decision
    return PlannedFile(key=file.entry.key, size=size, action=decision.action, reason=decision.reason)
