"""Upload a folder of pictures to the emulator, and list them: `python examples/demo.py [FOLDER]`.

Without a folder, the demo draws a few pictures of its own. It uploads them in a batch run, and then starts a
second run, which has nothing to do. It ends with the path of a report. The exit code is 0 if all files were
uploaded, 3 if some were rejected (each is listed with the reason), and 2 if there is nothing to upload.
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

from imgwire_async import AsyncImgwireClient, Image, ImgwireClient
from imgwire_async.batch import AsyncBatch, BatchEvent, BatchResult, folder
from imgwire_async.emulator import Emulator
from imgwire_async.errors import ImageQuarantinedError, UnsupportedImageError

HEADINGS = ("file", "type", "pixels", "bytes", "id", "CDN URL")
COLUMN_GAP = 2
ID_WIDTH, SHORT_ID_WIDTH = 36, 9
# A URL that is cut further is of no use.
MIN_URL_WIDTH = 30


@dataclass
class Run:
    """The files of a run. Each ends in `uploaded` (by image id) or in `rejected` (with the reason)."""

    folder: Path
    files: list[Path]
    # The folder for the journal and the report.
    output: Path
    uploaded: dict[str, Path] = field(default_factory=dict[str, Path])
    rejected: dict[Path, str] = field(default_factory=dict[Path, str])
    seconds: float = 0.0
    second_run: str = ""

    @property
    def journal(self) -> Path:
        return self.output / "demo.journal"

    @property
    def report(self) -> Path:
        return self.output / "report.md"

    def name(self, path: Path) -> str:
        """Return the path below the folder, without characters that are unsafe to print."""
        text = (
            path.relative_to(self.folder).as_posix().encode(errors="surrogateescape").decode(errors="replace")
        )
        return "".join(
            c if c.isprintable() or c in "\u200d\ufe0f" else "\N{REPLACEMENT CHARACTER}" for c in text
        )


def main() -> int:
    arguments = argparse.ArgumentParser(description="Upload pictures to the embedded emulator.")
    arguments.add_argument(
        "folder", nargs="?", type=Path, help="upload the files of this folder and its subfolders"
    )
    arguments.add_argument("--workers", type=int, default=16, help="number of simultaneous uploads (16)")
    arguments.add_argument("--save-svg", type=Path, metavar="FILE", help="write the output to an SVG file")
    options = arguments.parse_args()
    if options.workers < 1:
        arguments.error("--workers must be 1 or more")
    console = make_console(record=options.save_svg is not None)
    with tempfile.TemporaryDirectory() as temporary:
        if options.folder is None:
            pictures = Path(temporary)
            draw(pictures)
        else:
            pictures = options.folder
        if not pictures.is_dir():
            arguments.error(f"{pictures} is not a folder")
        files = sorted(path for path in pictures.rglob("*") if path.is_file())
        if not files:
            arguments.error(f"{pictures} holds no files")
        run = Run(pictures, files, Path(tempfile.mkdtemp(prefix="imgwire-demo-")))
        run_demo(run, options.workers, console)
    if options.save_svg is not None:
        # Without the font that a browser would download.
        svg = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="nox -s demo"), flags=re.DOTALL)
        options.save_svg.write_text(svg, encoding="utf-8")
    return 3 if run.rejected else 0


def make_console(*, record: bool) -> Console:
    """Return the console. Lines that go to a pipe or file are not wrapped."""
    if record:
        return Console(highlight=False, record=True, force_terminal=False, width=110)
    return Console(highlight=False, width=None if sys.stdout.isatty() else 1000)


def run_demo(run: Run, workers: int, console: Console) -> None:
    """Upload with the asynchronous client, then list the images with the blocking client."""
    with Emulator() as emulator:
        console.print(f"The emulator listens on [bold]{emulator.base_url}[/]; nothing leaves this machine.\n")
        asyncio.run(upload(run, emulator, workers, console))
        asyncio.run(upload_again(run, emulator))
        with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            images = [image for image in client.images.list_all() if image.id in run.uploaded]
            images.sort(key=lambda image: run.uploaded[image.id])
            if images:
                console.print()
                console.print(table(run, images, console.width))
                client.images.delete(images[0].id)
                remaining = {image.id for image in client.images.list_all()}
                console.print(
                    Text(
                        f"\nDeleted {run.name(run.uploaded[images[0].id])} from the emulator: "
                        f"{count(len(remaining & run.uploaded.keys()), 'picture is', 'pictures are')} left."
                    )
                )
        for line in summary(run, images):
            console.print(line)
        console.print(Text(run.second_run))
        console.print(Text(f"Report: {run.report}"), soft_wrap=True)


async def upload(run: Run, emulator: Emulator, workers: int, console: Console) -> None:
    """Upload all files, `workers` at the same time, and wait until the service has processed them."""
    sent: dict[str, int] = {}
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
        completed = len(run.uploaded) + len(run.rejected)
        bar.update(task, completed=completed, amount=f"{amount(sum(sent.values()))} sent")

    def on_event(event: BatchEvent) -> None:
        if event.kind == "progress" and event.key is not None:
            sent[event.key] = event.sent or 0
            refresh()

    started_at = time.perf_counter()
    with bar:
        async with (
            AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client,
            AsyncBatch(client, run.journal, concurrency=workers, wait=True, on_event=on_event) as batch,
        ):
            # Hidden files are rejected, too, so that the demo lists them. `include_done` also yields skips.
            async for result in batch.upload(folder(run.folder, hidden=True), include_done=True):
                path = run.folder / result.key
                if result.status == "done" and result.image_id is not None:
                    run.uploaded[result.image_id] = path
                else:
                    run.rejected[path] = reason(result, emulator)
                refresh()
    run.seconds = time.perf_counter() - started_at


async def upload_again(run: Run, emulator: Emulator) -> None:
    """Run the same batch again, as after an interruption, and write the report."""
    started_at = time.perf_counter()
    async with (
        AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client,
        AsyncBatch(client, run.journal) as batch,
    ):
        results = [
            result async for result in batch.upload(folder(run.folder, hidden=True), retry_failed=False)
        ]
        found = batch.summary()
        batch.export(run.report)
    seconds = time.perf_counter() - started_at
    work = "nothing to do" if not results else count(len(results), "file", "files")
    run.second_run = f"Second run: {work}, {found.done_before} done before, in {seconds:.2f} s"


def reason(result: BatchResult, emulator: Emulator) -> str:
    """Return a short reason why a file was rejected."""
    error = result.error
    if isinstance(error, ImageQuarantinedError) and error.image is not None:
        # The service does not return the reason, but the emulator has it.
        record = emulator.images.get(error.image.id)
        return f"QUARANTINE: {record.reason if record else error}"
    if isinstance(error, UnsupportedImageError):
        found = str(error).removeprefix(f"{result.file}: ").partition(", none of")[0]
        return f"unsupported: {found}"
    return result.reason or str(error)


def table(run: Run, images: list[Image], width: int) -> Table:
    """Return a table with one row per picture. URLs, ids and names are cut to fit the width."""
    rows = [
        (
            run.name(run.uploaded[image.id]),
            image.mime_type.removeprefix("image/").removeprefix("vnd.microsoft."),
            f"{image.width} × {image.height}",
            f"{image.size_bytes:,}",
        )
        for image in images
    ]
    names, *others = (max(map(cell_len, cells)) for cells in zip(*rows, HEADINGS[:4], strict=True))
    # The width that is left for name, id and URL.
    space = width - sum(others) - COLUMN_GAP * 5
    show_full_id = space >= names + ID_WIDTH + MIN_URL_WIDTH
    url = space - names - (ID_WIDTH if show_full_id else SHORT_ID_WIDTH)
    if url < MIN_URL_WIDTH:
        url = len(HEADINGS[5])
        names = min(names, max(8, space - SHORT_ID_WIDTH - url))
    result = Table(box=box.SIMPLE_HEAD, padding=(0, COLUMN_GAP - 1, 0, 0), pad_edge=False, show_edge=False)
    widths = [names, *others, ID_WIDTH if show_full_id else SHORT_ID_WIDTH, None]
    styles = ["", "cyan", "", "", "dim", "blue"]
    for heading, column_width, style in zip(HEADINGS, widths, styles, strict=True):
        justify: Literal["left", "right"] = "right" if heading in {"pixels", "bytes"} else "left"
        result.add_column(heading, no_wrap=True, justify=justify, style=style, width=column_width)
    result.columns[-1].max_width = url
    for image, (name, *facts) in zip(images, rows, strict=True):
        link = Text(image.cdn_url if url >= MIN_URL_WIDTH else "link", style=f"link {image.cdn_url}")
        result.add_row(Text(name), *facts, image.id if show_full_id else f"{image.id[:8]}…", link)
    return result


def summary(run: Run, images: list[Image]) -> Iterator[Text | Table]:
    """Yield the rejected files with their reasons, then the totals."""
    if run.rejected:
        yield Text(f"\n{count(len(run.rejected), 'file was', 'files were')} rejected:", style="bold yellow")
        reasons = Table.grid(padding=(0, COLUMN_GAP, 0, 0))
        for path, reason in sorted(run.rejected.items()):
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
    """Return a number of bytes with a unit, such as 1.2 MB."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"


if __name__ == "__main__":
    sys.exit(main())
