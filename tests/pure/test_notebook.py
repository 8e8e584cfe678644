"""An image in a notebook: a thumbnail, and nothing that its fields could smuggle in."""

from __future__ import annotations

from datetime import UTC, datetime
from html.parser import HTMLParser
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import image, reply

from imgwire_async import Image
from imgwire_async.models import ImageStatus, SupportedMimeType
from imgwire_async.protocol.codec import decode

IMAGE = decode(
    reply(
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


class Shown(HTMLParser):
    """What a browser makes of it."""

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


def test_a_ready_image_shows_a_small_picture_and_what_it_is() -> None:
    shown = Shown(IMAGE)
    assert shown.names == ["figure", "img", "figcaption", "bdi"]
    assert shown.picture["src"] == "https://cdn.example/a/b/hero.jpg?dpr=1&format=auto&width=320"
    assert "dpr=2" in (shown.picture["srcset"] or "")
    assert shown.picture["alt"] == "hero.jpg"
    assert shown.text.startswith("hero.jpg · 4032 x 3024 · image/jpeg · ")
    assert shown.text.endswith(IMAGE.id)


def test_a_tall_image_keeps_its_shape() -> None:
    picture = Shown(attrs.evolve(IMAGE, width=60, height=1200)).picture
    assert not {"width", "height"} & set(picture), "a fixed side and a limit on the other would squeeze it"


def test_a_small_image_is_not_enlarged() -> None:
    assert "width=20" in (Shown(attrs.evolve(IMAGE, width=20, height=10)).picture["src"] or "")


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "QUARANTINE", "<b>NEW</b>"])
def test_an_image_that_is_not_ready_shows_its_state_and_asks_for_nothing(status: str) -> None:
    shown = Shown(attrs.evolve(IMAGE, status=ImageStatus(status), width=0, height=0))
    assert shown.names == ["figure", "em", "figcaption", "bdi"]
    assert f"no preview: {status}" in shown.text


def test_a_deleted_image_asks_for_nothing() -> None:
    shown = Shown(attrs.evolve(IMAGE, deleted_at=datetime.now(UTC)))
    assert "img" not in shown.names
    assert "deleted" in shown.text


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
def test_only_an_http_address_without_user_info_is_asked_for_a_picture(url: str) -> None:
    shown = Shown(attrs.evolve(IMAGE, cdn_url=url))
    if url.strip() == url:
        assert "img" not in shown.names
    else:  # browsers cut blanks, and so does the parser of URLs: what is left is an address like any other
        assert (shown.picture["src"] or "").strip().startswith("https://cdn.example/a")


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
def test_no_field_brings_in_a_tag_or_an_attribute(field: str, text: str) -> None:
    value: Any = text
    if field == "cdn_url":
        value = f"https://cdn.example/{text}"
    if field == "mime_type":
        value = SupportedMimeType(text)
    assert only_ours(Shown(attrs.evolve(IMAGE, **{field: value})))


@given(st.text(), st.text(), st.text(), st.integers(-5, 10**9))
def test_whatever_the_fields_hold_only_our_tags_and_attributes_come_out(
    name: str, path: str, status: str, width: int
) -> None:
    record = attrs.evolve(
        IMAGE,
        original_filename=name,
        cdn_url=f"https://cdn.example/{path}",
        status=ImageStatus(status) if status else ImageStatus.READY,
        width=width,
    )
    assert only_ours(Shown(record))
    record._repr_html_().encode()  # no document holds half a character


def only_ours(shown: Shown) -> bool:
    ours = {"src", "srcset", "sizes", "width", "alt", "loading", "decoding", "style", "referrerpolicy"}
    return set(shown.names) <= {"figure", "img", "em", "figcaption", "bdi"} and all(
        set(attributes) <= ours for _, attributes in shown.tags
    )


def test_the_text_form_stays_what_it_was() -> None:
    assert repr(IMAGE).startswith("Image(id=")
