"""An invalid value in a response affects only its field, and is kept or reported."""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import api_response, image

from imgwire_async import DecodeError, models, to_dict
from imgwire_async.protocol import codec, parsing
from imgwire_async.protocol.json import loads_response
from imgwire_async.protocol.status import status_error

PLACEHOLDER = "placeholder"
IMAGES = list[models.Image]


def listing(raw: bytes, **changes: Any) -> bytes:
    """Return a page of three images, in which `raw` replaces the text `PLACEHOLDER` in the second image."""
    body = json.dumps([image(), image(**changes), image()]).encode()
    assert json.dumps(PLACEHOLDER).encode() in body
    return body.replace(json.dumps(PLACEHOLDER).encode(), raw)


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
def test_an_invalid_text_affects_only_its_field(raw: bytes, text: str) -> None:
    images = codec.decode(api_response(listing(raw, original_filename=PLACEHOLDER)), IMAGES)
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
@pytest.mark.parametrize("field", ["exif_data", "custom_metadata", "unknown"])
def test_an_invalid_number_affects_only_its_field_and_is_kept_as_text(
    field: str, raw: bytes, value: Any
) -> None:
    position: Any = PLACEHOLDER if field == "unknown" else {"key": PLACEHOLDER}
    images = codec.decode(api_response(listing(raw, **{field: position})), IMAGES)
    body = to_dict(images[1])
    assert body["unknown" if field == "unknown" else field] == (
        value if field == "unknown" else {"key": value}
    )
    if field != "unknown" and not isinstance(value, dict):
        assert getattr(images[1], field) == {"key": value}


@pytest.mark.parametrize("levels", [1025, 20_000])
@pytest.mark.parametrize("field", ["exif_data", "custom_metadata"])
def test_json_that_is_nested_too_deeply_is_kept_as_text(field: str, levels: int) -> None:
    images = codec.decode(
        api_response(listing(deep(levels), **{field: {"key": PLACEHOLDER, "fine": 1}})), IMAGES
    )
    assert getattr(images[1], field)["fine"] == 1
    value, levels_as_dicts = to_dict(images[1])[field]["key"], 0
    while isinstance(value, dict):
        value, levels_as_dicts = value["a"], levels_as_dicts + 1
    assert value.encode() == deep(levels - levels_as_dicts)
    assert levels_as_dicts > 50


@pytest.mark.parametrize(
    ("field", "value", "expected"),
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
def test_an_invalid_value_of_an_optional_field_is_kept_in_extra(
    field: str, value: Any, expected: Any
) -> None:
    body = image(**{field: value})
    images = codec.decode(api_response([image(), body, image(later=1)]), IMAGES)
    assert getattr(images[1], field) == expected
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
def test_an_invalid_value_of_a_required_field_is_an_error_with_its_path(field: str, value: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(api_response([image(), image(deleted_at=5), image(**{field: value})]), IMAGES)
    assert caught.value.path == f"$[2].{field}"


def test_nan_is_rejected_as_a_metric() -> None:
    with pytest.raises(DecodeError, match="expected a number") as caught:
        codec.decode(api_response(b'{"value":NaN,"prev":1,"pct_change":null}'), models.MetricsStatValue)
    assert caught.value.path == "$.value"


def test_a_repair_is_logged_with_its_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "imgwire_async"):
        codec.decode(api_response(listing(b'"\\ud800"', original_filename=PLACEHOLDER)), IMAGES)
    assert [r.levelname for r in caplog.records] == ["WARNING"]
    assert "GET /images/{image_id}" in caplog.text


def test_many_invalid_fields_are_logged_only_once(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "imgwire_async"):
        codec.decode(api_response([image(purpose=n) for n in range(100)]), IMAGES)
    assert len(caplog.records) <= 1


def test_the_message_of_an_error_response_is_parsed_although_another_value_is_invalid() -> None:
    response = api_response(b'{"detail":"No such image.","error_type":"not_found","hint":"\\ud800","x":NaN}')
    error = status_error(404, response.exchange, response.body)
    assert (error.message, error.error_type) == ("No such image.", "not_found")


@pytest.mark.parametrize("body", [b"\xef\xbb\xbf" + json.dumps(image()).encode()])
def test_a_byte_order_mark_is_skipped(body: bytes) -> None:
    assert codec.decode(api_response(body), models.Image) == codec.decode(api_response(image()), models.Image)


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
def test_a_body_that_is_not_json_is_rejected(body: bytes) -> None:
    with pytest.raises(ValueError):
        loads_response(body, api_response(b"").exchange)


@settings(max_examples=examples(60))
@given(
    st.recursive(
        st.text() | st.integers(-(2**60), 2**60) | st.booleans() | st.none(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
        max_leaves=20,
    )
)
def test_a_repair_changes_only_lone_surrogates(data: Any) -> None:
    valid = json.dumps([data]).encode()
    text = json.dumps(json.loads(valid), ensure_ascii=False)
    expected = json.loads("".join("\ufffd" if "\ud800" <= c <= "\udfff" else c for c in text))
    assert parsing.loads_repaired(valid, ValueError("rejected")) == expected


@pytest.mark.parametrize("body", [b"", b" \n"])
def test_an_empty_body_is_accepted_only_for_operations_without_a_result(body: bytes) -> None:
    assert codec.decode(api_response(body, method="DELETE", status=204), dict) == {}
    with pytest.raises(DecodeError, match="the body is empty"):
        codec.decode(api_response(body), models.Image)


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
def test_a_repair_is_fast(start: bytes, fragment: bytes) -> None:
    body = start + fragment * (300_000 // len(fragment))
    started_at = time.thread_time()
    try:
        parsing.loads_repaired(body, ValueError("rejected"))
    except ValueError:
        pass
    assert time.thread_time() - started_at < 2
