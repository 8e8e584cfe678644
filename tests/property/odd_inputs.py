"""Odd arguments: texts, numbers, objects and files that callers may pass by mistake."""

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
    """The exception of objects in this module. The client may raise it unchanged."""


def _raise(*_: object, **__: object) -> Any:
    raise CallerError


class RaisingObject:
    """An object with methods that all raise."""

    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __int__ = __index__ = __float__ = __len__ = (
        __iter__
    ) = _raise  # type: ignore[assignment]
    __class__ = property(_raise)  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise CallerError


class RaisingText(str):
    __slots__ = ()
    __str__ = __repr__ = __eq__ = __hash__ = __iter__ = __len__ = strip = upper = encode = isprintable = (
        _raise  # type: ignore[assignment]
    )


class TextWithOtherStr(str):
    """A text with another `str()` than its content, like a member of a class `(str, Enum)`."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\r\nX-Lie: 1"


class RaisingInt(int):
    __str__ = __repr__ = __eq__ = __hash__ = __int__ = __lt__ = __le__ = __gt__ = __ge__ = _raise  # type: ignore[assignment]


class Size(enum.IntEnum):
    SMALL = 3


class Kind(str, enum.Enum):  # noqa: UP042  # `str()` of its members returns their names
    PNG = "image/png"


class Level(int, enum.Enum):
    TWO = 2


class Colour(enum.Enum):
    RED = "red"


class IntLike:
    """Like an integer of NumPy: not an `int`, but it has `__index__`."""

    def __index__(self) -> int:
        return 3

    __int__ = __index__


class FloatLike:
    def __float__(self) -> float:
        return 3.0


class RaisingMapping(Mapping[str, Any]):
    __getitem__ = __iter__ = __len__ = _raise  # type: ignore[assignment]


class MappingWithMissingKey(Mapping[str, Any]):
    """A mapping that iterates over a key that it does not contain."""

    def __iter__(self) -> Iterator[str]:
        yield "a"

    def __len__(self) -> int:
        return 1

    def __getitem__(self, key: str) -> Any:
        raise CallerError


class RaisingPath(os.PathLike[str]):
    def __fspath__(self) -> str:
        raise CallerError


class PathOf(os.PathLike[str]):
    def __init__(self, value: Any) -> None:
        self.value = value

    def __fspath__(self) -> str:
        return self.value  # type: ignore[no-any-return]


class ZoneWithoutOffset(tzinfo):
    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None


class RaisingZone(tzinfo):
    utcoffset = _raise  # type: ignore[assignment]


class Reader:
    """A file whose `read` returns `chunk` once, and then the end of the file."""

    def __init__(self, chunk: Any, name: Any = "a.png") -> None:
        self.chunks = [chunk]
        self.name = name

    def read(self, size: int = -1) -> Any:
        if size == 0:
            return b""
        return self.chunks.pop() if self.chunks else b""


class AsyncReader(Reader):
    async def read(self, size: int = -1) -> Any:  # type: ignore[override]
        return super().read(size)


class FileWithWrongSize(io.BytesIO):
    """A file that reports a larger size than it has."""

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return super().seek(offset, whence) + (7 if whence == io.SEEK_END else 0)


class FailingFile(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> Any:
        raise CallerError


class Source:
    """An object with the attributes of an `UploadSource`."""

    def __init__(self, **changes: Any) -> None:
        self.name = "a.png"
        self.size: Any = 3
        self.replayable = True
        self.chunks: Any = [b"abc"]
        vars(self).update(changes)

    async def open(self) -> AsyncIterator[bytes]:
        for chunk in self.chunks:
            yield chunk


class SourceWithoutIterator(Source):
    def open(self) -> Any:  # type: ignore[override]
        return [b"abc"]


def iterate(*chunks: Any) -> Iterator[Any]:
    yield from chunks


async def iterate_async(*chunks: Any) -> AsyncIterator[Any]:
    for chunk in chunks:
        yield chunk


def fail_after_first_chunk() -> Iterator[bytes]:
    yield b"\x89PNG"
    raise CallerError


async def coroutine_function(*_: object) -> None: ...


def nested_list(levels: int = 5_000) -> Any:
    nested: Any = []
    for _ in range(levels):
        nested = [nested]
    return nested


def cyclic_dict() -> dict[str, Any]:
    mapping: dict[str, Any] = {}
    mapping["self"] = mapping
    return mapping


# Python does not convert an integer with so many digits to text.
HUGE_INT = 10**5000
LONE_SURROGATE = "a\ud800"

TEXTS: list[str] = [
    "", " ", ".", "..", "a/b", "../b", "a\\b", "a?b", "a#b", "%2e%2e", "a b", "a\0b", "a\r\nX-Y: z", "\u2028", "\ufeff", "\x7f",
    LONE_SURROGATE, "\udcff", "e\u0301", "\U0001f4f7", "ﬁ", "İ", "x" * 255, "x" * 256, "x" * 70_000, "{image_id}", "{}", "{0}", "%s", "null",
    "http://a", "http://[::1", "http://[v1.a]/", "http://a:99999/", "http://a:b/", "https://a<b/", "https://ä.example/", "https://a%zz/",
    "https://@a", "https://u:p@a/", "http://" + "a" * 300, "http://a..b", "//a", "http:a", "HTTP://A", "http://\u2100.example",
    "image/png", "image/png; charset=x", "Europe/Berlin", "DAILY", "daily",
]  # fmt: skip

# Functions, because a file or a generator can be used only once.
FACTORIES: list[Callable[[], Any]] = [
    lambda: None, lambda: True, lambda: False, lambda: ..., lambda: NotImplemented, lambda: object(),
    lambda: 0, lambda: -1, lambda: 1, lambda: 101, lambda: 2**31, lambda: 2**63, lambda: 2**64, lambda: HUGE_INT, lambda: -HUGE_INT,
    lambda: 0.0, lambda: 0.5, lambda: -0.5, lambda: math.nan, lambda: math.inf, lambda: -math.inf, lambda: 5e-324, lambda: 1e308,
    lambda: 1j, lambda: decimal.Decimal("1.5"), lambda: decimal.Decimal("NaN"), lambda: fractions.Fraction(1, 3),
    IntLike, FloatLike, lambda: Size.SMALL, lambda: Level.TWO, lambda: Kind.PNG, lambda: Colour.RED, lambda: RaisingInt(3),
    RaisingObject, lambda: RaisingText("image/png"), lambda: TextWithOtherStr("image/png"), lambda: TextWithOtherStr("a" * 20),
    lambda: b"", lambda: b"image/png", lambda: bytearray(b"x"), lambda: memoryview(b"x"), lambda: memoryview(b"abcd").cast("i"),
    list, lambda: [None], lambda: ["a", 5], lambda: (), lambda: {"a", "b"}, lambda: frozenset(), lambda: range(3), lambda: range(0),
    dict, lambda: {"a": None}, lambda: {"a": {"b": 1}}, lambda: {5: "x"}, lambda: {"": 1}, lambda: {"a": LONE_SURROGATE}, lambda: {LONE_SURROGATE: "a"},
    lambda: {"a": math.nan}, lambda: {"a": HUGE_INT}, lambda: {"a": -HUGE_INT}, lambda: {"a": RaisingObject()}, lambda: {"a": RaisingText("a")}, lambda: {"a": TextWithOtherStr("b")}, lambda: {TextWithOtherStr("b"): 1}, lambda: {"a": Size.SMALL},
    lambda: {"a": Level.TWO}, lambda: {"a": Kind.PNG}, lambda: {"a": RaisingInt(2)}, lambda: {"x" * 9999: b"x"}, lambda: {"\n": "\0"},
    lambda: {("a", "b"): 1}, lambda: {None: None}, lambda: {"a": decimal.Decimal(1)}, lambda: {"a": IntLike()},
    RaisingMapping, MappingWithMissingKey, nested_list, lambda: {"a": nested_list()}, cyclic_dict, lambda: [cyclic_dict()],
    lambda: uuid.UUID(int=0), lambda: uuid.UUID(int=1), lambda: [uuid.UUID(int=1)], lambda: [LONE_SURROGATE], lambda: ["a", "a/b"],
    lambda: date(2026, 1, 1), lambda: datetime.fromisoformat("2026-01-01"), lambda: datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
    lambda: datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))), lambda: datetime(2026, 1, 1, tzinfo=ZoneWithoutOffset()),
    lambda: datetime(2026, 1, 1, tzinfo=RaisingZone()), lambda: datetime(2026, 1, 1, tzinfo=timezone(timedelta(microseconds=1))),
    lambda: timedelta(seconds=1), lambda: pathlib.Path("nowhere.png"), lambda: pathlib.Path("\0"), lambda: pathlib.Path(LONE_SURROGATE),
    lambda: PathOf("a\0b"), lambda: PathOf(b"nowhere"), lambda: PathOf(5), lambda: PathOf(LONE_SURROGATE), lambda: PathOf(b"\0"), RaisingPath,
    lambda: coroutine_function, lambda: print, lambda: _raise, lambda: ValueError("x"),
    lambda: iterate(), lambda: iterate(b""), lambda: iterate("text"), lambda: iterate(None), lambda: iterate(5), lambda: iterate([1]), lambda: iterate(b"\x89PNG\r\n\x1a\n", "x"),
    lambda: iterate_async(), lambda: iterate_async("text"), lambda: iterate_async(None), lambda: iterate_async(b"\x89PNG\r\n\x1a\n", 5), fail_after_first_chunk,
    lambda: io.StringIO("text"), lambda: io.BytesIO(b""), lambda: io.BytesIO(b"\x89PNG\r\n\x1a\n"), lambda: FileWithWrongSize(b"\x89PNG\r\n\x1a\n"), FailingFile,
    lambda: Reader("text"), lambda: Reader(None), lambda: Reader(5), lambda: Reader(b"x" * 3_000_000), lambda: Reader(b"\x89PNG\r\n\x1a\n", name=LONE_SURROGATE),
    lambda: Reader(b"GIF89a", name=TextWithOtherStr("a/b")), lambda: Reader(b"GIF89a", name=5), lambda: Reader(b"GIF89a", name=""),
    lambda: AsyncReader("text"), lambda: AsyncReader(None), lambda: AsyncReader(5), lambda: AsyncReader(b"\x89PNG\r\n\x1a\n", name=LONE_SURROGATE),
    lambda: Source(size=-1), lambda: Source(size="3"), lambda: Source(size=2.5), lambda: Source(size=math.nan), lambda: Source(size=True),
    lambda: Source(size=HUGE_INT), lambda: Source(name=5), lambda: Source(name=LONE_SURROGATE), lambda: Source(replayable="no"), lambda: Source(chunks=["a"]),
    lambda: Source(chunks=[None]), lambda: Source(chunks=[b"\x89PNG\r\n\x1a\n", 5], size=9), lambda: Source(chunks=5), SourceWithoutIterator,
]  # fmt: skip

texts: st.SearchStrategy[Any] = st.sampled_from(TEXTS) | st.text(st.characters(), max_size=20)
numbers: st.SearchStrategy[Any] = st.integers() | st.floats()
moments: st.SearchStrategy[Any] = st.datetimes() | st.datetimes(timezones=st.timezones())
trees: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(), inner, max_size=3),
    max_leaves=8,
)

ODD_FACTORIES: list[Callable[[], Any]] = [*FACTORIES, *(functools.partial(str, text) for text in TEXTS)]


class Unbuilt:
    """The index of a value in `FACTORIES`.

    Hypothesis inspects the values that it draws, and some of these values raise then.
    """

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"FACTORIES[{self.number}]"

    def build(self) -> Any:
        return FACTORIES[self.number]()


def build(value: Any) -> Any:
    """Return the value that was drawn from `any_values`."""
    return value.build() if type(value) is Unbuilt else value


unbuilt_values: st.SearchStrategy[Any] = st.sampled_from(
    [Unbuilt(number) for number in range(len(FACTORIES))]
)
any_values: st.SearchStrategy[Any] = st.one_of(
    unbuilt_values, unbuilt_values, texts, numbers, moments, trees, st.binary(max_size=20)
)
