"""Tests of responsive images: candidates, sizes and HTML.

[contract 12]
"""

from __future__ import annotations

import inspect
import pickle
from datetime import UTC, datetime
from html import escape
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async.errors import TransformationError
from imgwire_async.models import Image, ImageStatus, SupportedMimeType
from imgwire_async.urls import (
    Breakpoint,
    ResponsiveImage,
    Rules,
    Transformation,
    build_url,
    responsive_image,
    srcset,
)
from imgwire_async.urls.types import ResponsiveOptions

B = "https://cdn.imgwire.dev/o/e/i"
DEFAULT_SIZES = "(min-width: 1440px) 1440px, (min-width: 1024px) 1024px, (min-width: 640px) 640px, 320px"


def image(width: int = 0, height: int = 0, cdn_url: str = B) -> Image:
    now = datetime.now(UTC)
    return Image(
        id="i", original_filename='"><script>.jpg', status=ImageStatus.READY, cdn_url=cdn_url,
        mime_type=SupportedMimeType.JPEG, can_upload=False, is_directly_deliverable=True, extension="jpg",
        width=width, height=height, custom_metadata={}, exif_data={}, created_at=now, updated_at=now,
    )  # fmt: skip


def pairs(text: str) -> list[tuple[str, str]]:
    """Return the query and the descriptor of each candidate."""
    candidates = [candidate.split(" ") for candidate in text.split(", ")]
    assert all(len(candidate) == 2 for candidate in candidates)
    return [(url.partition("?")[2], descriptor) for url, descriptor in candidates]


def descriptors(text: str) -> list[str]:
    return [descriptor for _, descriptor in pairs(text)]


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len(dict(attrs)) == len(attrs)
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def img_attributes(html: str) -> dict[str, str | None]:
    parsed = Tags(html)
    assert [tag for tag, _ in parsed.tags] == ["img"]
    assert parsed.text == ""
    return parsed.tags[0][1]


# --- candidates ---------------------------------------------------------------------------------------


def test_responsive_options_has_the_keywords_of_responsive_image() -> None:
    own = set(ResponsiveOptions.__annotations__) - set(Rules.__annotations__)
    keywords = {
        name: parameter
        for name, parameter in inspect.signature(responsive_image).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY
    }
    assert own == set(keywords)
    for name, parameter in keywords.items():
        assert ResponsiveOptions.__annotations__[name].__forward_arg__ == parameter.annotation, name
        for method in (srcset, Image.srcset, Image.responsive):
            assert f"`{name}" in str(method.__doc__)


@pytest.mark.parametrize("method", [responsive_image, srcset])
def test_an_unknown_keyword_is_reported_by_name(method: Any) -> None:
    for call in (lambda: method(B, 0, 0, widhts=[5]), lambda: image().responsive(widhts=[5])):
        with pytest.raises(TransformationError, match="widhts: there is no such rule"):
            call()


def test_the_default_breakpoints_and_densities() -> None:
    responsive = image().responsive()
    assert pairs(responsive.srcset) == [
        ("dpr=1&width=320", "320w"),
        # The breakpoint 640 at density 1 has the same descriptor, and is dropped.
        ("dpr=2&width=320", "640w"),
        ("dpr=2&width=640", "1280w"),
        ("dpr=1&width=1024", "1024w"),
        ("dpr=2&width=1024", "2048w"),
        ("dpr=1&width=1440", "1440w"),
        ("dpr=2&width=1440", "2880w"),
    ]
    assert responsive.sizes == DEFAULT_SIZES
    assert responsive.src == f"{B}?dpr=1&width=320"
    assert (responsive.width, responsive.height) == (None, None)


def test_every_candidate_has_the_rules_the_preset_and_the_raw_pairs() -> None:
    thumb = Transformation(quality=80, preset="small")
    text = image().srcset(thumb, widths=[10, 20], format="webp", raw={"new": 1})
    assert text == (
        f"{B}@small?format=webp&new=1&quality=80&width=10 10w, {B}@small?format=webp&new=1&quality=80&width=20 20w"
    )
    assert text == srcset(B, 0, 0, thumb, widths=[10, 20], format="webp", raw={"new": 1})


def test_breakpoints_are_sorted_and_may_override_rules() -> None:
    responsive = image(4000, 4000).responsive(
        breakpoints={
            "wide": {"minWidth": 1000, "width": 800, "crop": "800:400", "quality": 70, "densities": [1]},
            "narrow": Breakpoint(0, 300, height=200, format="avif", gravity="n"),
        },
        densities=(1, 1.5, 3),
        quality=50,
    )
    assert pairs(responsive.srcset) == [
        ("dpr=1&format=avif&gravity=north&height=200&quality=50&width=300", "300w"),
        ("dpr=1.5&format=avif&gravity=north&height=200&quality=50&width=300", "450w"),
        ("dpr=3&format=avif&gravity=north&height=200&quality=50&width=300", "900w"),
        ("crop=800%3A400%3Ace&dpr=1&quality=70&width=800", "800w"),
    ]
    assert responsive.sizes == "(min-width: 1000px) 800px, 300px"
    assert (responsive.width, responsive.height) == (800, 400)


def test_breakpoints_without_a_width_are_described_by_density() -> None:
    responsive = image().responsive(breakpoints=[Breakpoint(0, quality=50)], densities=[1, 2], width=100)
    assert pairs(responsive.srcset) == [
        ("dpr=1&quality=50&width=100", "1x"),
        ("dpr=2&quality=50&width=100", "2x"),
    ]
    assert responsive.sizes == ""


def test_a_width_among_the_rules_is_a_fixed_width_in_several_densities() -> None:
    responsive = image(1000, 500).responsive(width=300)
    assert pairs(responsive.srcset) == [("dpr=1&width=300", "1x"), ("dpr=2&width=300", "2x")]
    assert (responsive.src, responsive.sizes, responsive.width, responsive.height) == (
        f"{B}?dpr=1&width=300",
        "",
        300,
        150,
    )


def test_no_candidate_is_wider_than_the_original() -> None:
    assert descriptors(image(1000, 500).srcset()) == ["320w", "640w", "1000w"]
    assert descriptors(image(1000, 500).srcset(widths=[2000, 500, 500, 1500])) == ["500w", "1000w"]
    assert descriptors(image(500, 500).srcset(width=300)) == ["1x", "1.6667x"]
    assert descriptors(image(500, 500).srcset(width=500, densities=(2, 3))) == ["1x"]
    assert descriptors(image(500, 500).srcset(breakpoints=[Breakpoint(0)])) == ["1x"]


def test_with_upscale_or_an_unknown_width_only_the_cdn_limits_the_width() -> None:
    for one, upscale in ((image(), False), (image(100, 100), True)):
        assert descriptors(one.srcset(widths=[500, 8192], upscale=upscale)) == ["500w", "8192w"]
        assert descriptors(one.srcset(breakpoints=[(0, 8000)], upscale=upscale)) == ["8000w", "8192w"]
        assert descriptors(one.srcset(width=500, upscale=upscale)) == ["1x", "2x"]
        assert descriptors(one.srcset(breakpoints=[Breakpoint(0)], upscale=upscale)) == ["1x", "2x"]


def test_the_maximum_width_is_computed_after_crop_and_rotation() -> None:
    known = image(1000, 500)
    assert descriptors(known.srcset(widths=[300, 800], crop="400:400")) == ["300w", "400w"]
    assert descriptors(known.srcset(widths=[300, 800], crop={"width": 4000, "height": 10})) == [
        "300w",
        "800w",
    ]
    assert descriptors(known.srcset(widths=[300, 800], rotate=90)) == ["300w", "500w"]
    assert descriptors(known.srcset(widths=[300, 800], rotate={"angle": -90})) == ["300w", "500w"]
    assert descriptors(known.srcset(widths=[300, 800], rotate="180:fff")) == ["300w", "800w"]
    assert descriptors(image().srcset(widths=[300, 800], crop="0:0:400:400")) == ["300w", "400w"]


def test_a_capped_candidate_keeps_its_ratio() -> None:
    text = image(1000, 1000).srcset(breakpoints=[Breakpoint(0, 800, height=400)])
    assert pairs(text) == [("dpr=1&height=400&width=800", "800w"), ("dpr=1&height=500&width=1000", "1000w")]


@pytest.mark.parametrize("mode", ["raise", "warn", "omit"])
@pytest.mark.parametrize(
    "given", [{"dpr": 2}, {"widths": [5], "width": 5}, {"widths": [5], "options": Transformation(w=5)}, {"breakpoints": [(0, 5)], "dpr": 1}]
)  # fmt: skip
def test_a_rule_that_the_layout_sets_is_a_duplicate(given: dict[str, Any], mode: Any) -> None:
    rules = {name: value for name, value in given.items() if name != "options"}
    with pytest.raises(TransformationError, match="Duplicate transformation rule"):
        image().srcset(given.get("options"), **rules, on_invalid=mode)


def test_all_faults_of_rules_widths_densities_and_breakpoints_are_raised_together() -> None:
    wrong: Any = {
        "breakpoints": [{"min_width": 0, "width": 9000, "quality": 0}, (1, 5)],
        "densities": (0, 1),
        "widht": 1,
    }
    with pytest.raises(TransformationError) as caught:
        image().srcset(**wrong)
    assert [(fault.rule, fault.value) for fault in caught.value.faults] == [
        ("widht", 1), ("dpr", 0), ("width", 9000), ("quality", 0),
    ]  # fmt: skip
    assert descriptors(image().srcset(**wrong, on_invalid="omit")) == ["5w"]
    with pytest.raises(TransformationError):
        image().srcset(widths=[0])


def test_without_valid_widths_only_src_is_set() -> None:
    responsive = image(100, 50).responsive(widths=[0], on_invalid="omit")
    assert (responsive.src, responsive.srcset) == (B, "")
    assert img_attributes(responsive.html(alt="")).keys().isdisjoint({"srcset"})
    assert Tags(responsive.picture(alt="")).tags[0][0] == "picture"
    assert image().responsive(breakpoints=[(0, 9000)], on_invalid="omit").srcset == ""


def test_a_watermark_rule_needs_a_source_in_a_srcset_too() -> None:
    with pytest.raises(TransformationError, match="needs a source"):
        image().srcset(watermark_position="se")
    assert "watermark" not in image().srcset(watermark_position="se", on_invalid="omit")


@pytest.mark.parametrize(
    ("given", "error", "text"),
    [
        ({"widths": [1], "breakpoints": [(0, 1)]}, ValueError, "not both"),
        ({"breakpoints": [(0, 1), (5, None)]}, ValueError, "cannot mix"),
        ({"breakpoints": [320, 640]}, TypeError, "a breakpoint must be"),
        ({"breakpoints": [(-1, 5)]}, ValueError, "min_width"),
        ({"breakpoints": [("0", 5)]}, ValueError, "min_width"),
        ({"breakpoints": [{"min": 5}]}, TypeError, "min"),
        ({"on_invalid": "ignore"}, ValueError, "on_invalid"),
    ],
)
def test_invalid_layout_arguments_are_rejected(
    given: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        image().srcset(**given)


@given(
    width=st.integers(0, 9000),
    height=st.integers(0, 9000),
    widths=st.lists(st.integers(1, 8192), min_size=1, max_size=6),
    densities=st.lists(st.floats(0.01, 8), max_size=3),
)
@settings(deadline=None)
def test_descriptors_are_unique_and_within_the_limit(
    width: int, height: int, widths: list[int], densities: list[float]
) -> None:
    one = image(width, height)
    texts = [one.srcset(widths=widths), one.srcset(breakpoints=[(w, w) for w in widths], densities=densities)]
    for text in texts:
        widths_found = descriptors(text)
        assert len(widths_found) == len(set(widths_found)) >= 1
        assert all(1 <= int(text.removesuffix("w")) <= (width or 8192) for text in widths_found)
    assert "1x" in descriptors(one.srcset(width=widths[0], upscale=True))


# --- width and height ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "size"),
    [
        ({}, (1000, 500)),
        ({"width": 200}, (200, 100)),
        ({"width": 200, "height": 50}, (200, 50)),
        ({"width": 200, "height": 50, "resizing_type": "inside"}, (100, 50)),
        ({"width": 200, "height": 50, "resizing_type": "outside"}, (200, 100)),
        ({"width": 200, "crop": "300:300"}, (200, 200)),
        ({"width": 200, "crop": "0:0:400:200:n"}, (200, 100)),
        ({"width": 200, "crop": {"width": 100, "height": 200}, "resizing_type": "cover"}, (100, 200)),
        ({"width": 200, "rotate": 90}, (200, 400)),
        ({"width": 200, "rotate": "-180"}, (200, 100)),
        ({"width": 200, "rotate": 45}, (None, None)),
        ({"width": 200, "padding": 5}, (None, None)),
        ({"width": 200, "extend": 5}, (None, None)),
        ({"width": 200, "extend_aspect_ratio": "1:1"}, (None, None)),
    ],
)
def test_width_and_height_are_the_size_after_all_rules(
    rules: dict[str, Any], size: tuple[int | None, int | None]
) -> None:
    breakpoints = None if "width" in rules else [Breakpoint(0)]
    responsive = image(1000, 500).responsive(**rules, breakpoints=breakpoints)
    assert (responsive.width, responsive.height) == size


def test_a_height_alone_scales_the_width() -> None:
    responsive = image(1000, 500).responsive(breakpoints=[Breakpoint(0)], height=100)
    assert (responsive.width, responsive.height) == (200, 100)


def test_width_and_height_are_those_of_the_largest_candidate() -> None:
    assert (image(3000, 1500).responsive().width, image(700, 350).responsive().width) == (1440, 700)
    assert image(3000, 1500).responsive(widths=[100, 400]).height == 200


def test_a_placeholder_is_tiny_and_blurred() -> None:
    assert image(1000, 500).responsive().placeholder == f"{B}?blur=2&quality=40&width=32"
    responsive = image(1000, 500).responsive(
        width=300, height=600, crop="100:200", quality=90, blur=50, preset="small"
    )
    assert responsive.placeholder == f"{B}@small?blur=2&crop=100%3A200%3Ace&height=64&quality=40&width=32"
    assert image(10, 10).responsive().placeholder.endswith("width=10")


# --- HTML ---------------------------------------------------------------------------------------------


def test_html_returns_an_escaped_img_tag() -> None:
    responsive = image(1000, 500).responsive(width=300)
    assert responsive.html(alt="A <b>\"bold\"</b> 'cat' & dog", class_="hero", data_id=7) == (
        f'<img src="{B}?dpr=1&amp;width=300" srcset="{B}?dpr=1&amp;width=300 1x, {B}?dpr=2&amp;width=300 2x"'
        ' width="300" height="150" alt="A &lt;b&gt;&quot;bold&quot;&lt;/b&gt; &#x27;cat&#x27; &amp; dog"'
        ' loading="lazy" decoding="async" class="hero" data-id="7">'
    )


def test_attributes_are_added_replaced_and_removed() -> None:
    responsive = image().responsive()
    given: Any = {
        "loading": None,
        "decoding": None,
        "sizes": "50vw",
        "hidden": True,
        "draggable": False,
        "aria_label": "x",
    }
    got = img_attributes(responsive.html(alt="", **given))
    assert got.keys() == {"src", "srcset", "sizes", "alt", "hidden", "aria-label"}
    assert (got["sizes"], got["hidden"], got["alt"]) == ("50vw", None, "")


@pytest.mark.parametrize("name", ["on click", "a>b", 'a"b', "a=b", "", "_", "é", "1a", "a/b", "a\nb"])
def test_an_invalid_attribute_name_is_rejected(name: str) -> None:
    with pytest.raises(ValueError, match="not a valid attribute name"):
        image().responsive().html(alt="", **{name: "x"})


def test_a_picture_tag_has_a_source_per_format_and_a_fallback() -> None:
    responsive = image(1000, 500).responsive(widths=[100], quality=80)
    html = responsive.picture(alt="x", class_="hero", formats=("avif", "webp", "jpeg"), sizes="50vw")
    assert html.startswith("<picture><source ")
    assert html.endswith("></picture>")
    tags = Tags(html).tags
    assert [tag for tag, _ in tags] == ["picture", "source", "source", "source", "img"]
    assert [attrs["type"] for _, attrs in tags[1:4]] == ["image/avif", "image/webp", "image/jpeg"]
    assert tags[1][1]["srcset"] == f"{B}?format=avif&quality=80&width=100 100w"
    assert tags[3][1]["srcset"] == f"{B}?format=jpg&quality=80&width=100 100w"
    assert {attrs["sizes"] for _, attrs in tags[1:]} == {"50vw"}
    assert tags[4][1] == img_attributes(responsive.html(alt="x", class_="hero", sizes="50vw"))
    assert (
        Tags(image().responsive(format="png").picture(alt="")).tags[-1][1]["src"]
        == f"{B}?dpr=1&format=png&width=320"
    )


def test_an_unknown_format_or_auto_is_rejected_for_a_source() -> None:
    responsive = image().responsive()
    with pytest.raises(TransformationError, match="did you mean 'webp'"):
        responsive.picture(alt="", formats=["wepb"])
    with pytest.raises(ValueError, match="one format"):
        responsive.picture(alt="", formats=["auto"])


HOSTILE = [
    '"><script>alert(1)</script>', "' onerror='x", "<!--", "-->", "&lt;", "&amp;quot;", "\x00", "\ud800", "\n\t", "a\x0bb", "`",
    "</picture>", "javascript:alert(1)", "é😀", "\u2028", "%22", "a b,c 2x", ", x 1w", "=", "/>", "\\", "\x7f",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_stays_inside_its_attribute(text: str) -> None:
    responsive = image(10, 10, cdn_url=f"https://h/{text}").responsive()
    expected = text.replace("\x00", "\N{REPLACEMENT CHARACTER}").replace(
        "\ud800", "\N{REPLACEMENT CHARACTER}"
    )
    for html in (responsive.html(alt=text, title=text), responsive.picture(alt=text, title=text)):
        html.encode()
        parsed = Tags(html)
        assert parsed.text == ""
        assert [tag for tag, _ in parsed.tags if tag not in {"picture", "source"}] == ["img"]
        got = parsed.tags[-1][1]
        assert (got["alt"], got["title"]) == (expected, expected)
        assert set(got) == {
            "src",
            "srcset",
            "sizes",
            "width",
            "height",
            "alt",
            "title",
            "loading",
            "decoding",
        }
        assert descriptors(str(got["srcset"])) == ["10w"]
        assert got["src"] == responsive.src


@given(st.text())
@settings(deadline=None)
def test_a_browser_reads_back_any_alt_text(alt: str) -> None:
    got = img_attributes(image().responsive(widths=[5]).html(alt=alt))
    assert got["alt"] == "".join("\N{REPLACEMENT CHARACTER}" if c == "\x00" else c for c in alt)


def escape_in_template(value: object) -> str:
    """Escape a value as Jinja's MarkupSafe and Django's `conditional_escape` do in a template."""
    to_html = getattr(value, "__html__", None)
    return escape(str(value)) if to_html is None else str(to_html())


def test_templates_do_not_escape_the_html_again() -> None:
    responsive = image().responsive(widths=[5])
    html = responsive.html(alt="<x>")
    assert escape_in_template(html) == html
    assert type(html.__html__()) is str
    assert escape_in_template(responsive) == responsive.html(alt="")
    assert escape_in_template(responsive.picture(alt="<x>")) == responsive.picture(alt="<x>")


def test_a_responsive_image_is_hashable_and_can_be_pickled() -> None:
    responsive = image(100, 50).responsive(width=10)
    assert pickle.loads(pickle.dumps(responsive)) == responsive == responsive_image(B, 100, 50, width=10)
    assert hash(responsive) == hash(image(100, 50).responsive(width=10))
    assert isinstance(responsive, ResponsiveImage)
    assert pickle.loads(pickle.dumps(responsive.html(alt=""))) == responsive.html(alt="")
    assert image(100, 50).url(preset="small", width=5) == build_url(B, preset="small", width=5)
