"""What callers pass by mistake, or because somebody else chose it: odd texts, numbers, objects, files."""

from __future__ import annotations

import decimal
import enum
import fractions
import functools
import io
import math
import os
import pathlib
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import date, datetime, timedelta, timezone, tzinfo
from typing import Any

from hypothesis import strategies as st


class CallerError(Exception):
    """What the objects here raise: the caller's own error, which may pass unchanged."""


def _raise(*_: object, **__: object) -> Any:
    raise CallerError


class Angry:
    """Raises whatever is done to it."""

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __int__ = __index__ = __float__ = __len__ = (
        __iter__
    ) = _raise  # type: ignore[assignment]
    __class__ = property(_raise)  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise CallerError


class AngryText(str):
    __slots__ = ()
    __str__ = __repr__ = __eq__ = __hash__ = __iter__ = __len__ = strip = upper = encode = isprintable = (
        _raise  # type: ignore[assignment]
    )


class LyingText(str):
    """Says something else than it holds, as members of `(str, Enum)` do."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\r\nX-Lie: 1"


class AngryInt(int):
    __str__ = __repr__ = __eq__ = __hash__ = __int__ = __lt__ = __le__ = __gt__ = __ge__ = _raise  # type: ignore[assignment]


class Size(enum.IntEnum):
    SMALL = 3


class Kind(str, enum.Enum):  # noqa: UP042  # this older spelling is the one that tells its name as its text
    PNG = "image/png"


class Level(int, enum.Enum):
    TWO = 2


class Colour(enum.Enum):
    RED = "red"


class LikeInt:
    """As numpy's integers: an index, no int."""

    def __index__(self) -> int:
        return 3

    __int__ = __index__


class LikeFloat:
    def __float__(self) -> float:
        return 3.0


class AngryMapping(Mapping[str, Any]):
    __getitem__ = __iter__ = __len__ = _raise  # type: ignore[assignment]


class HalfMapping(Mapping[str, Any]):
    """Names a key that it does not have."""

    def __iter__(self) -> Iterator[str]:
        yield "a"

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: str) -> Any:
        raise CallerError


class AngryPath(os.PathLike[str]):
    def __fspath__(self) -> str:
        raise CallerError


class PathOf(os.PathLike[str]):
    def __init__(self, value: Any) -> None:
        self.value = value

    def __fspath__(self) -> str:
        return self.value  # type: ignore[no-any-return]


class NoZone(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None


class AngryZone(tzinfo):
    utcoffset = _raise  # type: ignore[assignment]


class Reader:
    """A file whose `read` gives `piece` (once, then the end)."""

    def __init__(self, piece: Any, name: Any = "a.png") -> None:
        self.pieces = [piece]
        self.name = name

    def read(self, size: int = -1) -> Any:
        if size == 0:
            return b""
        return self.pieces.pop() if self.pieces else b""


class AsyncReader(Reader):
    async def read(self, size: int = -1) -> Any:  # type: ignore[override]
        return super().read(size)


class Liar(io.BytesIO):
    """Says that it is longer than it is."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return super().seek(offset, whence) + (7 if whence == io.SEEK_END else 0)


class Endless(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> Any:
        raise CallerError


class Source:
    """An `UploadSource` by its shape alone."""

    def __init__(self, **changes: Any) -> None:
        self.name = "a.png"
        self.size: Any = 3
        self.replayable = True
        self.pieces: Any = [b"abc"]
        vars(self).update(changes)

    async def open(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece


class BadSource(Source):
    def open(self) -> Any:  # type: ignore[override]
        return [b"abc"]


def plain(*pieces: Any) -> Iterator[Any]:
    yield from pieces


async def later(*pieces: Any) -> AsyncIterator[Any]:
    for piece in pieces:
        yield piece


def breaking() -> Iterator[bytes]:
    yield b"\x89PNG"
    raise CallerError


async def coroutine_function(*_: object) -> None: ...


def deep(levels: int = 5_000) -> Any:
    inner: Any = []
    for _ in range(levels):
        inner = [inner]
    return inner


def cyclic() -> dict[str, Any]:
    made: dict[str, Any] = {}
    made["self"] = made
    return made


HUGE = 10**5000  # more digits than Python writes
HALF = "a\ud800"

TEXTS: list[str] = [
    "", " ", ".", "..", "a/b", "../b", "a\\b", "a?b", "a#b", "%2e%2e", "a b", "a\0b", "a\r\nX-Y: z", "\u2028", "\ufeff", "\x7f",
    HALF, "\udcff", "e\u0301", "\U0001f4f7", "ﬁ", "İ", "x" * 255, "x" * 256, "x" * 70_000, "{image_id}", "{}", "{0}", "%s", "null",
    "http://a", "http://[::1", "http://[v1.a]/", "http://a:99999/", "http://a:b/", "https://a<b/", "https://ä.example/", "https://a%zz/",
    "https://@a", "https://u:p@a/", "http://" + "a" * 300, "http://a..b", "//a", "http:a", "HTTP://A", "http://\u2100.example",
    "image/png", "image/png; charset=x", "Europe/Berlin", "DAILY", "daily",
]  # fmt: skip

# Functions, because files and generators are used up.
THINGS: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: False, lambda: ..., lambda: NotImplemented, lambda: object(),
    lambda: 0, lambda: -1, lambda: 1, lambda: 101, lambda: 2**31, lambda: 2**63, lambda: 2**64, lambda: HUGE, lambda: -HUGE,
    lambda: 0.0, lambda: 0.5, lambda: -0.5, lambda: math.nan, lambda: math.inf, lambda: -math.inf, lambda: 5e-324, lambda: 1e308,
    lambda: 1j, lambda: decimal.Decimal("1.5"), lambda: decimal.Decimal("NaN"), lambda: fractions.Fraction(1, 3),
    LikeInt, LikeFloat, lambda: Size.SMALL, lambda: Level.TWO, lambda: Kind.PNG, lambda: Colour.RED, lambda: AngryInt(3),
    Angry, lambda: AngryText("image/png"), lambda: LyingText("image/png"), lambda: LyingText("a" * 20),
    lambda: b"", lambda: b"image/png", lambda: bytearray(b"x"), lambda: memoryview(b"x"), lambda: memoryview(b"abcd").cast("i"),
    list, lambda: [None], lambda: ["a", 5], lambda: (), lambda: {"a", "b"}, lambda: frozenset(), lambda: range(3), lambda: range(0),
    dict, lambda: {"a": None}, lambda: {"a": {"b": 1}}, lambda: {5: "x"}, lambda: {"": 1}, lambda: {"a": HALF}, lambda: {HALF: "a"},
    lambda: {"a": math.nan}, lambda: {"a": HUGE}, lambda: {"a": -HUGE}, lambda: {"a": Angry()}, lambda: {"a": AngryText("a")}, lambda: {"a": LyingText("b")}, lambda: {LyingText("b"): 1}, lambda: {"a": Size.SMALL},
    lambda: {"a": Level.TWO}, lambda: {"a": Kind.PNG}, lambda: {"a": AngryInt(2)}, lambda: {"x" * 9999: b"x"}, lambda: {"\n": "\0"},
    lambda: {("a", "b"): 1}, lambda: {None: None}, lambda: {"a": decimal.Decimal(1)}, lambda: {"a": LikeInt()},
    AngryMapping, HalfMapping, deep, lambda: {"a": deep()}, cyclic, lambda: [cyclic()],
    lambda: uuid.UUID(int=0), lambda: uuid.UUID(int=1), lambda: [uuid.UUID(int=1)], lambda: [HALF], lambda: ["a", "a/b"],
    lambda: date(2026, 1, 1), lambda: datetime.fromisoformat("2026-01-01"), lambda: datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    lambda: datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), lambda: datetime(2026, 1, 1, tzinfo=NoZone()),
    lambda: datetime(2026, 1, 1, tzinfo=AngryZone()), lambda: datetime(2026, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),
    lambda: timedelta(seconds=1), lambda: pathlib.Path("nowhere.png"), lambda: pathlib.Path("\0"), lambda: pathlib.Path(HALF),
    lambda: PathOf("a\0b"), lambda: PathOf(b"nowhere"), lambda: PathOf(5), lambda: PathOf(HALF), lambda: PathOf(b"\0"), AngryPath,
    lambda: coroutine_function, lambda: print, lambda: _raise, lambda: ValueError("x"),
    lambda: plain(), lambda: plain(b""), lambda: plain("text"), lambda: plain(None), lambda: plain(5), lambda: plain([1]), lambda: plain(b"\x89PNG\r\n\x1a\n", "x"),
    lambda: later(), lambda: later("text"), lambda: later(None), lambda: later(b"\x89PNG\r\n\x1a\n", 5), breaking,
    lambda: io.StringIO("text"), lambda: io.BytesIO(b""), lambda: io.BytesIO(b"\x89PNG\r\n\x1a\n"), lambda: Liar(b"\x89PNG\r\n\x1a\n"), Endless,
    lambda: Reader("text"), lambda: Reader(None), lambda: Reader(5), lambda: Reader(b"x" * 3_000_000), lambda: Reader(b"\x89PNG\r\n\x1a\n", name=HALF),
    lambda: Reader(b"GIF89a", name=LyingText("a/b")), lambda: Reader(b"GIF89a", name=5), lambda: Reader(b"GIF89a", name=""),
    lambda: AsyncReader("text"), lambda: AsyncReader(None), lambda: AsyncReader(5), lambda: AsyncReader(b"\x89PNG\r\n\x1a\n", name=HALF),
    lambda: Source(size=-1), lambda: Source(size="3"), lambda: Source(size=2.5), lambda: Source(size=math.nan), lambda: Source(size=True),
    lambda: Source(size=HUGE), lambda: Source(name=5), lambda: Source(name=HALF), lambda: Source(replayable="no"), lambda: Source(pieces=["a"]),
    lambda: Source(pieces=[None]), lambda: Source(pieces=[b"\x89PNG\r\n\x1a\n", 5], size=9), lambda: Source(pieces=5), BadSource,
]  # fmt: skip

texts: st.SearchStrategy[Any] = st.sampled_from(TEXTS) | st.text(st.characters(), max_size=20)
numbers: st.SearchStrategy[Any] = st.integers() | st.floats()
moments: st.SearchStrategy[Any] = st.datetimes() | st.datetimes(timezones=st.timezones())
trees: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(), inner, max_size=3),
    max_leaves=8,
)

ODD: list[Callable[[], Any]] = [*THINGS, *(functools.partial(str, text) for text in TEXTS)]


class Thing:
    """One of `THINGS`, not made yet: hypothesis looks at what it draws, and some of these do not like that."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"THINGS[{self.number}]"

    def made(self) -> Any:
        return THINGS[self.number]()


def made(value: Any) -> Any:
    """What was drawn from `anything`, at last."""
    return value.made() if type(value) is Thing else value


things: st.SearchStrategy[Any] = st.sampled_from([Thing(number) for number in range(len(THINGS))])
anything: st.SearchStrategy[Any] = st.one_of(
    things, things, texts, numbers, moments, trees, st.binary(max_size=20)
)
