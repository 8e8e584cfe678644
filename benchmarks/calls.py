"""How many functions of the package one call runs through: counted, not timed, so no other work of the machine touches it.

`python -m benchmarks.calls` prints the table (as `python -m benchmarks calls` does), `--keep now` puts it into
docs/performance.md, too. Figures differ a little between Pythons (3.12 runs comprehensions without a call of their own): the
page's are of 3.11.
"""

from __future__ import annotations

import argparse
import asyncio
import dis
import functools
import itertools
import json
import platform
import sys
from collections.abc import Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType

if __name__ == "__main__":
    sys.modules["orjson"] = None  # type: ignore[assignment]  # the same answer with and without the extra `speed`

import imgwire_async
from imgwire_async import AsyncImgwireClient
from imgwire_async.emulator import Emulator

PACKAGE = Path(imgwire_async.__file__).parent
DOCS = Path(__file__).parents[1] / "docs"
PAGE, KEPT = DOCS / "performance.md", DOCS / "assets/calls.json"
FILES = (
    100  # of `upload_many`, one at a time: at more the batches, and so the figures, would depend on the clock
)
RECORDS = 10  # of `list`
# 1 x 1, gray.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b55"
    "0000000a49444154789c63600000000200014873a4710000000049454e44ae426082"
)

# "before" and "now" -> operation -> measure.
Kept = dict[str, dict[str, dict[str, int]]]
Operation = Callable[[], Awaitable[object]]


@dataclass(frozen=True)
class Counted:
    """What one operation ran through. Of `upload_many`, calls and changes are one file's share."""

    calls: int
    functions: int
    files: int
    changes: int  # of the file, from one call to the next

    @classmethod
    def of(cls, entered: list[CodeType], times: int = 1) -> Counted:
        files = [code.co_filename for code in entered]
        changes = sum(one != other for one, other in itertools.pairwise(files))
        return cls(round(len(entered) / times), len(set(entered)), len(set(files)), round(changes / times))


@contextmanager
def recording(entered: list[CodeType]) -> Generator[None]:
    """Appends the code of each function of the package that this thread enters; worker threads are not looked at."""

    def note(frame: FrameType, event: str, _: object) -> None:
        code = frame.f_code
        # A coroutine or generator that is resumed goes on behind its start: it counts once.
        if event == "call" and _is_ours(code.co_filename) and frame.f_lasti <= _start(code):
            entered.append(code)

    sys.setprofile(note)
    try:
        yield
    finally:
        sys.setprofile(None)


@functools.cache
def _start(code: CodeType) -> int:
    return next(found.offset for found in dis.get_instructions(code) if found.opname == "RESUME")


@functools.cache
def _is_ours(file: str) -> bool:
    """Whether it is a file of the package. The emulator is the other side; what attrs generates lies in no file."""
    path = Path(file)
    return path.is_relative_to(PACKAGE) and not path.is_relative_to(PACKAGE / "emulator")


async def count(files: int = FILES) -> dict[str, Counted]:
    """The figures of each operation, against an emulator in a thread of its own, with a client that has done it before."""
    found: dict[str, Counted] = {}
    with TemporaryDirectory(prefix="imgwire-bench-") as folder, Emulator(ready_polls=0) as emulator:
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            for name, operation in (await _operations(client, Path(folder), files)).items():
                await operation()
                found[name] = await _settled(operation, files if name == "upload_many" else 1)
    return found


async def _settled(operation: Operation, times: int) -> Counted:
    """The least of several counts, once it came twice.

    Timers of the client that happen to fire are no part of a call, and on a busy machine more looks at files go into threads.
    """
    counts: list[Counted] = []
    for _ in range(10):
        counts.append(await _counted(operation, times))
        if counts.count(_least(counts)) == 2:
            break
    return _least(counts)


def _least(counts: list[Counted]) -> Counted:
    return min(counts, key=lambda one: (one.calls, one.functions))


async def _counted(operation: Operation, times: int) -> Counted:
    entered: list[CodeType] = []
    with recording(entered):
        await operation()
    return Counted.of(entered, times)


async def _operations(client: AsyncImgwireClient, folder: Path, files: int) -> dict[str, Operation]:
    source, target = folder / "one.png", folder / "target.png"
    source.write_bytes(PNG)
    sent = [await client.images.upload(source) for _ in range(RECORDS)]
    image = await client.images.retrieve(sent[0].id)

    async def upload_many() -> None:
        async for result in client.images.upload_many([source] * files, concurrency=1):
            result.unwrap()

    async def download() -> None:
        await client.images.download(image, target, overwrite=True)

    async def url() -> None:
        image.url(width=100, quality=80, format="webp")

    return {
        "retrieve": lambda: client.images.retrieve(image.id),
        "list": lambda: client.images.list(limit=RECORDS),
        "upload": lambda: client.images.upload(source),
        "upload_many": upload_many,
        "download": download,
        "image.url": url,
    }


def table(kept: Kept) -> Iterator[str]:
    """The rows of the page: what is counted now, and before the parts were put in order."""
    yield "| operation | calls | functions | files | changes of file |"
    yield "|---|---|---|---|---|"
    for name, now in kept["now"].items():
        cells = (f"{value} ({kept['before'][name][measure]})" for measure, value in now.items())
        yield f"| `{name}` | {' | '.join(cells)} |"


def filled(page: str, kept: Kept) -> str:
    """The page with its table made from what is kept."""
    head, mark, rest = page.partition("<!-- calls -->\n")
    _, end, tail = rest.partition("<!-- end -->")
    return "".join((head, mark, "\n", "\n".join(table(kept)), "\n\n", end, tail))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__)
    parser.add_argument("--keep", choices=("before", "now"), help="write the figures to the page")
    given = parser.parse_args()
    found = asyncio.run(count())
    print(f"\ncounted calls (Python {platform.python_version()}, without orjson)")
    for name, one in found.items():
        told = "  ".join(f"{measure} {value:4}" for measure, value in asdict(one).items())
        print(f"  {name:28} {told}")
    if given.keep:
        if sys.version_info[:2] != (3, 11):
            parser.error("the page's figures are counted on Python 3.11")
        kept: Kept = json.loads(KEPT.read_text("utf-8"))
        kept[given.keep] = {name: asdict(one) for name, one in found.items()}
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        PAGE.write_text(filled(PAGE.read_text("utf-8"), kept), "utf-8")


if __name__ == "__main__":
    main()
