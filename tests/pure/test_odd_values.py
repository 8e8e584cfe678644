"""One odd value in an answer spoils its field, never the listing around it; and nothing of it is lost or changed in silence."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import image, reply

from imgwire_async import DecodeError, models, to_dict
from imgwire_async.protocol import codec, parsing
from imgwire_async.protocol.json import loads_response
from imgwire_async.protocol.status import status_error

PLACE = "here-it-stands"
IMAGES = list[models.Image]


def listing(raw: bytes, **changes: Any) -> bytes:
    """A page of three images; where the second holds `PLACE`, as text or key, `raw` stands instead."""
    body = json.dumps([image(), image(**changes), image()]).encode()
    assert json.dumps(PLACE).encode() in body
    return body.replace(json.dumps(PLACE).encode(), raw)


def deep(levels: int) -> bytes:
    return b'{"a":' * levels + b"1" + b"}" * levels


ODD_TEXT: list[tuple[bytes, str]] = [
    (b'"a\\ud800b"', "a\ufffdb"),
    (b'"a\\udc00\\ud800b"', "a\ufffd\ufffdb"),
    (b'"\\\\ud800 \\ud83d\\ude00 \\uD800"', "\\ud800 😀 \ufffd"),
    (b'"\\ud83d\\ud83d\\ude00"', "\ufffd😀"),
    (b'"caf\xe9"', "caf\ufffd"),
    (b'"\xed\xa0\x80"', "\ufffd\ufffd\ufffd"),
    (b'"a\x01b\nc"', "a\x01b\nc"),
    (b'"a\\u0000b"', "a\0b"),
]


@pytest.mark.parametrize(("raw", "text"), ODD_TEXT)
def test_an_odd_text_spoils_no_listing(raw: bytes, text: str) -> None:
    images = codec.decode(reply(listing(raw, original_filename=PLACE)), IMAGES)
    assert images[1].original_filename == text
    assert images[0] == images[2]
    assert json.loads(json.dumps(to_dict(images[1]), ensure_ascii=False).encode()) == to_dict(images[1])


ODD_VALUES: list[tuple[bytes, Any]] = [
    (b"NaN", "NaN"),
    (b"-Infinity", "-Infinity"),
    (b"1e999", "1e999"),
    (b"9" * 400, "9" * 400),
    (b"123456789012345678901", 123456789012345678901.0),
    (b'{"a":1,"a":2}', {"a": 2}),
]


@pytest.mark.parametrize(("raw", "value"), ODD_VALUES)
@pytest.mark.parametrize("field", ["exif_data", "custom_metadata", "news"])
def test_an_odd_number_spoils_no_listing_and_stays_readable(field: str, raw: bytes, value: Any) -> None:
    where: Any = PLACE if field == "news" else {"key": PLACE}
    images = codec.decode(reply(listing(raw, **{field: where})), IMAGES)
    told = to_dict(images[1])
    assert told["news" if field == "news" else field] == (value if field == "news" else {"key": value})
    if field != "news" and not isinstance(value, dict):
        assert getattr(images[1], field) == {"key": value}


@pytest.mark.parametrize("levels", [1025, 20_000])
@pytest.mark.parametrize("field", ["exif_data", "custom_metadata"])
def test_what_is_nested_too_deeply_becomes_text_of_json(field: str, levels: int) -> None:
    images = codec.decode(reply(listing(deep(levels), **{field: {"key": PLACE, "fine": 1}})), IMAGES)
    assert getattr(images[1], field)["fine"] == 1
    value, seen = to_dict(images[1])[field]["key"], 0
    while isinstance(value, dict):
        value, seen = value["a"], seen + 1
    assert value.encode() == deep(levels - seen)
    assert seen > 50


@pytest.mark.parametrize(
    ("field", "value", "instead"),
    [
        ("exif_data", [1, 2], {}),
        ("exif_data", None, {}),
        ("custom_metadata", ["a"], {}),
        ("custom_metadata", None, {}),
        ("custom_metadata", {"a": None, "b": [1], "c": 1}, {"c": 1}),
        ("deleted_at", "0000-00-00", None),
        ("hash_sha256", 5, None),
        ("purpose", {"new": "form"}, None),
    ],
)
def test_an_odd_field_that_nobody_relies_on_is_kept_aside(field: str, value: Any, instead: Any) -> None:
    body = image(**{field: value})
    images = codec.decode(reply([image(), body, image(later=1)]), IMAGES)
    assert getattr(images[1], field) == instead
    assert images[1].extra == {field: value}
    assert to_dict(images[1]) == body
    assert images[0].extra == {}
    assert images[2].extra == {"later": 1}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("status", 5),
        ("cdn_url", []),
        ("created_at", "yesterday"),
        ("width", "7"),
        ("can_upload", 1),
    ],
)
def test_an_odd_field_that_everybody_relies_on_is_an_error_with_its_place(field: str, value: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(reply([image(), image(deleted_at=5), image(**{field: value})]), IMAGES)
    assert caught.value.path == f"$[2].{field}"


def test_a_number_that_is_none_is_no_figure() -> None:
    with pytest.raises(DecodeError, match="expected a number") as caught:
        codec.decode(reply(b'{"value":NaN,"prev":1,"pct_change":null}'), models.MetricsStatValue)
    assert caught.value.path == "$.value"


def test_what_was_repaired_is_logged_with_its_call(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "imgwire_async"):
        codec.decode(reply(listing(b'"\\ud800"', original_filename=PLACE)), IMAGES)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "GET /images/{image_id}" in caplog.text


def test_a_listing_full_of_odd_fields_is_no_flood_of_log_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "imgwire_async"):
        codec.decode(reply([image(purpose=n) for n in range(100)]), IMAGES)
    assert len(caplog.records) <= 1


def test_the_reason_of_a_refusal_is_read_although_another_value_is_odd() -> None:
    answer = reply(b'{"detail":"No such image.","error_type":"not_found","hint":"\\ud800","x":NaN}')
    error = status_error(404, answer.exchange, answer.body)
    assert (error.message, error.error_type) == ("No such image.", "not_found")


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf" + json.dumps(image()).encode()])
def test_a_byte_order_mark_is_skipped(body: bytes) -> None:
    assert codec.decode(reply(body), models.Image) == codec.decode(reply(image()), models.Image)


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"nan",
        b"<html>",
        b"[1,]",
        b'"\\ud800',
        b'{"a":NaN',
        b"[" * 3000,
        b'"' + b'\\"' * 3000,
        b"\\ud800",
    ],
)
def test_what_is_no_json_at_all_is_still_refused(body: bytes) -> None:
    with pytest.raises(ValueError):
        loads_response(body, reply(b"").exchange)


@settings(max_examples=examples(60))
@given(
    st.recursive(
        st.text() | st.integers(-(2**60), 2**60) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_a_repair_changes_nothing_but_the_halves_of_pairs(data: Any) -> None:
    whole = json.dumps([data]).encode()
    text = json.dumps(json.loads(whole), ensure_ascii=False)
    expected = json.loads("".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text))
    assert parsing.loads_repaired(whole, ValueError("refused")) == expected


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_answer_is_enough_where_nothing_is_expected(body: bytes) -> None:
    assert codec.decode(reply(body, method="DELETE", status=204), dict) == {}
    with pytest.raises(DecodeError, match="the body is empty"):
        codec.decode(reply(body), models.Image)


FRAGMENTS = [
    b"[",
    b'{"a":',
    b"[]",
    b"[[]],",
    b'"',
    b'\\"',
    b'"\\',
    b"\\ud800",
    b'"\\ud800",',
    b"\xff",
    b"NaN,",
    b"1e999,",
    b"9",
    b"[1,",
]


@pytest.mark.parametrize("start", [b"", pytest.param(b'"', marks=pytest.mark.slow), b"[" * 1100])
@pytest.mark.parametrize("fragment", FRAGMENTS)
def test_a_repair_takes_no_longer_than_reading(start: bytes, fragment: bytes) -> None:
    body = start + fragment * (300_000 // len(fragment))
    began = time.thread_time()
    try:
        parsing.loads_repaired(body, ValueError("refused"))
    except ValueError:
        pass
    assert time.thread_time() - began < 2
