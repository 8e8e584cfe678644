"""Tests of the cases in which the official packages differ, by the name of the case.

[rules 9]
"""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import pytest

from imgwire_async.errors import TransformationError
from imgwire_async.urls import build_url

B = "https://cdn.imgwire.dev/example"
SOURCE = {"watermark": "id"}


def rules_of(options: dict[str, object]) -> dict[str, str]:
    return dict(parse_qsl(build_url(B, options, on_invalid="omit").partition("?")[2]))


QUERIES = [
    ("E1", {"watermark_text": "a*b~c"}, "watermark_text=a%2Ab~c"),
    ("E4", {"watermark_text": {"text": "é"}}, "watermark_text=%7B%22text%22%3A%22%C3%A9%22%7D"),
]


@pytest.mark.parametrize(("case", "options", "query"), QUERIES)
def test_a_value_is_encoded_as_by_the_official_python_package(
    case: str, options: dict[str, object], query: str
) -> None:
    assert build_url(B, options) == f"{B}?{query}", case


# The name of the case, the options, and the rules in the URL.
CASES: list[tuple[str, dict[str, object], dict[str, str]]] = [
    ("E2", {"crop": {"width": 4, "height": 3, "gravity": "n"}}, {"crop": '{"gravity":"north","height":3,"width":4}'}),
    ("E3", {"adjust": {"brightness": 2.0}}, {"adjust": '{"brightness":2}'}),
    ("E5", {"hue": 1e-7}, {"hue": "0.0000001"}),
    ("E5", {"hue": 1e21}, {"hue": "1000000000000000000000"}),
    ("E5", {"sharpen": {"sigma": 2.5e-8}}, {"sharpen": '{"sigma":0.000000025}'}),
    ("E6", {"watermark_text": 1.0}, {"watermark_text": "1"}),
    ("V1", {"enlarge": "yes"}, {}),
    ("V1", {"blur": "off"}, {}),
    ("V2", {"width": " 300 ", "crop": " 4 : 3 : n "}, {"width": "300", "crop": "4:3:north"}),
    ("V3", {"width": 300.0}, {"width": "300"}),
    ("V4", {"blur": 1}, {"blur": "1"}),
    ("V4", {"sharpen": 1}, {"sharpen": "1"}),
    ("V4", {"normalize": 1}, {}),
    ("V4", {"negate": 1}, {}),
    ("V4", {"monochrome": 1}, {}),
    ("V4", {**SOURCE, "watermark_shadow": 1}, SOURCE),
    ("V5", {"width": "1_0", "height": "１０"}, {}),
    ("V6", {"width": "0x10", "hue": "0x10"}, {}),
    ("V7", {"rotate": {"angle": 5, "background": None}}, {"rotate": '{"angle":5}'}),
    ("V8", {"watermark_url": "aHR0cHM6Ly9leGFtcGxlLmNvbQ"}, {}),  # no padding
    ("V8", {"watermark_url": "aHR0cHM6Ly9hLmIvP_8="}, {}),  # the URL-safe alphabet
    ("V8", {"watermark_url": "aHR0cHM6Ly9leGFt\ncGxlLmNvbQ=="}, {}),  # a line break
    ("V8", {"watermark_url": "https:example.com"}, {}),
    ("V9", {"watermark_url": "https://exa mple.com/"}, {}),
    ("V10", {"extend_aspect_ratio": "8193:1"}, {}),
    ("V10", {"extend_aspect_ratio": "0.5:1"}, {}),
    ("V10", {"extend_aspect_ratio": " 1.5 : 1 "}, {"extend_aspect_ratio": "1.5:1"}),
    ("V11", {"watermark_text": "😀" * 1025}, {}),
    ("V11", {"watermark_text": "😀" * 1024}, {"watermark_text": "😀" * 1024}),
    ("V12", {"watermark_text": {"text": "a", "size": 513}}, {}),
    ("V14", {"watermark_text": "\ud800", "width": 5}, {"width": "5"}),
    ("V14", {"watermark_text": '{"text":"\\ud800"}'}, {}),
    ("S1", {"watermark": "id:se::-24"}, {"watermark": "id:southeast::-24"}),
    ("S1", {**SOURCE, "watermark_position": "se::-24"}, SOURCE | {"watermark_position": "southeast::-24"}),
    ("S1", {**SOURCE, "watermark_shadow": "000:::5"}, SOURCE | {"watermark_shadow": "000:::5"}),
    ("S2", {"watermark": "id:"}, {"watermark": "id"}),
    ("S2", {"watermark": "id:se::"}, {"watermark": "id:southeast"}),
    ("S2", {**SOURCE, "watermark_shadow": "000:"}, SOURCE | {"watermark_shadow": "000"}),
    ("S2", {**SOURCE, "watermark_position": "se:"}, SOURCE | {"watermark_position": "southeast"}),
    ("S3", {"crop": "400:300"}, {"crop": "400:300:ce"}),
    ("S4", {"crop": "300:200:"}, {}),
    ("S5", {"gradient": "fff:45:1:"}, {}),
    ("O1", {"normalize": {"lower": 1, "upper": 99.0}}, {"normalize": "1:99"}),
    ("O1", {"normalize": {"lower": 1}}, {}),
    ("O2", {"extend_aspect_ratio": {"ratio": 1.5}}, {"extend_aspect_ratio": "1.5"}),
    ("O2", {"extend_aspect_ratio": {"aspectRatio": "16:9"}}, {"extend_aspect_ratio": "16:9"}),
    ("O2", {"extend_aspect_ratio": {"aspect_ratio": 2}}, {"extend_aspect_ratio": "2"}),
    ("O3", {"extend_aspect_ratio": {"width": 16, "height": 9, "ratio": 3}}, {"extend_aspect_ratio": '{"height":9,"width":16}'}),
    ("O4", {"watermark": {"image_id": "a"}}, {"watermark": '{"imageId":"a"}'}),
    ("O4", {"watermark": {"imageId": "a"}}, {"watermark": '{"imageId":"a"}'}),
    ("O5", {"watermark": {"imageId": "a", "offset": {"x": 1}}}, {"watermark": '{"imageId":"a"}'}),
    ("O5", {"watermark": {"imageId": "a", "left": 1, "top": 2}}, {"watermark": '{"imageId":"a","left":1,"top":2}'}),
    ("O6", {"watermark_text": {"text": "a", "offset": {"x": 1}}}, {"watermark_text": '{"text":"a"}'}),
    ("O7", {"watermark_text": {"text": "a", "align": "center"}}, {"watermark_text": '{"align":"center","text":"a"}'}),
    ("O8", {"flip": {"horizontal": True, "vertical": True}}, {"flip": "both"}),
    ("O8", {"flip": {"vertical": True}}, {"flip": "vertical"}),
    ("O8", {"flip": {"vertical": False}}, {}),
    ("O9", {"monochrome": {"tint": "#FFF"}}, {"monochrome": "fff"}),
    ("O9", {"monochrome": {"r": 1, "g": 2, "b": 3}}, {"monochrome": "1:2:3"}),
    ("O10", {"crop": {"width": 4, "height": 3, "x": 1, "y": 2}}, {"crop": '{"height":3,"mode":"extract","width":4,"x":1,"y":2}'}),
    ("O10", {"crop": {"width": 4, "height": 3, "x": 1}}, {}),
    ("O10", {"crop": {"width": 4, "height": 3, "mode": "extract"}}, {}),
    ("O10", {"crop": {"width": 4, "height": 3, "mode": "Entropy"}}, {"crop": '{"height":3,"mode":"entropy","width":4}'}),
    ("O11", {"padding": {"all": 5, "background": "fff"}}, {}),
    ("O11", {"padding": {"all": 5, "bg": "fff"}}, {}),
    ("O12", {"rotate": {"angle": 5, "bg": "FFF"}}, {"rotate": '{"angle":5,"background":"#fff"}'}),
    ("O12", {"extend": {"top": 5, "bg": "FFF"}}, {"extend": '{"background":"#fff","top":5}'}),
    ("O13", {"duotone": {"shadow_color": "000", "highlight_color": "fff"}}, {"duotone": '{"highlightColor":"#fff","shadowColor":"#000"}'}),
    ("O14", {"sharpen": {"sigma": 0, "flat": 5}}, {"sharpen": '{"sigma":0}'}),
    ("O14", {"sharpen": {"sigma": 1, "m1": -1}}, {}),
    ("O15", {"gradient": {"angle": 5}}, {}),
    ("O16", {"negate": {"alpha": "off"}}, {}),
    ("O17", {"crop": {"width": 4.0, "height": 3}}, {"crop": '{"height":3,"width":4}'}),
    ("C1", {"watermark_size": "50", "watermark_position": "n", "watermark_rotate": 5, "watermark_shadow": True}, {}),
    ("C1", {"watermark": "a/b", "watermark_size": "50"}, {}),
    ("C1", {"watermark_text": "hi", "watermark_size": "50"}, {"watermark_text": "hi", "watermark_size": "50"}),
    ("C2", {"watermark_text": "hi", "watermark": "id"}, SOURCE),
    ("C2", {"watermark_text": "hi", "watermark_url": "https://a.b"}, {"watermark_text": "hi"}),
    ("C2", {"watermark_text": "hi", "watermark": "a/b"}, {"watermark_text": "hi"}),
]  # fmt: skip


@pytest.mark.parametrize(("case", "options", "expected"), CASES)
def test_a_value_on_which_the_official_packages_differ(
    case: str, options: dict[str, object], expected: dict[str, str]
) -> None:
    assert rules_of(options) == expected, case


@pytest.mark.parametrize("mode", ["raise", "warn", "omit"])
def test_v13_an_unknown_preset_is_an_error_in_every_mode(mode: Any) -> None:
    with pytest.raises(TransformationError, match="did you mean 'thumbnail'"):
        build_url(B, {"preset": "thumbnal"}, on_invalid=mode)


def test_c1_a_missing_source_is_a_fault_in_strict_mode() -> None:
    with pytest.raises(TransformationError) as caught:
        build_url(B, watermark_size=50, watermark_position="se")
    assert [fault.rule for fault in caught.value.faults] == ["watermark_position", "watermark_size"]


def test_c1_an_invalid_source_is_the_only_fault() -> None:
    with pytest.raises(TransformationError) as caught:
        build_url(B, watermark="a/b", watermark_size=50)
    assert [fault.rule for fault in caught.value.faults] == ["watermark"]


def test_c2_two_sources_are_a_fault_in_strict_mode() -> None:
    with pytest.raises(TransformationError) as caught:
        build_url(B, watermark_text="hi", watermark="id")
    assert [(fault.rule, fault.value) for fault in caught.value.faults] == [("watermark_text", "hi")]


@pytest.mark.parametrize("cdn_url", ["https://host", "https://host/", "https://host?a=/b", "//host", "/", ""])
def test_c3_a_preset_needs_a_path(cdn_url: str) -> None:
    with pytest.raises(TransformationError, match="preset: the URL has no path"):
        build_url(cdn_url, preset="small", on_invalid="omit")


@pytest.mark.parametrize(
    ("cdn_url", "url"),
    [
        ("HTTPS://CDN.Example:443/a;v=1", "HTTPS://CDN.Example:443/a;v=1@small?width=5"),
        ("https://host/a b.jpg?x#frag", "https://host/a b.jpg@small?width=5#frag"),
        ("https://host/a/#", "https://host/a/@small?width=5#"),
        ("/o/e/i", "/o/e/i@small?width=5"),
        ("o/e/i.png", "o/e/i.png@small?width=5"),
        ("https://host/a@small", "https://host/a@small@small?width=5"),
    ],
)
def test_c4_an_unusual_cdn_url_is_not_changed(cdn_url: str, url: str) -> None:
    assert build_url(cdn_url, preset="small", width=5) == url
