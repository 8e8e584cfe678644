"""Upload the pictures that a table lists: `IMGWIRE_API_KEY=... python batch_manifest.py shop.csv`.

The table is a CSV file with a header, such as the export of a shop:

    path;key;metadata.title
    pictures/1.jpg;SKU-1;A red chair
    pictures/2.jpg;SKU-2;A blue chair

Paths are relative to the folder of the table. Run the program again until all pictures are done. With
`--check`, it only checks the table. At the end, it writes `shop.images.csv`, which maps keys to images.
The exit code is 0 if all pictures are done, 3 if some failed or were skipped, and 1 if the run ended early.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections import Counter
from pathlib import Path

from imgwire_async import AsyncImgwireClient, ImgwireError
from imgwire_async.batch import AsyncBatch, manifest


def main() -> int:
    arguments = argparse.ArgumentParser(description="Upload the pictures that a table lists.")
    arguments.add_argument("table", type=Path, help="a file .csv, .jsonl, .parquet or .txt")
    arguments.add_argument(
        "--check", action="store_true", help="only check the table, and count what is to do"
    )
    arguments.add_argument("--skip-wrong-rows", action="store_true", help="skip rows that cannot be used")
    options = arguments.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return asyncio.run(run(options.table, check=options.check, strict=not options.skip_wrong_rows))
    # The message names wrong rows with their lines. ValueError: the table has another suffix.
    except (ImgwireError, ValueError, OSError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted. Run the program again to continue.", file=sys.stderr)
    return 1


async def run(table: Path, *, check: bool, strict: bool) -> int:
    pictures = manifest(table, strict=strict)
    async with AsyncImgwireClient() as client, AsyncBatch(client, table.with_suffix(".journal")) as batch:
        if check:
            # This sends no request and writes nothing.
            counts = Counter([file.action async for file in batch.plan(pictures)])
            print(", ".join(f"{count:,} {action}" for action, count in counts.items()) or "no rows")
            return 0
        try:
            async for result in batch.upload(pictures, progress=True, include_done=True):
                if result.error is not None or result.status == "skipped":
                    print(f"{result.key}: {result.error or result.reason}", file=sys.stderr)
        finally:
            print(batch.summary())
            batch.export(table.with_suffix(".images.csv"))
        unfinished = sum(record.status != "done" for record in batch.records())
    return 3 if unfinished else 0


if __name__ == "__main__":
    sys.exit(main())
