"""Tests of `Transformation` and `parse_url`."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import attrs
import pytest

from imgwire_async.errors import TransformationError
from imgwire_async.urls import Color, Crop, Transformation, build_url, parse_url
from imgwire_async.urls.transformation import complete_transformation

B = "https://cdn.imgwire.dev/example"
# `Any`, because these tests pass invalid names and values.
make: Any = Transformation
complete: Any = complete_transformation


def test_a_transformation_builds_the_url_of_its_rules_for_every_image() -> None:
    thumb = Transformation(
        {"min-width": 5}, preset="thumbnail", width=300, crop=Crop(4, 3), raw={"new": "a b"}
    )
    for base in (B, f"{B}2"):
        assert build_url(base, thumb) == build_url(
            base, {"min-width": 5}, preset="thumbnail", width=300, crop=Crop(4, 3), raw={"new": "a b"}
        )
    assert build_url(B, thumb, quality=80, preset="thumbnail") == build_url(
        B, thumb | Transformation(quality=80)
    )
    assert Transformation(thumb, quality=80) == thumb | {"quality": 80}
    assert build_url(B, thumb, raw={"newer": 1}) == build_url(B, thumb | Transformation(raw={"newer": 1}))


def test_faults_are_raised_when_a_transformation_is_created() -> None:
    with pytest.raises(TransformationError) as caught:
        make(widht=1, width=0)
    assert [fault.rule for fault in caught.value.faults] == ["widht", "width"]
    with pytest.raises(TransformationError):
        make(width=1, w=2, on_invalid="omit")


def test_the_faults_of_omitted_rules_can_be_read() -> None:
    made = make(widht=1, width=0, height=5, on_invalid="omit")
    assert [(fault.rule, fault.suggestion) for fault in made.faults] == [("widht", None), ("width", None)]
    assert made == Transformation(height=5)
    assert Transformation(height=5).faults == ()


def test_a_transformation_is_immutable() -> None:
    thumb: Any = Transformation(width=300)
    for name in ("preset", "pairs", "width", "query"):
        with pytest.raises((attrs.exceptions.FrozenInstanceError, AttributeError)):
            setattr(thumb, name, None)


def test_transformations_with_equal_rules_are_equal_and_have_the_same_hash() -> None:
    assert Transformation(w=300, bg="#FFF") == Transformation(background="fff", width="300")  # type: ignore[arg-type]
    assert len({Transformation(w=300), Transformation(width=300), Transformation(width=301)}) == 2
    assert Transformation(width=300) != Transformation(width=300, preset="small")
    assert Transformation(blur=1) != Transformation(blur=True)
    assert Transformation(width=300) != "width=300"


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_a_transformation_can_be_copied_and_pickled(duplicate: Any) -> None:
    thumb = Transformation(preset="small", width=300, crop={"width": 4, "height": 3}, raw={"new": "é"})
    other = duplicate(thumb)
    assert other == thumb
    assert hash(other) == hash(thumb)
    assert build_url(B, other) == build_url(B, thumb)


def test_a_pickle_does_not_contain_omitted_values() -> None:
    odd = make(width=lambda: 1, height=5, on_invalid="omit")
    assert pickle.loads(pickle.dumps(odd)) == odd


def test_the_right_operand_takes_precedence() -> None:
    both = Transformation(width=300, quality=80, preset="small") | Transformation(q=90, preset="large")
    assert both == Transformation(width=300, quality=90, preset="large")
    assert Transformation(preset="small") | {"w": 5} == Transformation(width=5, preset="small")
    with pytest.raises(TypeError):
        _ = Transformation() | make  # type: ignore[operator]
    with pytest.raises(TransformationError, match="widht"):
        _ = Transformation() | {"widht": 5}


def test_two_watermark_sources_are_a_fault() -> None:
    with pytest.raises(TransformationError, match="only one watermark source"):
        _ = Transformation(watermark="id") | Transformation(watermark_text="hi")


def test_a_transformation_may_lack_the_watermark_source() -> None:
    corner = Transformation(watermark_position="se", width=5)
    assert build_url(B, corner, watermark="id") == f"{B}?watermark=id&watermark_position=southeast&width=5"
    assert build_url(B, corner | {"watermark": "id"}) == build_url(B, corner, watermark="id")
    assert build_url(B, corner, on_invalid="omit") == f"{B}?width=5"
    for rules in ({}, {"height": 5}):
        with pytest.raises(TransformationError, match="watermark_position: it needs a source"):
            build_url(B, corner, **rules)  # type: ignore[arg-type]


def test_a_complete_transformation_reports_a_missing_source_at_once() -> None:
    with pytest.raises(TransformationError) as created:
        complete(watermark_position="se", width=0)
    with pytest.raises(TransformationError) as built:
        build_url(B, watermark_position="se", width=0)
    assert created.value.faults == built.value.faults
    assert [fault.rule for fault in created.value.faults] == ["width", "watermark_position"]


@pytest.mark.parametrize(
    "rules",
    [
        {},
        {"preset": "small", "w": 5, "raw": {"new": "a b"}},
        {"watermark": "id", "watermark_position": "se"},
        {"watermark_position": "se", "width": 5, "on_invalid": "omit"},
        {"watermark": "", "watermark_position": "se", "width": 5, "on_invalid": "omit"},
    ],
)
def test_a_complete_transformation_builds_the_url_of_its_rules(rules: dict[str, Any]) -> None:
    assert build_url(B, complete(**rules)) == build_url(B, **rules)


def test_the_repr_can_be_evaluated() -> None:
    thumb = Transformation(
        {"min-width": 5}, preset="small", blur=1, crop={"width": 4, "height": 3}, raw={"new": "é"}
    )
    text = repr(thumb)
    assert text == (
        "Transformation(preset='small', blur=1, crop={'height': 3, 'width': 4}, min_width=5, raw={'new': 'é'})"
    )
    assert eval(text, {"Transformation": Transformation}) == thumb
    assert repr(Transformation()) == "Transformation()"


def test_rules_returns_builtin_values() -> None:
    thumb = Transformation(
        width=300, dpr=1.5, enlarge=False, blur=1, sharpen=True, background="000", rotate="007", quality="auto",
        watermark_text="007", zoom=(2, "n"), normalize=(1, 99), hue=1e-7,
    )  # fmt: skip
    assert thumb.rules == {
        "width": 300, "dpr": 1.5, "enlarge": False, "blur": 1, "sharpen": True, "background": "000", "rotate": 7,
        "quality": "auto", "watermark_text": "007", "zoom": "2:north", "normalize": "1:99", "hue": 1e-7,
    }  # fmt: skip
    assert Transformation(thumb.rules) == thumb
    assert thumb.raw == {}


def test_parse_url_splits_a_url() -> None:
    url = f"{B}@small?blur=1&crop=4%3A3%3Ace&future=a+b&min-width=5&width=300#top"
    parsed = parse_url(url)
    assert (parsed.base, parsed.preset) == (f"{B}#top", "small")
    assert parsed.rules == {"blur": 1, "crop": "4:3:ce", "min-width": 5, "width": 300}
    assert parsed.raw == {"future": "a b"}
    assert build_url(parsed.base, parsed.rules, preset="small", raw=parsed.raw) == url
    assert build_url(parsed.base, parsed.transformation) == url
    assert len({parsed, parse_url(url)}) == 1
    assert pickle.loads(pickle.dumps(parsed)) == parsed


@pytest.mark.parametrize(
    ("url", "base"),
    [
        (B, B),
        ("https://h/@small", "https://h/@small"),
        ("https://u@small", "https://u@small"),
        (f"{B}@huge", f"{B}@huge"),
        (f"{B}@small/x", f"{B}@small/x"),
        (f"{B}?a=b@small", B),
    ],
)
def test_a_suffix_that_is_not_a_preset_stays_in_the_base(url: str, base: str) -> None:
    assert (parse_url(url).base, parse_url(url).preset) == (base, None)


def test_invalid_pairs_are_raw() -> None:
    url = f"{B}?crop=320%3A320%3Ace%3A0%3A0&flag=&quality=0&rotate=%7B"
    parsed = parse_url(url)
    assert parsed.rules == {}
    assert parsed.raw == {"crop": "320:320:ce:0:0", "flag": "", "quality": "0", "rotate": "{"}
    assert build_url(parsed.base, parsed.transformation) == url


def test_other_spellings_are_parsed() -> None:
    parsed = parse_url(f"{B}?w=0300&crop=400:300&blur=false&progressive=T&watermark_text=%FF")
    assert parsed.rules == {
        "width": "0300",
        "crop": "400:300",
        "blur": False,
        "progressive": "T",
        "watermark_text": "�",
    }
    assert (
        build_url(B, parsed.rules)
        == f"{B}?crop=400%3A300%3Ace&progressive=true&watermark_text=%EF%BF%BD&width=300"
    )


@pytest.mark.parametrize("query", ["width=1&width=1", "w=1&width=2", "new=1&new=2"])
def test_a_url_with_a_duplicate_rule_is_rejected(query: str) -> None:
    with pytest.raises(TransformationError, match="Duplicate"):
        parse_url(f"{B}?{query}")


def test_a_colour_is_created_from_hex_digits() -> None:
    assert Color.from_hex("#Fa0") == Color.from_hex("ffaa00") == Color(255, 170, 0)
    assert Color.from_hex("00000080").alpha == pytest.approx(0.502, abs=1e-3)
    assert build_url(B, background=Color(1, 2, 3, 0.5)) == f"{B}?background=1%3A2%3A3%3A0.5"
    for text in ("", "#ffff", "ggg", "１２３", "0x1"):
        with pytest.raises(ValueError, match="hex"):
            Color.from_hex(text)
