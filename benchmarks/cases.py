"""The cases: each is work that is done in several ways. The first of them is the baseline."""

from __future__ import annotations

from dataclasses import dataclass, replace

from benchmarks.job import Work

GIB = 1 << 30


@dataclass(frozen=True)
class Case:
    """Work and the kinds that do it. `peers` are other libraries, for comparison only."""

    name: str
    work: Work
    kinds: tuple[str, ...]
    peers: tuple[str, ...] = ()
    # The count (in the part big: bytes) for `--quick`. None: `--quick` skips the case.
    quick: int | None = None

    def shortened(self) -> Case:
        """Return the case as `--quick` runs it, which only tests that it works."""
        assert self.quick is not None
        if self.work.part == "big":
            return replace(self, work=replace(self.work, size=self.quick))
        return replace(self, work=replace(self.work, count=self.quick))


FLOORS_AND_OURS = ("memory", "disk", "ours")
UPLOAD = Work("upload", count=1500, at_once=32, size=100_000)


def _upload(name: str, work: Work, *peers: str, quick: int | None = None) -> Case:
    return Case(name, work, FLOORS_AND_OURS, peers, quick)


CASES = (
    _upload(
        "100 kB files, 32 at once",
        UPLOAD,
        "ours on uvloop",
        "ours on eager tasks",
        "httpx",
        "urllib3 in threads",
        "requests in threads",
        quick=64,
    ),
    _upload("100 kB files, one by one", replace(UPLOAD, at_once=1, count=600)),
    _upload("100 kB files, 32 at once, TLS", replace(UPLOAD, tls=True), "ours on uvloop", quick=64),
    _upload("100 kB files, 32 at once, 30 ms", replace(UPLOAD, latency=True, count=640), quick=64),
    _upload(
        "100 kB files, 128 at once, 30 ms",
        replace(UPLOAD, latency=True, at_once=128, count=1536),
    ),
    _upload("10 kB files, 32 at once", replace(UPLOAD, size=10_000)),
    _upload(
        "2 MB files, 16 at once",
        replace(UPLOAD, size=2_000_000, at_once=16, count=160),
        quick=16,
    ),
    Case("1 GiB", Work("big", size=GIB), ("curl -T", "aiohttp", "ours"), quick=1 << 26),
    Case("1 GiB, TLS", Work("big", size=GIB, tls=True), ("curl -T", "aiohttp", "ours"), quick=1 << 26),
    Case(
        "decode a record",
        Work("decode", count=100),
        ("orjson", "json", "ours"),
        ("msgspec", "pydantic"),
        quick=5,
    ),
    Case("list 10,000 images", Work("listing"), ("1 page in flight", "8 pages in flight", "ours"), quick=1),
    Case("list 10,000 images, 30 ms", Work("listing", latency=True), ("8 pages in flight", "ours"), quick=1),
    Case(
        "one small GET",
        Work("get", count=1500),
        ("aiohttp", "ours"),
        ("ours on uvloop", "ours on eager tasks", "httpx", "urllib3", "requests", "httpx, blocking"),
        quick=50,
    ),
    Case(
        "blocking: one small GET",
        Work("blocking", count=1500),
        ("urllib3", "ours"),
        ("requests", "httpx, blocking"),
        quick=50,
    ),
    Case(
        "blocking: GETs from 32 threads",
        Work("blocking", count=60, at_once=32),
        ("urllib3", "ours"),
        ("requests", "httpx, blocking"),
        quick=5,
    ),
    Case(
        "blocking: a page of 100",
        Work("blocking", count=200),
        ("async, a page", "ours, a page"),
        quick=10,
    ),
    Case(
        "image URLs",
        Work("url", count=20_000),
        (
            "urlencode of ten pairs",
            "preset and four rules",
            "ten rules",
            "ten rules, omit",
            "a prepared Transformation",
        ),
        quick=1000,
    ),
    Case(
        "import",
        Work("imports", count=9),
        ("bare Python", "the package", "the client class", "a client, made", "the blocking client class"),
        ("aiohttp", "httpx", "requests"),
        quick=1,
    ),
)

BATCH = Work("batch", count=1500, at_once=64, size=100_000)
BATCHES = (
    Case("batch: 100 kB files, 64 at once", BATCH, ("upload_many", "64 at once"), quick=128),
    Case(
        "batch: a million files that are done",
        Work("batch", count=1_000_000),
        ("nothing to do",),
        quick=100_000,
    ),
    Case(
        "batch: the concurrency that a run finds",
        replace(BATCH, count=4000),
        ("4 at once", "16 at once", "64 at once", "adaptive"),
        quick=128,
    ),
    Case(
        "batch: the concurrency that a run finds, 30 ms",
        replace(BATCH, count=4000, latency=True),
        ("4 at once", "16 at once", "64 at once", "adaptive"),
        quick=128,
    ),
)

TINY = Work("growth", count=4000, size=1000)
GROWTH = (
    *(
        Case(f"{at_once:,} at once", replace(TINY, at_once=at_once), ("ours",))
        for at_once in (1, 10, 100, 1000)
    ),
    *(
        Case(
            f"{count:,} files",
            replace(TINY, at_once=32, count=count),
            ("ours",),
            quick=500 if count == 1000 else None,
        )
        for count in (1000, 10_000, 100_000)
    ),
)

MILLION = Case("1,000,000 files", replace(TINY, at_once=32, count=1_000_000), ("ours",))

# Parts by their names on the command line, and the units of their figures.
PARTS = {
    "upload": "upload",
    "big": "big",
    "decode": "decode",
    "list": "listing",
    "get": "get",
    "blocking": "blocking",
    "url": "url",
    "import": "imports",
    "growth": "growth",
    "batch": "batch",
}
UNITS = {
    "upload": ("ms per file", 1e3),
    "big": ("s", 1.0),
    "decode": ("us per record", 1e6),
    "listing": ("s", 1.0),
    "get": ("us", 1e6),
    "blocking": ("us", 1e6),
    "url": ("us", 1e6),
    "imports": ("ms", 1e3),
    "growth": ("ms per file", 1e3),
    # Of the run whose files are done: ms for all files.
    "batch": ("ms per file", 1e3),
}
NEEDS_NGINX = {"upload", "big", "listing", "get", "growth", "batch"}
