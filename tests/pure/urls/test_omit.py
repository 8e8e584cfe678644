"""Tests that `on_invalid="omit"` accepts integers as colours, as the official packages do."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Any

import pytest

from imgwire_async.errors import TransformationError
from imgwire_async.urls import Transformation, build_url

URL = "https://cdn.example/a"


class Brand(IntEnum):
    BLUE = 112233


def query_with_omit(**rules: Any) -> str:
    return build_url(URL, on_invalid="omit", **rules).removeprefix(URL).removeprefix("?")


@pytest.mark.parametrize("rule", ["background", "bg", "colorize", "monochrome"])
def test_an_integer_whose_digits_are_a_hex_colour_is_accepted(rule: str) -> None:
    name = {"bg": "background"}.get(rule, rule)
    for number in (112233, 123, 999, 11223344, 99999999, Brand.BLUE, Decimal(112233)):
        assert query_with_omit(**{rule: number}) == f"{name}={int(number)}"


NO_COLORS: list[Any] = [
    0,
    12,
    1122,
    11223,
    1122334,
    112233445,
    10**30,
    1 << 20_000,
    -112233,
    -123,
    112233.0,
    255.5,
    False,
]


@pytest.mark.parametrize("rule", ["background", "monochrome"])
def test_an_integer_whose_digits_are_no_hex_colour_is_left_out(rule: str) -> None:
    assert [number for number in NO_COLORS if query_with_omit(**{rule: number})] == []
    # The number 1 is no boolean here.
    assert query_with_omit(monochrome=1) == ""
    assert query_with_omit(monochrome=True) == "monochrome=true"


@pytest.mark.parametrize(
    ("rule", "value", "text"),
    [
        ("rotate", {"angle": 450, "background": 112233}, {"angle": 450, "background": "112233"}),
        ("rotate", '{"angle": 450, "background": 112233}', {"angle": 450, "background": "112233"}),
        ("rotate", (450, 112233), "450:112233"),
        ("extend", {"top": 300, "bg": 123}, {"top": 300, "bg": "123"}),
        ("duotone", {"shadowColor": 123, "highlightColor": 112233}, {"shadowColor": "123", "highlightColor": "112233"}),
        ("gradient", {"colors": [123, "fff", 112233], "angle": 300}, {"colors": ["123", "fff", "112233"], "angle": 300}),
        ("monochrome", {"tint": 112233}, {"tint": "112233"}),
        ("watermark_text", {"text": 123456, "color": 123456, "size": 100}, {"text": "123456", "color": "123456", "size": 100}),
    ],
)  # fmt: skip
def test_an_integer_is_accepted_as_a_colour_inside_structured_values(
    rule: str, value: Any, text: Any
) -> None:
    assert query_with_omit(**{rule: value}) == query_with_omit(**{rule: text}) != ""
    with pytest.raises(TransformationError):
        build_url(URL, {rule: value})


@pytest.mark.parametrize("rule", ["normalize", "negate", "watermark_shadow"])
def test_a_number_is_not_a_switch(rule: str) -> None:
    for number in (0, 1, 100, 112233):
        assert query_with_omit(**{rule: number}) == ""


def test_strict_mode_rejects_an_integer_and_suggests_text() -> None:
    for options in ({"background": 112233}, {"rotate": {"angle": 5, "background": 112233}}):
        with pytest.raises(TransformationError, match=r"112233 is a number, .* write it as text") as caught:
            build_url(URL, options)
        (fault,) = caught.value.faults
        assert fault.suggestion == "112233"
    with pytest.raises(TransformationError) as caught:
        build_url(URL, {"background": 5})
    assert caught.value.faults[0].suggestion is None


def test_warn_leaves_an_integer_out(caplog: pytest.LogCaptureFixture) -> None:
    assert build_url(URL, {"background": 112233, "width": 5}, on_invalid="warn") == f"{URL}?width=5"
    assert "write it as text" in caplog.text


def test_a_fault_has_the_value_as_it_was_given() -> None:
    made = Transformation({"background": 1122, "colorize": 112233}, on_invalid="omit")
    assert [(fault.rule, fault.value) for fault in made.faults] == [("background", 1122)]
    assert made == Transformation(colorize="112233")
