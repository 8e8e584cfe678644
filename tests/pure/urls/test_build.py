"""Tests of `build_url`: names, duplicates, presets, raw pairs, and the handling of faults.

[rules 1-3]
"""

from __future__ import annotations

import logging
from collections import ChainMap
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any

import pytest

from imgwire_async.errors import Fault, ImgwireError, TransformationError
from imgwire_async.urls import Transformation, build_url

B = "https://cdn.imgwire.dev/example"
ON_INVALID_MODES: list[Any] = ["raise", "warn", "omit"]
# `Any`, because these tests pass invalid names and values.
build: Any = build_url


def faults_of(*args: Any, **kwargs: Any) -> list[Fault]:
    with pytest.raises(TransformationError) as caught:
        build_url(*args, **kwargs)
    return list(caught.value.faults)


def test_without_rules_the_query_is_removed_and_the_fragment_kept() -> None:
    assert build_url(f"{B}?width=5&v=2#top") == f"{B}#top"
    assert build_url(f"{B}#top?no=query", width=5) == f"{B}?width=5#top?no=query"


@pytest.mark.parametrize("name", ["thumbnail", "small", "medium", "large"])
def test_a_preset_is_appended_to_the_path(name: Any) -> None:
    assert build_url(f"{B}?old=1#f", preset=name, width=5) == f"{B}@{name}?width=5#f"
    assert build_url(B, {"preset": name}) == build_url(B, {"preset": name}, preset=name) == f"{B}@{name}"


def test_none_means_no_preset() -> None:
    assert build_url(B, {"preset": None}, preset=None) == B
    assert build_url(B, {"preset": None}, preset="small") == f"{B}@small"


@pytest.mark.parametrize("mode", ON_INVALID_MODES)
@pytest.mark.parametrize("preset", ["Small", " small", "", "huge", 5, b"small", ["small"]])
def test_an_unknown_preset_is_an_error_in_every_mode(preset: Any, mode: Any) -> None:
    assert [fault.rule for fault in faults_of(B, preset=preset, on_invalid=mode)] == ["preset"]


@pytest.mark.parametrize("mode", ON_INVALID_MODES)
def test_two_different_presets_are_an_error(mode: Any) -> None:
    assert faults_of(B, {"preset": "small"}, preset="large", on_invalid=mode)[0].rule == "preset"
    assert faults_of(B, Transformation(preset="small"), preset="large", on_invalid=mode)[0].rule == "preset"


@pytest.mark.parametrize("mode", ON_INVALID_MODES)
@pytest.mark.parametrize(
    ("options", "rules"),
    [
        ({"width": 100, "w": 200}, {}),
        ({"width": 100}, {"width": 100}),
        ({"width": None, "w": "x"}, {}),
        ({"w": 1}, {"width": None}),
        (Transformation(width=5), {"w": 5}),
        (Transformation(raw={"w": 5}), {"width": 5}),
    ],
)
def test_a_duplicate_is_an_error_in_every_mode(options: Any, rules: dict[str, Any], mode: Any) -> None:
    faults = faults_of(B, options, **rules, on_invalid=mode)
    assert [str(fault) for fault in faults] == ["width: Duplicate transformation rule: width"]


def test_a_duplicate_is_reported_before_any_value_is_read() -> None:
    class Recorder:
        was_read = False

        def __str__(self) -> str:
            self.was_read = True
            return "5"

        __index__ = __float__ = __str__

    value = Recorder()
    assert len(faults_of(B, {"width": value, "w": value}, on_invalid="omit")) == 1
    assert not value.was_read


def test_strict_mode_reports_all_faults_together() -> None:
    faults = faults_of(
        B, {"widht": 300, "q": 0, "blur": False, "height": 5}, h=5, format="jpgg", preset="smal", raw={"": 1}
    )
    by_rule = {fault.rule: fault for fault in faults}
    assert set(by_rule) == {"widht", "q", "height", "format", "preset", ""}
    assert (by_rule["widht"].suggestion, by_rule["widht"].value) == ("width", 300)
    assert (by_rule["format"].suggestion, by_rule["preset"].suggestion) == ("jpg", "small")
    assert (by_rule["q"].reason, by_rule["q"].suggestion) == (
        "0 is not a whole number from 1 to 100, or auto",
        None,
    )


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [("hieght", "height"), ("Width", "width"), ("resizing-type", "resizing_type"), ("fm", "format"), ("strip", "strip_metadata"),
     ("xyzzy", None), ("x", None), ("w" * 1000, None)],
)  # fmt: skip
def test_the_most_similar_name_is_suggested(name: str, suggestion: str | None) -> None:
    assert [fault.suggestion for fault in faults_of(B, {name: 1})] == [suggestion]


def test_the_error_is_a_value_error_that_names_every_fault() -> None:
    with pytest.raises(
        ValueError, match=r"widht: there is no such rule \(did you mean 'width'\?\); width: None is not"
    ):
        build(B, widht=3, width=None)
    with pytest.raises(ImgwireError):
        build(B, width=None)


def test_a_fault_names_the_field_and_suggests_a_keyword_for_it() -> None:
    faults = faults_of(B, crop={"width": 1, "height": 0}, zoom="2:sout", sharpen="maybe")
    assert [(fault.reason, fault.suggestion) for fault in faults][:1] == [
        ("height: 0 is not a whole number from 1 to 8192", None)
    ]
    assert faults[1].suggestion == "south"


def test_false_leaves_a_switch_out_without_a_fault() -> None:
    assert build_url(B, blur=False, sharpen=False, monochrome=False, negate=False, flip=(False, False)) == B


def test_omit_leaves_invalid_rules_out() -> None:
    assert build(B, widht=3, height=5, width=None, on_invalid="omit") == f"{B}?height=5"


def test_warn_logs_one_line_and_leaves_invalid_rules_out(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "imgwire_async"):
        assert build(B, {"a\nb": 1, "widht": 3}, height=5, width="9\n9", on_invalid="warn") == f"{B}?height=5"
        assert build_url(B, height=5, on_invalid="warn") == f"{B}?height=5"
    assert [record.name for record in caplog.records] == ["imgwire_async.urls"]
    (message,) = caplog.messages
    assert "did you mean 'width'" in message
    assert message.isprintable()


def test_an_unknown_mode_is_rejected() -> None:
    for args in ((), (Transformation(),)):
        with pytest.raises(ValueError, match="raise, warn, omit"):
            build(B, *args, on_invalid="ignore")


@pytest.mark.parametrize("options", [5, "width=5", [("width", 5)], {1}, object()])
def test_options_of_another_type_are_rejected(options: Any) -> None:
    with pytest.raises(TypeError, match="a mapping or a Transformation"):
        build_url(B, options)


def test_every_kind_of_mapping_is_accepted() -> None:
    class Name(StrEnum):
        WIDTH = "width"

    class CustomMapping(Mapping[str, object]):
        def __getitem__(self, key: str) -> object:
            return {"height": 5}[key]

        def __iter__(self) -> Iterator[str]:
            return iter(["height"])

        def __len__(self) -> int:
            return 1

    assert build_url(B, ChainMap({"min-width": 5})) == f"{B}?min-width=5"
    assert build_url(B, {Name.WIDTH: 5}) == f"{B}?width=5"
    assert build_url(B, CustomMapping(), width=1) == f"{B}?height=5&width=1"
    assert build_url(B, crop={"height": 5, "width": 4, "extra": object()}).endswith("%22width%22%3A4%7D")


def test_a_name_that_is_not_text_is_unknown() -> None:
    options: Any = {1: 2, None: 3}
    assert [fault.rule for fault in faults_of(B, options)] == ["1", "None"]
    assert build_url(B, options, on_invalid="omit") == B


def test_raw_pairs_are_encoded_and_sorted_but_not_checked() -> None:
    raw: dict[str, object] = {
        "new_rule": "a b",
        "a": 1,
        "zz": True,
        "é&": {"b": [1, "ü"], "a": None},
        "width": "9999",
        "n": 1.0,
    }
    url = build_url(B, raw=raw, height=5)
    assert url == (
        f"{B}?a=1&height=5&n=1&new_rule=a+b&width=9999&zz=true&%C3%A9%26=%7B%22a%22%3Anull%2C%22b%22%3A%5B1%2C%22%C3%BC%22%5D%7D"
    )


@pytest.mark.parametrize("mode", ON_INVALID_MODES)
@pytest.mark.parametrize(("raw", "rule"), [({"width": 1}, "w"), ({"w": 1}, "width"), ({"w": 1}, "w")])
def test_a_raw_name_that_is_also_a_rule_is_a_duplicate(raw: Any, rule: str, mode: Any) -> None:
    assert "Duplicate" in str(faults_of(B, {rule: 5}, raw=raw, on_invalid=mode)[0])


def test_two_raw_names_of_one_rule_are_a_duplicate() -> None:
    assert "Duplicate" in str(faults_of(B, raw={"w": 1, "width": 1})[0])


@pytest.mark.parametrize(
    "value", [None, object(), float("nan"), "\ud800", {"a": {1, 2}}, [float("inf")], b"x"]
)
def test_a_raw_value_that_cannot_be_text_is_a_fault(value: object) -> None:
    assert [fault.rule for fault in faults_of(B, raw={"new": value})] == ["new"]
    assert build_url(B, raw={"new": value}, on_invalid="omit") == B


@pytest.mark.parametrize("name", ["", "\ud800", 5])
def test_a_raw_name_that_cannot_be_text_is_a_fault(name: Any) -> None:
    assert len(faults_of(B, raw={name: "x"})) == 1
    assert build_url(B, raw={name: "x"}, on_invalid="omit") == B


def test_control_and_non_ascii_characters_of_the_cdn_url_are_encoded() -> None:
    url = build_url("https://h/é\n\x7f\ud800 😀@x", width=5)
    assert url == "https://h/%C3%A9%0A%7F%ED%A0%80 %F0%9F%98%80@x?width=5"
