"""Upload the pictures of a database table: `IMGWIRE_API_KEY=... python batch_table.py shop.db`.

The table is `products(id INTEGER PRIMARY KEY, name TEXT, picture BLOB)` of an SQLite database. The class
`Pictures` is a source of files for batch runs. Write such a class for your own database or service: it has a
`name`, yields a `BatchItem` for each picture and a `Skip` for each one that it leaves out, and has `aclose`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import sys
from collections.abc import AsyncIterator
from pathlib import Path

from imgwire_async import AsyncImgwireClient
from imgwire_async.batch import AsyncBatch, BatchItem, Skip

# The rows of one query. A run keeps only so many pictures in memory, besides those that it uploads.
ROWS = 20


class Pictures:
    """The pictures of the table `products`."""

    def __init__(self, database: Path) -> None:
        self.database = database
        # The name in the journal, the same in each run.
        self.name = f"{database.resolve()}:products"

    async def __aiter__(self) -> AsyncIterator[BatchItem | Skip]:
        last = -1
        # Each query begins behind the last row, so no transaction stays open for hours.
        while rows := await asyncio.to_thread(self.rows_after, last):
            for last, name, picture in rows:
                key = f"products/{last}"
                if picture is None:
                    yield Skip(key, "the product has no picture")
                else:
                    yield BatchItem(key, picture, file_name=name)

    def rows_after(self, last: int) -> list[tuple[int, str, bytes | None]]:
        """Read some rows. This blocks, so it runs in a worker thread."""
        # sqlite3 would create a database that does not exist.
        with contextlib.closing(
            sqlite3.connect(f"{self.database.resolve().as_uri()}?mode=ro", uri=True)
        ) as db:
            query = "SELECT id, name, picture FROM products WHERE id > ? ORDER BY id LIMIT ?"
            return db.execute(query, (last, ROWS)).fetchall()

    async def aclose(self) -> None:
        """Release what the source keeps open. A run calls this at its end, however it ends."""


async def main(database: Path) -> None:
    journal = database.with_suffix(".journal")
    async with AsyncImgwireClient() as client, AsyncBatch(client, journal) as batch:
        async for result in batch.upload(Pictures(database), include_done=True):
            print(result.key, result.status, result.error or result.reason or result.image_id)
        print(batch.summary())


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
