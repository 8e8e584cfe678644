"""Encoding and parsing of JSON: strict, and the same with and without orjson."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import REQUEST_ID, SECRET, api_response, image

from imgwire_async import models
from imgwire_async.errors import DecodeError
from imgwire_async.protocol import codec
from imgwire_async.protocol.json import dumps, json_parser
from imgwire_async.redaction import MAX_BODY_CHARS, redacted_body

loads_stdlib = json_parser(None)

GOOD: list[tuple[bytes, Any]] = [
    (b"{}", {}),
    (b" \t\r\n[1 , 2]\n", [1, 2]),
    (b"null", None),
    (b'"text"', "text"),
    (b'{"a":1,"a":2}', {"a": 2}),
    (b"9223372036854775807", 2**63 - 1),
    (b"-9223372036854775808", -(2**63)),
    (b"18446744073709551615", 2**64 - 1),
    (b"18446744073709551616", 2.0**64),
    (b"-9223372036854775809", -(2.0**63)),
    (b"123456789012345678901234567890", 1.2345678901234568e29),
    (b"1e5", 1e5),
    (b"0.1", 0.1),
    (b"1E-2", 0.01),
    (b"5e-324", 5e-324),
    (b"1e-999", 0.0),
    (b"1.7976931348623157e308", 1.7976931348623157e308),
    (b"0.30000000000000004", 0.30000000000000004),
    (b"-0.0", -0.0),
    (b"-0", 0),
    (b'"\\u00e9\\n\\/\\u0000"', "é\n/\0"),
    (b'"\\ud83d\\ude00"', "😀"),
    (b'"\\\\ud800"', "\\ud800"),
    ('"é😀\u2028\x7f"'.encode(), "é😀\u2028\x7f"),
    (b'{"":{"":[]}}', {"": {"": []}}),
    (b'{"\\u0061":1,"a":2}', {"a": 2}),
    (b"[" * 500 + b"]" * 500, None),
    (b'{"a":' * 500 + b"1" + b"}" * 500, None),
    (b"[" + b"[[]]," * 2000 + b"{}]", None),
]
BAD: list[bytes] = [
    b"",
    b"  \n",
    b"NaN",
    b"[Infinity]",
    b'{"a":-Infinity}',
    b"nan",
    b"1e999",
    b"-1e999",
    b"9" * 400,
    b"9" * 5000,
    b'"\xff"',
    b"\xff\xfe{\x00}\x00",
    b"\xef\xbb\xbf{}",
    b'"\xed\xa0\x80"',
    b'"\\ud800"',
    b'"\\uD800x"',
    b'["\\udc00\\ud800"]',
    b'{"\\udfff":1}',
    b"[1,]",
    b'{"a":1,}',
    b"{a:1}",
    b"{'a':1}",
    b"01",
    b"1.",
    b".5",
    b"+1",
    b"0x10",
    b"1_000",
    b"--1",
    b'"\x01"',
    b'"a\nb"',
    b'"\\x41"',
    b'"open',
    b"[1",
    b"{}{}",
    b"{}\x00",
    b"\x0c1",
    "\u00a0{}".encode(),
    b"/* */1",
    b"tru",
    b"True",
    b"<html></html>",
    b"[" * 1025 + b"]" * 1025,
    b"[" * 100_000,
    b'{"a":' * 3000 + b"1" + b"}" * 3000,
    b"[" + b"[]," * 2000 + b"[" * 1100 + b"]" * 1101,
]


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal and have equal types at all levels."""
    return json.dumps(one) == json.dumps(other)


@pytest.mark.parametrize(("body", "value"), GOOD, ids=lambda value: repr(value)[:30])
def test_the_standard_library_parses_valid_json(body: bytes, value: Any) -> None:
    data = loads_stdlib(body)
    assert value is None or is_same(data, value)


@pytest.mark.parametrize("body", BAD, ids=lambda value: repr(value)[:30])
def test_the_standard_library_rejects_invalid_json(body: bytes) -> None:
    with pytest.raises(ValueError):
        loads_stdlib(body)


@pytest.mark.parametrize("body", [*(body for body, _ in GOOD), *BAD], ids=lambda value: repr(value)[:30])
def test_orjson_and_the_standard_library_parse_the_same_json(body: bytes) -> None:
    loads_orjson = json_parser(pytest.importorskip("orjson"))
    assert outcome(loads_orjson, body) == outcome(loads_stdlib, body)


def outcome(read: Any, body: bytes) -> str:
    try:
        return json.dumps(read(body))
    except ValueError:
        return "rejected"


def json_bodies() -> st.SearchStrategy[bytes]:
    scalars = (
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(st.characters(codec="utf-8"))
    )
    trees = st.recursive(
        scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner)
    )
    valid = st.builds(
        lambda tree, ascii_only: json.dumps(tree, ensure_ascii=ascii_only).encode(), trees, st.booleans()
    )
    broken = st.builds(
        lambda body, at, byte: body[:at] + byte + body[at + 1 :],
        valid,
        st.integers(0, 40),
        st.binary(max_size=2),
    )
    return valid | broken


@settings(max_examples=examples(60))
@given(json_bodies())
def test_orjson_and_the_standard_library_agree_on_any_body(body: bytes) -> None:
    loads_orjson = json_parser(pytest.importorskip("orjson"))
    assert outcome(loads_orjson, body) == outcome(loads_stdlib, body)


def test_without_orjson_json_is_parsed_as_strictly() -> None:
    script = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name == "orjson":
            raise ImportError(name)
sys.meta_path.insert(0, Blocked())
from imgwire_async.protocol.json import loads
print("orjson" in sys.modules, loads(b'[1e2, "a"]'))
try:
    loads(b"[NaN]")
except ValueError:
    print("rejected")
"""
    process = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, check=True)
    assert process.stdout.decode().splitlines() == ["False [100.0, 'a']", "rejected"]


# --- encoding -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "encoded"),
    [
        ({"a": 1, "b": None, "c": [True, 1.5]}, b'{"a":1,"b":null,"c":[true,1.5]}'),
        ({"name": "Été 🏔️.jpg"}, '{"name":"Été 🏔️.jpg"}'.encode()),
        (
            {"status": models.ImageStatus.READY, "new": models.ImageStatus("NEW")},
            b'{"status":"READY","new":"NEW"}',
        ),
        ({"big": 2**70}, b'{"big":1180591620717411303424}'),
        ((1, 2), b"[1,2]"),
    ],
)
def test_data_is_encoded_as_compact_utf8(data: Any, encoded: bytes) -> None:
    assert dumps(data) == encoded


@pytest.mark.parametrize("data", [math.nan, {"a": math.inf}, "\ud800", {1, 2}, b"bytes", object()])
def test_data_that_json_cannot_represent_is_rejected(data: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        dumps(data)


# --- bodies of responses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "the body is empty"),
        (b" \n ", "the body is empty"),
        (f"<html><body>{SECRET}</body></html>".encode(), "a web page"),
        (f'["{SECRET}"'.encode(), "not valid JSON"),
        (f'["{SECRET}\\ud800"'.encode(), "not valid JSON"),
        (f'["{SECRET}", NaN'.encode(), "not valid JSON"),
        (f'["{SECRET}", nan]'.encode(), "not valid JSON"),
        (f'["{SECRET}'.encode() + b"\xff", "not valid JSON"),
        (b"[" * 2000, "not valid JSON"),
    ],
)
def test_the_error_for_invalid_json_does_not_contain_the_body(body: bytes, message: str) -> None:
    with pytest.raises(DecodeError, match=message) as caught:
        codec.decode(api_response(body), models.Image)
    assert caught.value.path == "$"
    assert SECRET not in str(caught.value)
    assert REQUEST_ID in str(caught.value)


def test_a_response_can_be_read_as_json_and_as_text() -> None:
    response = api_response('{"a":"é"}'.encode())
    assert response.json() == {"a": "é"}
    assert response.text == '{"a":"é"}'
    assert api_response(b"\xff!").text == "\ufffd!"
    assert "body" not in repr(response)


def test_a_response_that_is_not_json_raises_a_decode_error() -> None:
    with pytest.raises(DecodeError):
        api_response(b"<html>").json()


def test_a_decode_error_keeps_the_body_without_secrets() -> None:
    body = {
        "image": image(id=None),
        "upload_url": f"https://s3.example/put?X-Amz-Signature={SECRET}",
        "token": SECRET,
    }
    with pytest.raises(DecodeError) as caught:
        codec.decode(api_response(body), models.StandardUpload)
    assert SECRET not in caught.value.body
    assert "https://s3.example/put?***" in caught.value.body


@pytest.mark.parametrize("value", [5550123, ["s3cr3t"], {"a": "s3cr3t"}, 'quote " and s3cr3t'])
def test_a_token_of_a_wrong_type_is_redacted(value: Any) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(api_response({"token": value, "id": 5}), models.UploadToken)
    assert "s3cr3t" not in caught.value.body
    assert "5550123" not in caught.value.body


@given(st.integers(MAX_BODY_CHARS - 200, MAX_BODY_CHARS + 20))
def test_no_part_of_a_secret_remains_where_the_body_is_cut(length: int) -> None:
    key = "sk_live_0123456789abcdef"
    kept = redacted_body(b"x" * length + b" https://user:pass@host/ " + key.encode(), key)
    assert len(kept) <= MAX_BODY_CHARS
    assert "sk_" not in kept
    assert "pass" not in kept


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.booleans()))
def test_data_is_encoded_as_the_standard_library_does(data: dict[str, str | int | bool]) -> None:
    try:
        expected = json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeError:
        with pytest.raises(ValueError, match="surrogate"):
            dumps(data)
    else:
        assert json.loads(dumps(data)) == json.loads(expected) == data
