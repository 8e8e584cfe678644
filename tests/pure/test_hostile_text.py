"""Hostile text of services and file names: processed fast, and shown printable and without secrets."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import EXCHANGE, SECRET, api_response

from imgwire_async import DecodeError, ImgwireError, models
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.logs import logger
from imgwire_async.protocol import codec, parsing
from imgwire_async.protocol.signed_urls import is_expired
from imgwire_async.protocol.status import status_error
from imgwire_async.redaction import (
    MAX_BODY_CHARS,
    escape_unprintable,
    excerpt,
    is_html,
    redact,
    redacted_prefix,
)

# --- speed --------------------------------------------------------------------------------------------------

# In characters. The service may send four times as many.
LONG = 256 * 1024
# Beginnings of texts that the patterns match.
FRAGMENTS = [
    "<title", "<title ", "<title>", "<html", "<!doctype html", "http://", "https://a@", "http://a", "http://a?", "https://\\",
    '"token":', '"token"', '"token":[', '"token":{', '"token":"\\', '"uploadToken" : ', "X-Amz-Signature=", "x-amz-credential",
    "token=", "sig=", "Bearer ", "Bearer", "bearer\t", "sk_", "sk_abc", "-sk_", "\\u0026", "\\/", "\\", "<AWSAccessKeyId>", "<Code>",
    "<", "@", "://", "?", " ", "\n", '"', "'", "é", "\ud800", "\x1b[", "\u202e", "not valid ", "{", "[",
]  # fmt: skip

READERS: dict[str, Callable[[str], object]] = {
    "excerpt": excerpt,
    "excerpt of a page": lambda text: excerpt(f"<html>{text}"),
    "is_html": is_html,
    "redacted_prefix": lambda text: redacted_prefix(text, 10_000, SECRET),
    "redact": lambda text: redact(text[: 64 * 1024], SECRET),
    "error response": lambda text: status_error(
        500, EXCHANGE, text.encode("utf-8", "replace"), api_key=SECRET
    ),
    "error response in JSON": lambda text: status_error(
        422, EXCHANGE, json.dumps({"detail": text}).encode()[:LONG]
    ),
    "storage": lambda text: is_expired("https://s/k", 403, text[: 64 * 1024], {}),
    "error": lambda text: str(ImgwireError(text[: 64 * 1024])),
}


@pytest.mark.parametrize(
    "fragment",
    # The fast tests use only a quarter of the fragments.
    [
        pytest.param(fragment, marks=pytest.mark.slow if index % 4 else ())
        for index, fragment in enumerate(FRAGMENTS)
    ],
)
def test_a_repeated_fragment_does_not_block_the_loop(fragment: str) -> None:
    text = fragment * (LONG // len(fragment))
    for name, read in READERS.items():
        started_at = time.thread_time()
        read(text)
        # It takes a few milliseconds. A pattern with quadratic time takes seconds to minutes.
        assert time.thread_time() - started_at < 2, name


MAX_ERROR_BODY = 1024 * 1024  # bytes


STARTS = ["", '{"detail":"', '{"detail":[{"msg":"', "<html>", "[" * 1100, '["', "["]
ODD = ["1e999,", "NaN,", '{"a":"\\ud800"},', "\\ud800", '{"a":', "[]", '"]"', "[1,", '"\\ud800",', "9"]
SLOWEST = {("[", "1e999,"), ("[", '{"a":"\\ud800"},')}


@pytest.mark.parametrize(
    ("start", "fragment"),
    [
        pytest.param(start, fragment, marks=() if (start, fragment) in SLOWEST else pytest.mark.slow)
        for start in STARTS
        for fragment in (*FRAGMENTS, *ODD)
    ],
)
def test_a_body_of_the_maximum_size_does_not_block_the_loop(start: str, fragment: str) -> None:
    for name, limit, read in (
        ("error response", MAX_ERROR_BODY, lambda body: status_error(500, EXCHANGE, body, api_key=SECRET)),
        ("repair", parsing.MAX_REPAIRED_BYTES, repair),
    ):
        text = start + fragment * (limit // len(fragment))
        body = text.encode("utf-8", "replace")[:limit]
        started_at = time.thread_time()
        read(body)
        assert time.thread_time() - started_at < 5, name


def repair(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        parsing.loads_repaired(body, ValueError("rejected"))


def test_a_body_that_is_too_large_to_repair_is_rejected_at_once() -> None:
    body = b"[" + b"1e999," * (16 * 2**20 // 6) + b"0]"
    started_at = time.thread_time()
    with pytest.raises(ValueError, match="rejected"):
        parsing.loads_repaired(body, ValueError("rejected"))
    assert time.thread_time() - started_at < 2


@settings(max_examples=examples(30), deadline=None)
@given(
    st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), min_size=1, max_size=4).map("".join),
    st.sampled_from(["", "<html>", '{"detail":"', "https://a.example/", "<html><title"]),
    st.sampled_from(sorted(READERS)),
)
def test_no_repeated_text_blocks_the_loop(repeated: str, start: str, reader: str) -> None:
    text = start + repeated * (LONG // (len(repeated) or 1))
    started_at = time.thread_time()
    READERS[reader](text[:LONG])
    assert time.thread_time() - started_at < 2


def test_an_error_response_with_thousands_of_errors_is_parsed_fast() -> None:
    issues = [{"loc": ["body", f"http://{n}"], "msg": "http://a?b", "type": "t"} for n in range(15_000)]
    started_at = time.thread_time()
    error = status_error(422, EXCHANGE, json.dumps({"detail": issues}).encode())
    assert time.thread_time() - started_at < 2
    assert "body.http://0: http://a?***" in str(error)


@given(
    st.integers(0, 400), st.sampled_from(["https://user:{}@host/", "Bearer {}", "https://h/k?sig={}", "{}"])
)
def test_no_part_of_a_secret_at_the_cut_is_shown(shift: int, template: str) -> None:
    limit = 100
    text = "x" * (limit * 4 - 200 + shift) + " " + template.format(SECRET) + " " + "y" * 1000
    shown = redacted_prefix(text.replace("x", "a b?", 1), limit * 4, SECRET)
    assert SECRET[:8] not in shown
    # Removing text before the secret must not move a part of the secret into the result.
    shrinking = "https://h/?" + "q" * (limit * 4 - 60 + shift % 60) + " https://user:" + SECRET + "@host/"
    assert SECRET[:4] not in redacted_prefix(shrinking, limit)


@pytest.mark.parametrize("length", [10_000, 40_000, 100_000, 1_000_000])
def test_an_error_keeps_only_the_beginning_of_a_long_message(length: int) -> None:
    error = status_error(400, EXCHANGE, json.dumps({"detail": "m" * length}).encode())
    assert len(error.message) <= MAX_BODY_CHARS
    assert len(error.body) <= MAX_BODY_CHARS
    assert len(str(error)) < 1_000


# --- printable ----------------------------------------------------------------------------------------------

HOSTILE = "\x1b[2J\x1b]0;owned\x07 \x00 \x7f \x9b31m a\rb\nc \u202egpj.exe \u2066 \u2028 \u2029 \u200b \ufeff \ud800 \udcff \U000e0041"
HARMLESS = "Été 🏔️ 日本　の写真 👨‍👩‍👧 می‌خواهم café\u0301.jpg"


def is_clean(text: str) -> bool:
    return escape_unprintable(text) == text and text.encode("utf-8").decode() == text


def test_control_and_formatting_characters_are_escaped() -> None:
    shown = escape_unprintable(HOSTILE)
    assert shown.isprintable()
    assert r"\u001b[2J\u001b]0;owned\u0007" in shown
    assert r"\u202egpj.exe" in shown
    assert r"\U000e0041" in shown


def test_letters_and_emoji_are_not_escaped() -> None:
    assert escape_unprintable(HARMLESS) == HARMLESS


@given(st.text())
def test_escaping_twice_is_the_same_as_once(text: str) -> None:
    assert is_clean(escape_unprintable(text))
    assert is_clean(excerpt(text))


HEADERS = Headers([("X-Request-Id", HOSTILE)])
HOSTILE_EXCHANGE = Exchange("api", "GET", f"/images/{HOSTILE}", 422, HEADERS)
ISSUE = {"loc": ["body", HOSTILE], "msg": HOSTILE, "type": HOSTILE}


@pytest.mark.parametrize(
    "body",
    [
        HOSTILE.encode("utf-8", "replace"),
        f"<html><title>{HOSTILE}".encode("utf-8", "replace"),
        json.dumps({"detail": HOSTILE, "error_type": HOSTILE}).encode(),
        json.dumps({"detail": [ISSUE]}).encode(),
        HOSTILE.encode("utf-16", "replace"),
        b"\xff\x1b[2J",
    ],
)
def test_a_status_error_contains_no_control_characters(body: bytes) -> None:
    error = status_error(422, HOSTILE_EXCHANGE, body)
    texts = [
        str(error),
        error.message,
        error.error_type or "",
        error.request_id or "",
        repr(error),
        str(error.exchange),
    ]
    assert [text for text in texts if not is_clean(text)] == []
    assert is_clean(error.body.replace("\n", "").replace("\r", "").replace("\t", ""))
    assert all(is_clean(str(issue)) for issue in getattr(error, "errors", ()))


def test_the_body_that_an_error_keeps_is_valid_json() -> None:
    error = status_error(400, EXCHANGE, json.dumps({"detail": "a\u202eb"}, ensure_ascii=False).encode())
    assert json.loads(error.body) == {"detail": "a\u202eb"}


def test_a_decode_error_contains_no_control_characters() -> None:
    with pytest.raises(DecodeError) as caught:
        codec.decode(api_response({HOSTILE: HOSTILE}, headers={"Via": HOSTILE}), models.Image)
    assert is_clean(str(caught.value))
    assert is_clean(caught.value.body)


def test_the_messages_of_all_our_errors_are_printable() -> None:
    assert is_clean(str(ImgwireError(f"{HOSTILE}: the storage answered {HOSTILE}")))
    assert HARMLESS in str(ImgwireError(f"{HARMLESS}: refused"))


def test_log_messages_are_printable(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "imgwire_async"):
        logger.warning("%s: image %s never got its bytes after %.1f s", HOSTILE, HARMLESS, 1.5)
        logger.warning("%s failed: %s", "a callback", OSError(5, HOSTILE, HOSTILE), exc_info=OSError(5, "a"))
        logger.warning("%s", LookupError(HOSTILE))
        logger.warning("no arguments")
    assert [is_clean(record.getMessage()) for record in caplog.records] == [True] * 4
    assert HARMLESS in caplog.text
