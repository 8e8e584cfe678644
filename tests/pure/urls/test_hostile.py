"""Tests that hostile objects and huge texts are rejected quickly, with the usual errors."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Mapping
from enum import Enum
from typing import Any

import pytest

from imgwire_async.errors import TransformationError
from imgwire_async.urls import Transformation, build_url
from imgwire_async.urls.rules import RULE_TABLE
from imgwire_async.urls.structured import WATERMARK_URL

B = "https://cdn.imgwire.dev/example"
NAMES = [rule.name for rule in RULE_TABLE]
MB = 1_000_000


class TrapError(Exception):
    """The error that the hostile objects raise."""


def _raise(*_: object, **__: object) -> Any:
    raise TrapError


class Hostile:
    __str__ = __repr__ = __eq__ = __hash__ = __bool__ = __int__ = __index__ = __float__ = __len__ = (
        __iter__
    ) = _raise  # type: ignore[assignment]
    __class__ = property(_raise)  # type: ignore[assignment]

    def __getattr__(self, name: str) -> Any:
        raise TrapError


class HostileText(str):
    __slots__ = ()
    __str__ = __repr__ = __eq__ = __hash__ = strip = lower = split = encode = __len__ = _raise  # type: ignore[assignment]


class HostileInt(int):
    __str__ = __repr__ = __eq__ = __hash__ = __int__ = __index__ = __le__ = __lt__ = __bool__ = __abs__ = (
        _raise  # type: ignore[assignment]
    )


class HostileFloat(float):
    __str__ = __repr__ = __eq__ = __hash__ = is_integer = __float__ = __le__ = _raise  # type: ignore[assignment]


class HostileMapping(Mapping[str, Any]):
    __getitem__ = __iter__ = __len__ = get = _raise  # type: ignore[assignment]


class HostileMeta(type):
    __hash__ = __repr__ = __eq__ = _raise  # type: ignore[assignment]
    __name__ = property(_raise)  # type: ignore[assignment]


class HasHostileMeta(metaclass=HostileMeta):
    pass


class HasObject(Enum):
    INNER = object()


def recursive_list() -> list[Any]:
    items: list[Any] = []
    items.append(items)
    return items


def recursive_dict() -> dict[str, Any]:
    fields: dict[str, Any] = {}
    fields.update(dict.fromkeys(["width", "colors", "r", "tint", "ratio", "text", "imageId"], fields))
    return fields


HOSTILE: list[Any] = [
    Hostile(), Hostile, HostileText("\ud800"), HostileInt(10**6), HostileFloat("nan"), HostileMapping(), HasHostileMeta(), HasObject.INNER,
    recursive_list(), (recursive_list(),) * 2, recursive_dict(), 10**5000, -(10**5000), float("inf"), "\ud800", "a\udfff:n",
    object(), type, len, NotImplemented, ..., b"\xff", bytearray(b"5"), range(5), {1, 2}, 1j, {"width": Hostile(), "x": Hostile()},
    [Hostile()], (Hostile(), Hostile()), {"colors": [Hostile()]}, '{"a":' * 100_000, "[" * 100_000, sys.maxunicode, {None: None},
]  # fmt: skip


@pytest.mark.parametrize("name", [*NAMES, "unknown"])
def test_a_hostile_value_is_a_fault(name: str) -> None:
    for position, value in enumerate(HOSTILE):
        url = build_url(B, {name: value}, on_invalid="omit")
        assert url.isascii(), position
        if url == B:
            with pytest.raises(TransformationError) as caught:
                build_url(B, {name: value}, raw={"other": value})
            assert caught.value.faults[0].value is value, position
            assert str(caught.value).isprintable(), position
            assert len(str(caught.value)) < 1500, position


def test_a_hostile_raw_value_or_preset_is_a_fault() -> None:
    for value in HOSTILE:
        assert build_url(B, raw={"new": value}, on_invalid="omit").isascii()
        with pytest.raises(TransformationError):
            build_url(B, preset=value, on_invalid="omit")


def test_a_subclass_counts_as_its_builtin_value() -> None:
    assert (
        build_url(B, {"width": HostileInt(5), "format": HostileText("webp"), "dpr": HostileFloat(1.5)})
        == f"{B}?dpr=1.5&format=webp&width=5"
    )


def test_a_hostile_name_is_unknown() -> None:
    class Names(dict[str, object]):
        def items(self) -> Any:
            return [(Hostile(), 1), (HostileText("width"), 5), (5, 5)]

    assert build_url(B, Names(), on_invalid="omit") == f"{B}?width=5"


UNITS = [
    "9", "0", "-", " ", ".", "1.", "e", "1e", ":", "a:", ":1", "::1", ",", "fff,", "fff:", "#", "{", '{"a":', '{"a":1,', "[", '"', "\\",
    "é", "\x00", "\ud800", "t", "true:", "https://", "@", "/", "A", "QUJD", "=", "%", "id:se:", "1:2:", "+", "_", "\n",
]  # fmt: skip
HEADS = ["", "https://", "{", '{"text":"', "fff", "1", "-0", " ", "aHR0cHM6Ly9h"]


def longest_time(heads: list[str], units: list[str], tails: list[str]) -> float:
    """Return the longest time that a rule takes for one of the texts, in seconds."""
    longest = 0.0
    for head, unit, tail in itertools.product(heads, units, tails):
        text = head + unit * (MB // len(unit)) + tail
        for name in NAMES:
            started_at = time.perf_counter()
            build_url(B, {name: text}, on_invalid="omit")
            longest = max(longest, time.perf_counter() - started_at)
    return longest


# 50 ms are usual. The limit is higher for busy machines; exponential time would be minutes.
@pytest.mark.slow
def test_a_megabyte_of_hostile_text_is_rejected_quickly() -> None:
    assert longest_time([""], UNITS, ["x"]) < 2


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_a_megabyte_after_a_valid_prefix_is_rejected_quickly(head: str) -> None:
    assert longest_time([head], UNITS, ["", "x", "}"]) < 2


def test_a_megabyte_in_any_argument_is_rejected_quickly() -> None:
    text = ":a" * (MB // 2)
    started_at = time.perf_counter()
    for call in (
        lambda: build_url(B, {text: 1}),
        lambda: build_url(B, raw={"new": text}),
        lambda: build_url(B, raw={text: "new"}),
        lambda: build_url(B, {"preset": text}),
        lambda: build_url(B, crop=(text, text)),
        lambda: build_url(B, gradient={"colors": [text] * 9}),
        lambda: build_url(B, watermark_text={"text": "a", "blend": text}),
        lambda: Transformation(format=text),  # type: ignore[arg-type]
    ):
        with pytest.raises(TransformationError) as caught:
            call()
        assert len(str(caught.value)) < 500
    assert time.perf_counter() - started_at < 2


def test_a_text_that_is_too_long_for_a_url_is_a_fault() -> None:
    with pytest.raises(TransformationError, match="too long for a URL"):
        build_url(B, watermark_url=f"https://example.com/{'a' * MB}")
    assert WATERMARK_URL.check(f"https://example.com/{'a' * 1000}") is not None
