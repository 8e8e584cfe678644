"""The HTML of an image in a notebook: a thumbnail, and no markup from its fields."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import api_response, image

from imgwire_async import Image
from imgwire_async.models import ImageStatus, SupportedMimeType
from imgwire_async.protocol.codec import decode

IMAGE = decode(
    api_response(
        image(
            original_filename="hero.jpg",
            cdn_url="https://cdn.example/a/b/hero.jpg",
            width=4032,
            height=3024,
            deleted_at=None,
        )
    ),
    Image,
)


class Preview(HTMLParser):
    """The tags, attributes and text that a browser finds in the HTML of an image."""

    def __init__(self, record: Image) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(record._repr_html_())
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.tags]

    @property
    def picture(self) -> dict[str, str | None]:
        (attributes,) = [attributes for name, attributes in self.tags if name == "img"]
        return attributes


def test_a_ready_image_shows_a_thumbnail_and_its_description() -> None:
    preview = Preview(IMAGE)
    assert preview.names == ["figure", "img", "figcaption", "bdi"]
    assert preview.picture["src"] == "https://cdn.example/a/b/hero.jpg?dpr=1&format=auto&width=320"
    assert "dpr=2" in (preview.picture["srcset"] or "")
    assert preview.picture["alt"] == "hero.jpg"
    assert preview.text.startswith("hero.jpg · 4032 x 3024 · image/jpeg · ")
    assert preview.text.endswith(IMAGE.id)


def test_a_tall_image_keeps_its_aspect_ratio() -> None:
    picture = Preview(attrs.evolve(IMAGE, width=60, height=1200)).picture
    assert not {"width", "height"} & set(picture), "a fixed width with a maximum height would distort it"


def test_a_small_image_is_not_enlarged() -> None:
    assert "width=20" in (Preview(attrs.evolve(IMAGE, width=20, height=10)).picture["src"] or "")


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "QUARANTINE", "<b>NEW</b>"])
def test_an_image_that_is_not_ready_shows_its_status_and_no_picture(status: str) -> None:
    preview = Preview(attrs.evolve(IMAGE, status=ImageStatus(status), width=0, height=0))
    assert preview.names == ["figure", "em", "figcaption", "bdi"]
    assert f"no preview: {status}" in preview.text


def test_a_deleted_image_shows_no_picture() -> None:
    preview = Preview(attrs.evolve(IMAGE, deleted_at=datetime.now(UTC)))
    assert "img" not in preview.names
    assert "deleted" in preview.text


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "//cdn.example/a/b/c",
        "https://user:key@cdn.example/a/b/c",
        "https://",
        "http://[::1",
        "",
        " https://cdn.example/a\n",
        "vbscript:x",
    ],
)
def test_only_an_http_url_without_user_info_is_used_for_a_picture(url: str) -> None:
    preview = Preview(attrs.evolve(IMAGE, cdn_url=url))
    if url.strip() == url:
        assert "img" not in preview.names
    else:
        # Browsers and URL parsers strip whitespace, so the rest is an ordinary URL.
        assert (preview.picture["src"] or "").strip().startswith("https://cdn.example/a")


HOSTILE = [
    "<script>alert(1)</script>.jpg",
    '" onerror="alert(1)',
    "' onload='x",
    "a\u202egpj.exe",
    "\x00\ud800",
    "&lt;",
    "</figure>",
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("field", ["original_filename", "id", "cdn_url", "mime_type"])
def test_no_field_adds_a_tag_or_an_attribute(field: str, text: str) -> None:
    value: Any = text
    if field == "cdn_url":
        value = f"https://cdn.example/{text}"
    if field == "mime_type":
        value = SupportedMimeType(text)
    assert has_only_own_markup(Preview(attrs.evolve(IMAGE, **{field: value})))


@given(st.text(), st.text(), st.text(), st.integers(-5, 10**9))
def test_any_fields_result_in_only_our_tags_and_attributes(
    name: str, path: str, status: str, width: int
) -> None:
    record = attrs.evolve(
        IMAGE,
        original_filename=name,
        cdn_url=f"https://cdn.example/{path}",
        status=ImageStatus(status) if status else ImageStatus.READY,
        width=width,
    )
    assert has_only_own_markup(Preview(record))
    # A lone surrogate would raise here.
    record._repr_html_().encode()


def has_only_own_markup(preview: Preview) -> bool:
    own_attributes = {
        "src",
        "srcset",
        "sizes",
        "width",
        "alt",
        "loading",
        "decoding",
        "style",
        "referrerpolicy",
    }
    return set(preview.names) <= {"figure", "img", "em", "figcaption", "bdi"} and all(
        set(attributes) <= own_attributes for _, attributes in preview.tags
    )


def test_the_repr_is_not_html() -> None:
    assert repr(IMAGE).startswith("Image(id=")
