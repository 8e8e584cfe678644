"""Upload a folder with a journal: `IMGWIRE_API_KEY=... python batch.py FOLDER`.

Run the program again until all files are done. The journal `FOLDER.journal` has a row for each file, so a run
continues where the last one stopped, also after Ctrl-C, a crash or a night without network. At the end, the
program writes `FOLDER.csv`, which maps each file to its image. The exit code is 0 if all files are done, 3 if
some failed, and 1 if the run ended early.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections import Counter
from pathlib import Path

from imgwire_async import AsyncImgwireClient, ImgwireError
from imgwire_async.batch import AsyncBatch, BatchEvent


def main() -> int:
    arguments = argparse.ArgumentParser(description="Upload the pictures of a folder.")
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--plan", action="store_true", help="show what would be uploaded, and why")
    arguments.add_argument("--hours", type=float, help="stop after so many hours")
    options = arguments.parse_args()
    folder: Path = options.folder.resolve()
    if not folder.is_dir():
        arguments.error(f"{folder} is not a folder")
    # Without a terminal, the progress is a line every ten seconds at this level.
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return asyncio.run(plan(folder) if options.plan else upload(folder, options.hours))
    except ImgwireError as error:
        # A journal in use, a full disk, an invalid key, the end of the time. The message says what to do.
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        # The results of the uploads in progress were printed, and the table is written.
        print("Interrupted. Run the program again to continue.", file=sys.stderr)
    return 1


def journal_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.journal")


async def plan(folder: Path) -> int:
    """Show what a run would do. This sends no request, so it needs no key that is valid."""
    counts: Counter[str] = Counter()
    async with AsyncImgwireClient() as client, AsyncBatch(client, journal_of(folder)) as batch:
        async for file in batch.plan(folder):
            counts[file.action] += 1
            if file.action != "done":
                print(f"{file.action:8} {file.key}: {file.reason}")
    print(", ".join(f"{count:,} {action}" for action, count in counts.items()) or "no files")
    return 0


async def upload(folder: Path, hours: float | None) -> int:
    """Upload what is not done yet, and write the table."""
    table = folder.with_name(f"{folder.name}.csv")
    seconds = None if hours is None else hours * 3600
    async with (
        AsyncImgwireClient() as client,
        AsyncBatch(client, journal_of(folder), max_duration=seconds, on_event=report) as batch,
    ):
        try:
            async for result in batch.upload(folder, progress=True):
                if result.error is not None:
                    # The message names the file.
                    print(result.error, file=sys.stderr)
        finally:
            summary = batch.summary()
            print(summary)
            # Also after an error or Ctrl-C: all rows up to now.
            batch.export(table)
            print(f"{table} says which file is which image.")
        # Also those of earlier runs that are not retried, because the service has rejected the picture.
        failed = sum(1 for _ in batch.records(status="failed"))
    if failed:
        print(f"{failed:,} files have failed. The table says why.")
        return 3
    if summary.uploaded == 0 and summary.left == 0:
        print("Nothing to do.")
    return 0


def report(event: BatchEvent) -> None:
    """Print when the service is not available. All other events are in the progress or the results."""
    if event.kind == "held":
        print(f"The service is not available, and the run waits for it: {event.reason}", file=sys.stderr)
    elif event.kind == "resumed":
        print("The service is available again.", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
