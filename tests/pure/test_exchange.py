"""`Headers` and `Exchange`, and the redaction of secrets in texts."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from drawing import examples
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from samples import SECRET

from imgwire_async.exchange import Exchange, Headers
from imgwire_async.redaction import excerpt, redact

HEADERS = Headers([("Content-Type", "text/html"), ("X-Next-Page", "2"), ("Via", "a"), ("VIA", "b")])


@pytest.mark.parametrize("name", ["x-next-page", "X-NEXT-PAGE", "X-Next-Page"])
def test_headers_are_found_in_any_case(name: str) -> None:
    assert HEADERS[name] == HEADERS.get(name) == "2"
    assert name in HEADERS


def test_headers_are_a_mapping_with_lower_case_names() -> None:
    assert dict(HEADERS) == {"content-type": "text/html", "x-next-page": "2", "via": "a, b"}
    assert (len(HEADERS), list(HEADERS)) == (3, ["content-type", "x-next-page", "via"])


def test_a_missing_header_is_the_default_of_get_or_a_key_error() -> None:
    assert HEADERS.get("X-Other") is None
    assert HEADERS.get("X-Other", "d") == "d"
    assert "X-Other" not in HEADERS
    assert 5 not in HEADERS
    with pytest.raises(KeyError):
        HEADERS["X-Other"]


def test_headers_equal_any_mapping_with_the_same_names_in_any_case() -> None:
    assert Headers([("A", "1")]) == Headers([("a", "1")]) == {"A": "1"}
    assert Headers([("A", "1")]) != {"A": "2"}
    assert Headers([("A", "1")]) != [("A", "1")]
    assert len({Headers([("A", "1")]), Headers([("a", "1")])}) == 1


def test_headers_are_read_only() -> None:
    headers: Any = HEADERS
    with pytest.raises(TypeError):
        headers["a"] = "b"


@pytest.mark.parametrize(
    ("pairs", "request_id"),
    [
        ([("X-Request-Id", "a"), ("CF-Ray", "b")], "a"),
        ([("CF-Ray", "b"), ("Request-Id", "a")], "a"),
        ([("X-Correlation-ID", "a")], "a"),
        ([("X-Amzn-RequestId", "a")], "a"),
        ([("cf-ray", "a")], "a"),
        ([("X-Request-Id", ""), ("CF-Ray", "a")], "a"),
        ([("Server", "a")], None),
    ],
)
def test_the_request_id_is_read_from_any_of_the_usual_headers(
    pairs: list[tuple[str, str]], request_id: str | None
) -> None:
    assert (
        Headers(pairs).request_id == Exchange("api", "GET", "/", 200, Headers(pairs)).request_id == request_id
    )


def test_repr_and_pickle_of_headers_contain_no_secret() -> None:
    headers = Headers(
        [
            ("Set-Cookie", SECRET),
            ("Location", f"https://s.example/x?sig={SECRET}"),
            ("X-Echo", f"Bearer {SECRET}"),
        ]
    )
    assert SECRET not in repr(headers)
    assert SECRET not in repr(Exchange("storage", "PUT", "s.example/x", 307, headers))
    assert SECRET.encode() not in pickle.dumps(headers)


def test_an_exchange_can_be_pickled_and_copied() -> None:
    exchange = Exchange("api", "GET", "/images/", 200, HEADERS, 2, 0.5)
    assert pickle.loads(pickle.dumps(exchange)) == copy.copy(exchange) == copy.deepcopy(exchange) == exchange


def test_the_text_of_an_exchange_has_request_attempts_and_time() -> None:
    headers = Headers([("X-Request-Id", "r1")])
    assert (
        str(Exchange("api", "GET", "/images/", 200, headers, 1, 0.5))
        == "GET /images/ (1 attempt, 0.50 s, request id r1)"
    )
    assert (
        str(Exchange("api", "GET", "/images/", attempts=3, elapsed=2)) == "GET /images/ (3 attempts, 2.00 s)"
    )


# --- redaction ----------------------------------------------------------------------------------------------

PLACES = {
    "presigned query": "PUT https://s3.example/b/k.jpg?X-Amz-Date=2026&X-Amz-Signature={} failed",
    "any query of a URL": "see http://cdn.example/x?token={}",
    "upper case": "HTTPS://S3.EXAMPLE/K?x-amz-signature={}",
    "bare query": "the query X-Amz-Credential={}&a=1 is wrong",
    "security token": "X-Amz-Security-Token={}",
    "google": "X-Goog-Signature={}&GoogleAccessId=me",
    "azure": "?se=2026&sig={}",
    "s3 v2": "AWSAccessKeyId=x&Signature={}&Expires=1",
    "bearer": "Authorization: Bearer {}",
    "bearer in json": '{{"authorization": "bearer {}"}}',
    "user info": "http://{}@proxy.example:3128/",
    "user and password": "https://user:{}@proxy.example",
    "password with an at sign": "https://user:pa@{}@proxy.example",
    "token field": '{{"token": "{}", "id": "x"}}',
    "camel token field": '{{"uploadToken":"{}"}}',
    "snake token field": '{{"upload_token" : "{}"}}',
    "token field cut": '{{"token": "{}',
    "token with escapes": '{{"token": "a\\"{}"}}',
    "token in a list": '{{"token": ["{}", "b"]}}',
    "token as a number": '{{"token":{},"a":1}}',
    "upload token in a query": "/images/standard_upload?upload_token={}",
    "json url": '{{"upload_url": "https://s3.example/k?X-Amz-Signature={}"}}',
    "json escaped url": '{{"upload_url": "https:\\/\\/s3.example\\/k?X-Amz-Signature={}"}}',
    "json unicode escapes": '{{"upload_url": "https://s3.example/k?a=1\\u0026X-Amz-Signature={}"}}',
    "html escaped url": "https://s3.example/k?a=1&amp;X-Amz-Signature={}",
}


@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
@settings(max_examples=examples(25))
@given(secret=st.text("abcdefghijklmnopqrstuvwxyz0123456789._~+/=%-", min_size=6, max_size=40))
def test_a_secret_is_redacted_in_all_places(place: str, secret: str) -> None:
    if "@" in place:
        assume("/" not in secret)
    assume(secret not in place)
    assume(secret not in redact(place.format("")))
    assert secret not in redact(place.format(secret))


@given(
    st.text(st.characters(codec="utf-8")),
    st.text("abcdefABCDEF0123456789_-", min_size=8),
    st.text(st.characters(codec="utf-8")),
)
def test_a_known_secret_is_redacted_anywhere(before: str, key: str, after: str) -> None:
    assume(key not in "***")
    assert key not in redact(f"{before}{key}{after}", key)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://s3.example/a/b.jpg?X-Amz-Signature=abc", "https://s3.example/a/b.jpg?***"),
        ("no secret here: Resource not found.", "no secret here: Resource not found."),
        ("the bearer of this", "the bearer *** this"),
        ("http://user:pw@host/x", "http://***@host/x"),
        ('{"token": "abc", "used_at": null}', '{"token": "***", "used_at": null}'),
        ("ftp://user:pw@host/x?key=1", "ftp://***@host/x?***"),
        ("mail me@example.com", "mail me@example.com"),
        ("is this it? yes", "is this it? yes"),
    ],
)
def test_text_without_secrets_is_not_changed(text: str, expected: str) -> None:
    assert redact(text) == expected


def test_an_empty_secret_is_ignored() -> None:
    assert redact("text", "") == "text"


@given(st.text())
def test_redacting_twice_is_the_same_as_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)


# --- excerpts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  one\n two\t three ", "one two three"),
        ("", ""),
        ("<!DOCTYPE html>\n<html><head><title> Bad\ngateway </title>", "an HTML page titled 'Bad\\ngateway'"),
        ("<html><body>hi", "an HTML page"),
        ("\n <HTML lang=en><TITLE id=x>Log in</TITLE>", "an HTML page titled 'Log in'"),
        ("<?xml version='1.0'?><Error/>", "<?xml version='1.0'?><Error/>"),
    ],
)
def test_an_excerpt_is_one_line_or_the_title_of_a_page(text: str, expected: str) -> None:
    assert excerpt(text) == expected


@given(st.text(), st.integers(1, 400))
def test_an_excerpt_is_not_longer_than_its_limit(text: str, limit: int) -> None:
    assert len(excerpt(text, limit)) <= max(limit, 60)
    assert "\n" not in excerpt(text, limit)


def test_a_long_text_ends_with_an_ellipsis() -> None:
    assert excerpt("x" * 1000) == "x" * 299 + "…"


@pytest.mark.parametrize(
    "text",
    [
        "<Error><SignatureProvided>SECRET0</SignatureProvided></Error>",
        "<AWSAccessKeyId>SECRET0</AWSAccessKeyId>",
        r'{"upload_url": "https:\/\/s\/k?token=SECRET0"}',
        r"https://s/k?Policy=a\u0026X-Amz-Signature\u003dSECRET0",
    ],
)
def test_secrets_in_xml_errors_and_escaped_json_are_redacted(text: str) -> None:
    assert "SECRET0" not in redact(text)
