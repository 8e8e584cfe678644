"""Upload a folder of pictures to the embedded emulator and show what arrived: `python examples/demo.py [FOLDER]`.

Without a folder it draws a few pictures of its own. Exit codes: 0 everything arrived, 3 some files were refused (each is
named with the reason), 2 there is nothing to upload.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from drawing import draw
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table
from rich.text import Text

from imgwire_async import AsyncImgwireClient, Image, ImgwireClient, UploadProgress, UploadResult
from imgwire_async.emulator import Emulator
from imgwire_async.errors import ImageQuarantinedError, UnsupportedImageError

HEAD = ("file", "type", "pixels", "bytes", "id", "CDN URL")
GAP = 2
ID, SHORT_ID = 36, 9
LEAST_URL = 30  # less of it says nothing


@dataclass
class Run:
    """What happened to the files: each ends in `arrived` (by image id) or in `refused` (with the reason)."""

    folder: Path
    files: list[Path]
    arrived: dict[str, Path] = field(default_factory=dict[str, Path])
    refused: dict[Path, str] = field(default_factory=dict[Path, str])
    seconds: float = 0.0

    def name(self, path: Path) -> str:
        """The path below the folder, safe to print: file names may hold anything."""
        text = (
            path.relative_to(self.folder).as_posix().encode(errors="surrogateescape").decode(errors="replace")
        )
        return "".join(
            c if c.isprintable() or c in "\u200d\ufe0f" else "\N{REPLACEMENT CHARACTER}" for c in text
        )


def main() -> int:
    arguments = argparse.ArgumentParser(description="Upload pictures to the embedded emulator.")
    arguments.add_argument(
        "folder", nargs="?", type=Path, help="take the pictures in here, also in folders below"
    )
    arguments.add_argument("--workers", type=int, default=16, help="uploads at the same time (16)")
    arguments.add_argument("--save-svg", type=Path, metavar="FILE", help="keep a picture of the output")
    given = arguments.parse_args()
    if given.workers < 1:
        arguments.error("--workers must be 1 or more")
    console = screen(record=given.save_svg is not None)
    with tempfile.TemporaryDirectory() as scratch:
        if given.folder is None:
            folder = Path(scratch)
            draw(folder)
        else:
            folder = given.folder
        if not folder.is_dir():
            arguments.error(f"{folder} is not a folder")
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if not files:
            arguments.error(f"{folder} holds no files")
        run = Run(folder, files)
        show(run, given.workers, console)
    if given.save_svg is not None:
        # Without the font that rich would have the reader's browser fetch.
        svg = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="nox -s demo"), flags=re.DOTALL)
        given.save_svg.write_text(svg, encoding="utf-8")
    return 3 if run.refused else 0


def screen(*, record: bool) -> Console:
    """The terminal; what is no terminal (a pipe, a log) gets whole lines."""
    if record:
        return Console(highlight=False, record=True, force_terminal=False, width=110)
    return Console(highlight=False, width=None if sys.stdout.isatty() else 1000)


def show(run: Run, workers: int, console: Console) -> None:
    """Upload asynchronously, then look at it through the blocking client."""
    with Emulator() as emulator:
        console.print(
            f"A local Imgwire listens on [bold]{emulator.base_url}[/]; nothing leaves this machine.\n"
        )
        asyncio.run(upload(run, emulator, workers, console))
        with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            images = [image for image in client.images.list_all() if image.id in run.arrived]
            images.sort(key=lambda image: run.arrived[image.id])
            if images:
                console.print()
                console.print(table(run, images, console.width))
                client.images.delete(images[0].id)
                left = {image.id for image in client.images.list_all()}
                console.print(
                    Text(
                        f"\nDeleted the local Imgwire's copy of {run.name(run.arrived[images[0].id])}: "
                        f"{count(len(left & run.arrived.keys()), 'picture', 'pictures')} left there."
                    )
                )
        for line in summary(run, images):
            console.print(line)


async def upload(run: Run, emulator: Emulator, workers: int, console: Console) -> None:
    """Upload all files, `workers` at a time, and wait until the service has processed each."""
    sent: dict[tuple[str, int], int] = {}
    bar = Progress(
        SpinnerColumn(finished_text="[green]✔"),
        TextColumn("Uploading"),
        BarColumn(bar_width=None if console.width < 60 else 40),
        TextColumn("{task.completed:.0f}/{task.total:.0f} files"),
        TextColumn("{task.fields[amount]}"),
        console=console,
    )
    task = bar.add_task("", total=len(run.files), amount="")

    def refresh() -> None:
        done = len(run.arrived) + len(run.refused)
        bar.update(task, completed=done, amount=f"{amount(sum(sent.values()))} sent")

    def progress(step: UploadProgress) -> None:
        sent[step.file_name, step.total] = step.sent
        refresh()

    began = time.perf_counter()
    with bar:
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            async for result in client.images.upload_many(
                run.files, concurrency=workers, wait=True, on_progress=progress
            ):
                path = run.files[result.index]
                if result.error is not None:
                    run.refused[path] = reason(result, emulator)
                else:
                    run.arrived[result.unwrap().id] = path
                refresh()
    run.seconds = time.perf_counter() - began


def reason(result: UploadResult, emulator: Emulator) -> str:
    """Why a file was refused, in a few words."""
    error = result.error
    if isinstance(error, ImageQuarantinedError) and error.image is not None:
        known = emulator.images.get(error.image.id)  # the service never tells why; the emulator knows
        return f"QUARANTINE: {known.reason if known else error}"
    if isinstance(error, UnsupportedImageError):
        found = str(error).removeprefix(f"{error.file_name}: ").partition(", none of")[0]
        return f"unsupported: {found}"
    return str(error)


def table(run: Run, images: list[Image], width: int) -> Table:
    """One row per picture. Where the width does not suffice, URLs, ids and at last names are cut; the URL stays a link."""
    rows = [
        (
            run.name(run.arrived[image.id]),
            image.mime_type.removeprefix("image/").removeprefix("vnd.microsoft."),
            f"{image.width} × {image.height}",
            f"{image.size_bytes:,}",
        )
        for image in images
    ]
    names, *others = (max(map(cell_len, cells)) for cells in zip(*rows, HEAD[:4], strict=True))
    room = width - sum(others) - GAP * 5  # for name, id and URL
    whole_id = room >= names + ID + LEAST_URL
    url = room - names - (ID if whole_id else SHORT_ID)
    if url < LEAST_URL:
        url = len(HEAD[5])
        names = min(names, max(8, room - SHORT_ID - url))
    shown = Table(box=box.SIMPLE_HEAD, padding=(0, GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    widths = [names, *others, ID if whole_id else SHORT_ID, None]
    styles = ["", "cyan", "", "", "dim", "blue"]
    for head, least, style in zip(HEAD, widths, styles, strict=True):
        justify: Literal["left", "right"] = "right" if head in {"pixels", "bytes"} else "left"
        shown.add_column(head, no_wrap=True, justify=justify, style=style, width=least)
    shown.columns[-1].max_width = url
    for image, (name, *facts) in zip(images, rows, strict=True):
        where = Text(image.cdn_url if url >= LEAST_URL else "link", style=f"link {image.cdn_url}")
        shown.add_row(Text(name), *facts, image.id if whole_id else f"{image.id[:8]}…", where)
    return shown


def summary(run: Run, images: list[Image]) -> Iterator[Text | Table]:
    """The refused files with their reasons, then the totals."""
    if run.refused:
        yield Text(f"\n{count(len(run.refused), 'file was', 'files were')} refused:", style="bold yellow")
        reasons = Table.grid(padding=(0, GAP, 0, 0))
        for path, reason in sorted(run.refused.items()):
            reasons.add_row(Text(f"  {run.name(path)}"), Text(reason, style="yellow"))
        yield reasons
    total = amount(sum(image.size_bytes for image in images))
    yield Text(
        f"\n{len(images)} of {count(len(run.files), 'file', 'files')} arrived, {total} in {run.seconds:.2f} s: "
        f"{len(images) / run.seconds:,.0f} files per second",
        style="bold",
    )


def count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def amount(size: float) -> str:
    """Bytes for people: 1.2 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


if __name__ == "__main__":
    sys.exit(main())
