"""Tests of every rule: its names, the values that it accepts and writes, and those it rejects.

[rules 4-8]
"""

from __future__ import annotations

import itertools
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from numbers import Integral
from typing import Any, NamedTuple, get_type_hints
from urllib.parse import parse_qsl
from uuid import UUID

import pytest

from imgwire_async.errors import TransformationError
from imgwire_async.urls import Rules, build_url
from imgwire_async.urls.rules import RULE_BY_NAME, RULE_TABLE

B = "https://cdn.imgwire.dev/example"
# Some watermark rules need a watermark source. [rules 9 C1]
WITH_SOURCE = {"raw": {"watermark": "id"}}


def text_of(rule: str, value: object) -> str | None:
    """Return the decoded text of the rule in the URL, or None when the rule is left out."""
    extra: Any = (
        WITH_SOURCE
        if rule.startswith("watermark_") and rule not in {"watermark_text", "watermark_url"}
        else {}
    )
    query = build_url(B, {rule: value}, **extra).partition("?")[2]
    return dict(parse_qsl(query)).get(rule)


# The aliases of each rule, by canonical name.
NAMES = {
    "width": "w", "height": "h", "min-width": "mw min_width", "min-height": "mh min_height", "dpi": "", "dpr": "",
    "pixelate": "pix", "quality": "q", "progressive": "", "chroma_subsampling": "", "format": "f ext extension",
    "color_profile": "cp icc", "resizing_algorithm": "ra", "resizing_type": "", "gravity": "g", "enlarge": "el",
    "keep_copyright": "kcr", "strip_color_profile": "scp", "strip_metadata": "sm", "brightness": "br",
    "lightness": "l", "saturation": "sa", "background_alpha": "bga", "hue": "hu", "background": "bg",
    "colorize": "col", "blur": "bl", "adjust": "a", "contrast": "co", "crop": "c", "duotone": "dt", "extend": "ex",
    "extend_aspect_ratio": "exar extend_ar", "flip": "fl", "gradient": "gr", "monochrome": "mc", "negate": "neg",
    "normalize": "norm normalise", "padding": "pd", "rotate": "rot", "sharpen": "sh", "zoom": "z",
    "watermark": "wm", "watermark_position": "wmp watermark_offset", "watermark_rotate": "wmr wm_rot",
    "watermark_shadow": "wmsh", "watermark_size": "wms", "watermark_text": "wmt", "watermark_url": "wmu",
}  # fmt: skip


def test_the_table_has_the_49_rules_with_all_their_aliases() -> None:
    assert {rule.name: set(rule.aliases) for rule in RULE_TABLE} == {
        n: set(a.split()) for n, a in NAMES.items()
    }
    assert len(RULE_TABLE) == 49


def test_no_name_belongs_to_two_rules() -> None:
    names = [name for rule in RULE_TABLE for name in (rule.name, *rule.aliases)]
    assert len(names) == len(set(names)) == len(RULE_BY_NAME)


def test_the_typed_keywords_are_all_names_without_a_hyphen() -> None:
    assert set(get_type_hints(Rules)) == {name for name in RULE_BY_NAME if "-" not in name}


EXAMPLES: list[tuple[str, dict[str, object], str]] = [
    (f"{B}?width=5&v=2", {}, B),
    (
        B,
        {"preset": "thumbnail", "bg": "#ffffff", "h": 150, "rot": 90, "w": 150},
        f"{B}@thumbnail?background=ffffff&height=150&rotate=90&width=150",
    ),
    (B, {"crop": "400:300:noea"}, f"{B}?crop=400%3A300%3Anortheast"),
    (B, {"dpr": 2.0, "brightness": "1.50", "format": "JPEG"}, f"{B}?brightness=1.5&dpr=2&format=jpg"),
    (
        B,
        {"watermark_url": "https://example.com/logo.png"},
        f"{B}?watermark_url=aHR0cHM6Ly9leGFtcGxlLmNvbS9sb2dvLnBuZw%3D%3D",
    ),
    (
        B,
        {"rotate": {"angle": 45, "background": "#00000000"}},
        f"{B}?rotate=%7B%22angle%22%3A45%2C%22background%22%3A%22%2300000000%22%7D",
    ),
    (B, {"zoom": {"factor": 2, "gravity": "se"}}, f"{B}?zoom=2%3Asoutheast"),
]


@pytest.mark.parametrize(("cdn_url", "options", "url"), EXAMPLES)
@pytest.mark.parametrize("mode", ["raise", "warn", "omit"])
def test_an_example_of_the_cdn_guide(cdn_url: str, options: dict[str, object], url: str, mode: Any) -> None:
    assert build_url(cdn_url, options, on_invalid=mode) == url


def test_an_example_with_an_invalid_value() -> None:
    assert (
        build_url(B, flip="true:false", quality=0, width=600, on_invalid="omit")
        == f"{B}?flip=horizontal&width=600"
    )


class Web(Enum):
    FORMAT = "WebP"
    WIDTH = 300
    RATIO = Decimal("1.5")


class Size(IntEnum):
    THUMB = 150


class Brand(StrEnum):
    BLUE = "#0044FF"


class Box(NamedTuple):
    width: int
    height: int


class Counted:
    """An integer type of another library."""

    def __int__(self) -> int:
        return 300


Integral.register(Counted)


SIZE_OK = [(1, "1"), (8192, "8192"), ("0300", "300"), (" 300 ", "300"), (300.0, "300"), (Decimal(300), "300")]
SIZE_OK += [
    (Web.WIDTH, "300"),
    (Size.THUMB, "150"),
    (Fraction(600, 2), "300"),
    (Counted(), "300"),
    ("0" * 400 + "7", "7"),
]
SIZE_NO = [
    0,
    -1,
    8193,
    "8193",
    "+5",
    "1e2",
    "1.0",
    "",
    " ",
    "12px",
    True,
    False,
    1.5,
    None,
    [],
    {},
    "１２",
    "1_0",
]
SIZE_NO += ["0x10", float("nan"), float("inf"), Decimal("1.5"), "9" * 400, 10**400, "--5", b"5", object()]
FLAG_OK = [(True, "true"), (False, "false"), ("T", "true"), ("1", "true"), (" True ", "true"), ("f", "false")]
FLAG_OK += [("FALSE", "false"), ("0", "false"), (1, "true"), (0, "false"), (1.0, "true")]
FLAG_NO = ["yes", "no", "on", "off", 2, -1, "", None, [], {}]
FACTOR_OK = [
    (0.01, "0.01"),
    (10, "10"),
    (2.0, "2"),
    ("2.50", "2.5"),
    (".5", "0.5"),
    ("5.", "5"),
    ("1e1", "10"),
]
FACTOR_OK += [
    (1.7778, "1.7778"),
    ("+1.5", "1.5"),
    (Decimal("1.50"), "1.5"),
    (Web.RATIO, "1.5"),
    (Fraction(1, 4), "0.25"),
]
FACTOR_NO = [
    0,
    0.009,
    10.01,
    "",
    " ",
    "NaN",
    "Infinity",
    "1,5",
    True,
    None,
    float("nan"),
    "1_0",
    "0x1",
    Decimal("NaN"),
]
COLOR_OK = [("#FFF", "fff"), ("aabbcc", "aabbcc"), ("#AABBCCDD", "aabbccdd"), ("255:0:07", "255:0:7")]
COLOR_OK += [
    ("1:2:3:.5", "1:2:3:0.5"),
    ({"r": 1, "g": 2, "b": 3}, "1:2:3"),
    ({"r": "1", "g": 2, "b": 3, "alpha": 1.0}, "1:2:3:1"),
]
COLOR_OK += [
    ((1, 2, 3), "1:2:3"),
    ((1, 2, 3, 0.5), "1:2:3:0.5"),
    (Brand.BLUE, "0044ff"),
    ('{"r":1,"g":2,"b":3}', "1:2:3"),
]
COLOR_NO = [
    "#ffff",
    "fffff",
    "#fffff",
    "red",
    "ggg",
    "##fff",
    "256:0:0",
    "1:2",
    "1:2:3:2",
    "1:2:3:4:5",
    "1:2:3:",
    12345,
]
COLOR_NO += [{"r": 1, "g": 2}, {"r": 1, "g": 2, "b": 300}, (1, 2), [1, 2, 3], None, True, "", "１２３"]
GRAVITY_OK = list(
    {
        "n": "north", "no": "north", "s": "south", "so": "south", "e": "east", "ea": "east", "w": "west", "we": "west",
        "ne": "northeast", "noea": "northeast", "se": "southeast", "soea": "southeast", "nw": "northwest",
        "nowe": "northwest", "sw": "southwest", "sowe": "southwest", "ce": "ce", "center": "center", "North": "north",
        " SE ": "southeast", "attention": "attention", "entropy": "entropy", "south": "south", "east": "east",
        "west": "west", "northwest": "northwest", "southeast": "southeast", "southwest": "southwest",
    }.items()
)  # fmt: skip


def rows(rules: str, pairs: list[Any]) -> list[Any]:
    return [
        (rule, *(pair if isinstance(pair, tuple) else (pair,))) for rule in rules.split() for pair in pairs
    ]


def rejected_rows(rules: str, values: list[Any]) -> list[Any]:
    return [(rule, value) for rule in rules.split() for value in values]


ACCEPTED: list[tuple[str, object, str | None]] = [
    *rows("width height min-width min-height", SIZE_OK),
    *rows("enlarge keep_copyright strip_color_profile strip_metadata progressive", FLAG_OK),
    *rows("brightness lightness saturation", FACTOR_OK),
    *rows("background colorize monochrome", COLOR_OK),
    *rows("gravity", GRAVITY_OK),
    *rows("gravity", [("ce:sm", "attention"), ("x:sm", "attention"), (":sm", "attention")]),
    *rows("dpi", [(1, "1"), (600, "600")]),
    *rows("dpr", [(0.01, "0.01"), (8, "8"), ("2.0", "2")]),
    *rows("pixelate", [(2, "2"), (256, "256")]),
    *rows("quality", [(1, "1"), (100, "100"), ("auto", "auto"), (" AUTO", "auto")]),
    *rows("progressive", [("Auto", "auto")]),
    *rows("chroma_subsampling", [("4:4:4", "4:4:4"), ("4:2:2", "4:2:2"), ("AUTO", "auto")]),
    *rows("format", [(name, name) for name in ["auto", "jpg", "png", "webp", "avif", "gif", "tiff"]]),
    *rows("format", [("jpeg", "jpg"), ("JPG", "jpg"), (Web.FORMAT, "webp")]),
    *rows("color_profile", [(name, name) for name in ["srgb", "rgb16", "cmyk", "keep", "preserve"]]),
    *rows("resizing_algorithm", [(name, name) for name in ["nearest", "cubic", "mitchell", "lanczos2", "lanczos3"]]),
    *rows("resizing_type", [(name, name) for name in ["cover", "contain", "fill", "inside", "outside"]]),
    *rows("resizing_type", [("fit", "inside"), ("fill-down", "inside"), ("auto", "inside"), ("FORCE", "fill")]),
    *rows("background_alpha", [(0, "0"), (1, "1"), (-0.0, "0"), ("0.25", "0.25")]),
    *rows("hue", [(-720, "-720"), (0.5, "0.5"), ("-90", "-90"), ("1e3", "1000"), (10**20, "1" + "0" * 20)]),
    *rows("blur", [(True, "true"), ("t", "true"), (0.3, "0.3"), (100, "100"), (False, None), ("f", None)]),
    *rows("adjust", [(1, "1"), ("1:2", "1:2"), ("1:2:3", "1:2:3"), ("1::2", "1::2"), ("1:", "1:"), ("1::", "1::")]),
    ("adjust", {"color": 1, "brightness": "2.0"}, '{"brightness":2,"color":1}'),
    ("adjust", (1, None, 2), "1::2"),
    *rows("contrast", [(1.5, "1.5"), ("1.5:255", "1.5:255"), ((2, 0), "2:0")]),
    ("contrast", {"multiplier": 2, "pivot": 128}, '{"multiplier":2,"pivot":128}'),
    *rows("crop", [("400:300", "400:300:ce"), ("1:2:300:200", "1:2:300:200"), ("0:0:300:200:Se", "0:0:300:200:southeast")]),
    *rows("crop", [((400, 300), "400:300:ce"), (Box(4, 3), "4:3:ce"), ((400, 300, "ne"), "400:300:northeast")]),
    ("crop", {"width": 400, "height": "300"}, '{"height":300,"width":400}'),
    ("crop", {"width": 4, "height": 3, "gravity": "ne"}, '{"gravity":"northeast","height":3,"width":4}'),
    *rows("duotone", [("#FFF:000000", "fff:000000"), (("#fff", "000"), "fff:000"), (((255, 0, 0), (0, 0, 0, 0.5)), "ff0000:00000080")]),
    ("duotone", {"shadowColor": "#FFF", "highlightColor": {"r": 1, "g": 2, "b": 3, "alpha": 0.5}},
     '{"highlightColor":{"alpha":0.5,"b":3,"g":2,"r":1},"shadowColor":"#fff"}'),
    ("duotone", {"shadowColor": "1:2:3", "highlightColor": "fff"}, '{"highlightColor":"#fff","shadowColor":{"b":3,"g":2,"r":1}}'),
    *rows("extend", [(10, "10"), ("1:2:3:4", "1:2:3:4"), ("0:8192:0:0:#FFF", "0:8192:0:0:fff")]),
    ("extend", {"top": 1, "background": "fff", "left": None, "what": 1}, '{"background":"#fff","top":1}'),
    *rows("extend_aspect_ratio", [(1.7778, "1.7778"), ("16:9", "16:9"), ("0.01", "0.01"), ((16, 9), "16:9"), (Fraction(1, 2), "0.5")]),
    ("extend_aspect_ratio", {"width": 16, "height": 9}, '{"height":9,"width":16}'),
    *rows("flip", [("vertical", "vertical"), ("Horizontal", "horizontal"), ("both", "both"), ("true:true", "both")]),
    *rows("flip", [("1:f", "horizontal"), ("false:true", "vertical"), ("false:false", None), ((False, True), "vertical")]),
    *rows("gradient", [("FFF", "fff"), ("#fff,,#000000", "fff,000000"), ("fff:45:0.5:over", "fff:45:0.5:over")]),
    *rows("gradient", [("fff::0.5", "fff::0.5"), ("fff:::multiply", "fff:::multiply"), ("fff:-360", "fff:-360"), (("fff,000", 45), "fff,000:45")]),
    ("gradient", {"colors": ["#fff", (1, 2, 3)], "angle": "45", "blend": "over"},
     '{"angle":45,"blend":"over","colors":["#fff",{"b":3,"g":2,"r":1}]}'),
    *rows("monochrome", [(True, "true"), ("1", "true"), (False, None), ("0", None)]),
    *rows("negate", [(True, "true"), (False, None), ("alpha:T", "alpha:true"), ("alpha:0", "alpha:false")]),
    *rows("negate", [({"alpha": True}, "alpha:true"), ({"alpha": False}, "alpha:false"), (("alpha", True), "alpha:true")]),
    *rows("normalize", [(True, "true"), (False, "false"), ("F", "false"), ("1:99", "1:99"), ("0:100.0", "0:100"), ((1, 99), "1:99")]),
    *rows("padding", [(10, "10"), ("1:2", "1:2"), ("1:2:3", "1:2:3"), ("1:2:3:4", "1:2:3:4"), ((0, 8192), "0:8192")]),
    ("padding", {"x": 1, "all": 2, "top": 3}, '{"all":2,"top":3,"x":1}'),
    *rows("rotate watermark_rotate", [(90, "90"), ("-45", "-45"), ("007", "7"), ("-0", "0"), (725, "725"), ("45:#FFF", "45:fff"), (90.0, "90")]),
    *rows("rotate watermark_rotate", [({"angle": 45, "background": "1:2:3"}, '{"angle":45,"background":{"b":3,"g":2,"r":1}}')]),
    *rows("sharpen", [(True, "true"), (False, None), (0.001, "0.001"), (1000, "1000")]),
    ("sharpen", {"sigma": 1.5, "m1": 0, "y3": "2.0"}, '{"m1":0,"sigma":1.5,"y3":2}'),
    *rows("zoom", [(1, "1"), ("10", "10"), ("1.5:se", "1.5:southeast"), ({"factor": 2}, "2"), ((2, "n"), "2:north")]),
    *rows("watermark", [("id", "id"), ("id:se", "id:southeast"), ("id:se:-5:5", "id:southeast:-5:5"), (UUID(int=1), str(UUID(int=1)))]),
    ("watermark", {"image_id": "id", "gravity": "n", "x": -1, "opacity": 0.5, "blend": "over"},
     '{"blend":"over","gravity":"north","imageId":"id","opacity":0.5,"x":-1}'),
    *rows("watermark_position", [("se", "southeast"), ("se:1:2:0.5:over", "southeast:1:2:0.5:over")]),
    ("watermark_position", {"left": 1, "top": -2, "gravity": "ce"}, '{"gravity":"ce","left":1,"top":-2}'),
    *rows("watermark_shadow", [(True, "true"), ("1", "true"), (False, None), ("000", "000"), ("#000:0.3:-1:1", "000:0.3:-1:1")]),
    ("watermark_shadow", {"color": "000", "x": 1}, '{"color":"#000","x":1}'),
    *rows("watermark_size", [(160, "160"), ("160:", "160:"), ("::0.5", "::0.5"), ("1:2:3", "1:2:3"), ((None, 5), ":5")]),
    ("watermark_size", {"scale": 0.5}, '{"scale":0.5}'),
    *rows("watermark_text", [(" hi ", "hi"), (5, "5"), (True, "true"), ("ä" * 2048, "ä" * 2048), ("007", "007"), ("a\nb", "a\nb")]),
    ("watermark_text", {"text": " hi ", "size": 512, "color": "FFF", "font": "Inter", "width": 8192},
     '{"color":"#fff","font":"Inter","size":512,"text":"hi","width":8192}'),
    ("watermark_text", ' {"text": "hi"}', '{"text":"hi"}'),
    ("watermark_url", " https://example.com/logo.png ", "aHR0cHM6Ly9leGFtcGxlLmNvbS9sb2dvLnBuZw=="),
    ("watermark_url", "HTTPS://EXAMPLE.com", "SFRUUFM6Ly9FWEFNUExFLmNvbQ=="),
    ("watermark_url", "aHR0cHM6Ly9leGFtcGxlLmNvbS9sb2dvLnBuZw==", "aHR0cHM6Ly9leGFtcGxlLmNvbS9sb2dvLnBuZw=="),
    ("watermark_url", "https://u@[::1]:443/a b?ä", "aHR0cHM6Ly91QFs6OjFdOjQ0My9hIGI/w6Q="),
]  # fmt: skip

REJECTED: list[tuple[str, object]] = [
    *rejected_rows("width height min-width min-height", SIZE_NO),
    *rejected_rows("enlarge keep_copyright strip_color_profile strip_metadata progressive", FLAG_NO),
    *rejected_rows("brightness lightness saturation", FACTOR_NO),
    *rejected_rows("background colorize", COLOR_NO),
    *rejected_rows("gravity", ["middle", "", "ce:SM", "ce:0:0", "ce:", "sm", "a:b:sm", None, 5, []]),
    *rejected_rows("dpi", [0, 601]),
    *rejected_rows("dpr", [0, 8.01, "auto"]),
    *rejected_rows("pixelate", [1, 257]),
    *rejected_rows("quality", [0, 101, "best", None, True]),
    *rejected_rows("chroma_subsampling", ["4:2:0", "444", None]),
    *rejected_rows("format", ["heic", "", None, 5]),
    *rejected_rows("color_profile", ["p3"]),
    *rejected_rows("resizing_algorithm", ["linear"]),
    *rejected_rows("resizing_type", ["stretch", "fill_down"]),
    *rejected_rows("background_alpha", [-0.1, 1.1]),
    *rejected_rows("hue", ["", "1e999", float("inf"), 10**400, True, "9" * 1000 + ".5"]),
    *rejected_rows("blur", [0, 0.2, 101, "", None, "0.2"]),
    *rejected_rows("adjust", ["", ":1", "0", "1:11", "1:2:3:4", {}, {"what": 1}, {"brightness": 0}, [1, 2], None, ":"]),
    *rejected_rows("contrast", ["0", "1:256", "1:", "1:2:3", {"pivot": 5}, {"multiplier": None}]),
    *rejected_rows("crop", ["400", "0:300", "300:200:", "300:200:middle", "-1:0:5:5", "320:320:ce:0:0", "1:2:3:4:n:5", [400, 300], 400]),
    *rejected_rows("crop", [{"width": 4}, {"width": 4, "height": 0}, '{"width":', "{}", "{]", '{"width":NaN,"height":1}']),
    *rejected_rows("duotone", ["fff", "fff:", "fff:000:111", "1:2:3:fff", {"shadowColor": "fff"}, {"shadowColor": "fff", "highlightColor": "red"}]),
    *rejected_rows("duotone", [("fff", (1, 2)), ("fff", 5)]),
    *rejected_rows("extend", ["", "1::3", "8193", "-1", "1:2:3:4:5", "1:2:3:4:1:2:3", {"top": -1}, {"side": 1}]),
    *rejected_rows("extend_aspect_ratio", [0, "0", "8193", "16:", "0:9", "1:2:3", True, {"width": 16}, {"height": 9, "ratio": 2}, {}]),
    *rejected_rows("flip", ["diagonal", True, "true:maybe", "true:", {}, {"horizontal": "x"}, None]),
    *rejected_rows("gradient", ["", ",", "red", "fff:361", "fff:", "fff:45:", "fff:45:0.5:", "fff:45:2", "fff:1:1:a:b", {"colors": []}]),
    *rejected_rows("gradient", [{"angle": 5}, {"colors": "fff"}, {"colors": ["red"]}, {"colors": ["fff"], "blend": " "}, ("fff", 1, 1, "a:b")]),
    *rejected_rows("monochrome", [1, 0, "red", {"tint": "red"}, {}]),
    *rejected_rows("negate", [1, "alpha", "alpha:x", "beta:true", {"alpha": "off"}, {}, ""]),
    *rejected_rows("normalize", [1, "99:1", "5:5", "1:101", "5", "5:", {"lower": 1}, {"lower": 9, "upper": 1}]),
    *rejected_rows("padding", ["", "1:", "1:2:3:4:5", 8193, {}, "-1", True]),
    *rejected_rows("rotate watermark_rotate", ["", "90:", "+90", "1.5", 1.5, "90:red", "90:1:2:3", {"background": "fff"}, "9" * 400, 10**400, True]),
    *rejected_rows("sharpen", [0, -1, "", {}, {"sigma": -1}]),
    *rejected_rows("zoom", [0.9, 11, "2:", "2:middle", "2:n:1", {"gravity": "n"}]),
    *rejected_rows("watermark", ["", ":se", "a/b", "id:middle", "id:se:1.5", "id:se:1:2:3", "id:se:+1", {"gravity": "n"}, {"image_id": "a/b"}]),
    *rejected_rows("watermark", [{"image_id": "a", "imageId": "b"}, {"image_id": "a", "opacity": 2}, None, [], "https://x/y"]),
    *rejected_rows("watermark_position", ["", ":1:2", "middle", "se:1:2:3", "se:1:2:1:a:b", {}, {"x": 1.5}]),
    *rejected_rows("watermark_shadow", ["", "red", "000:0.2", "000:1:x", {}, {"blur": 0}, 1]),
    *rejected_rows("watermark_size", ["", ":", "::", "0", "1:2:0", "1:2:3:4", {}, {"width": 0}, (None, None)]),
    *rejected_rows("watermark_text", ["", " ", None, [], "a" * 2049, {"font": "x"}, {"text": ""}, "{broken", {"text": "a", "size": 513}]),
    *rejected_rows("watermark_url", ["http://example.com", "ftp://example.com", "example.com", "https://", "https:///x", "", None, 5, "aHR0cDovL2E="]),
    *rejected_rows("watermark_url", ["https://a:70000/", "https://:443/", "https://u@/", "{}", {"url": "https://a"}, "httpſ://a", "/w=="]),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "value", "text"), ACCEPTED)
def test_a_valid_value_is_written(rule: str, value: object, text: str | None) -> None:
    assert text_of(rule, value) == text


@pytest.mark.parametrize(("rule", "value"), REJECTED)
def test_an_invalid_value_is_rejected_and_left_out_in_omit_mode(rule: str, value: object) -> None:
    with pytest.raises(TransformationError) as caught:
        text_of(rule, value)
    assert [fault.rule for fault in caught.value.faults] == [rule]
    assert caught.value.faults[0].value is value
    assert build_url(B, {rule: value}, on_invalid="omit") == B


def test_every_rule_is_in_both_tables() -> None:
    assert {row[0] for row in ACCEPTED} == {row[0] for row in REJECTED} == {rule.name for rule in RULE_TABLE}


@pytest.mark.parametrize("name", sorted(RULE_BY_NAME))
def test_an_alias_writes_the_canonical_name(name: str) -> None:
    rule = RULE_BY_NAME[name]
    value = next(value for canonical, value, text in ACCEPTED if canonical == rule.name and text)
    extra: Any = (
        WITH_SOURCE
        if rule.name in {"watermark_position", "watermark_rotate", "watermark_shadow", "watermark_size"}
        else {}
    )
    assert build_url(B, {name: value}, **extra) == build_url(B, {rule.name: value}, **extra) != B


def test_pairs_are_sorted_by_code_point() -> None:
    url = build_url(
        B,
        watermark_position="se",
        watermark="a",
        background_alpha=1,
        background="fff",
        colorize="fff",
        cp="srgb",
        mw=1,
    )
    names = [pair.partition("=")[0] for pair in url.partition("?")[2].split("&")]
    assert names == [
        "background",
        "background_alpha",
        "color_profile",
        "colorize",
        "min-width",
        "watermark",
        "watermark_position",
    ]
    assert all(a < b for a, b in itertools.pairwise(names))


def test_values_are_form_encoded() -> None:
    url = build_url(B, watermark_text='a b-._:,/=+#{"é')
    assert url == f"{B}?watermark_text=a+b-._%3A%2C%2F%3D%2B%23%7B%22%C3%A9"
