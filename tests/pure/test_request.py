"""Parts of a request: ids in paths, targets, page numbers, and checks of URLs of the service."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.errors import UnsafeURLError
from imgwire_async.exchange import Headers
from imgwire_async.models import Image
from imgwire_async.protocol.request import NoResponseError, Request, drop_none, path_segment
from imgwire_async.protocol.signed_urls import origin, require_safe, without_query
from imgwire_async.resources.pages import last_page, pagination
from imgwire_async.results import Pagination
from imgwire_async.retry import Failure

# --- ids ----------------------------------------------------------------------------------------------------

INVALID_IDS = [
    "",
    ".",
    "..",
    "a/b",
    "/",
    "a\\b",
    "a?b",
    "a#b",
    "a%b",
    "%2e%2e",
    "%2E%2e",
    "%2f",
    "..%2f",
    " ",
    "a b",
    " a",
    "a ",
    "a\n",
    "\na",
    "a\r\nX: y",
    "a\tb",
    "a\0",
    "\x1b[0m",
    "\x7f",
    "a\u00a0b",
    "a\u2003b",
    "a\u3000",
    "a\u2028b",
    "a\u200b",
    "a\ufeff",
    "a\u202eb",
    "a\ud800",
    "\u0085",
]


@pytest.mark.parametrize("value", INVALID_IDS, ids=ascii)
def test_an_id_that_could_change_the_path_is_rejected(value: str) -> None:
    with pytest.raises(ValueError, match="image_id"):
        path_segment("image_id", value)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        ("img_123", "img_123"),
        ("0b2a6f0e-8f5c-4a52-9a50-3f1a3c0d5e77", "0b2a6f0e-8f5c-4a52-9a50-3f1a3c0d5e77"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ("...", "..."),
        ("a.b~c", "a.b~c"),
        ("a:b@c", "a%3Ab%40c"),
        ("a&b=c+d;e,f", "a%26b%3Dc%2Bd%3Be%2Cf"),
        ("{image_id}", "%7Bimage_id%7D"),
        ("bild-ä-🌸", "bild-%C3%A4-%F0%9F%8C%B8"),
    ],
)
def test_an_id_with_special_characters_is_encoded_once(value: Any, encoded: str) -> None:
    assert path_segment("image_id", value) == encoded
    request = Request("GET", "/images/{image_id}", Image, {"image_id": path_segment("image_id", value)})
    assert request.target == f"/images/{encoded}"


@pytest.mark.parametrize("value", [None, 5, True, b"img", ["img"], object(), 1.5])
def test_an_id_has_to_be_text_or_a_uuid(value: Any) -> None:
    with pytest.raises(TypeError, match=f"image_id must be text or uuid.UUID, not {type(value).__name__}"):
        path_segment("image_id", value)


def test_the_error_for_a_mapping_as_an_id_shows_the_right_call() -> None:
    with pytest.raises(TypeError, match=r"retrieve\('...'\)"):
        path_segment("image_id", {"image_id": "x"})


@given(st.text())
def test_a_path_segment_never_contains_a_delimiter(value: str) -> None:
    try:
        encoded = path_segment("image_id", value)
    except ValueError:
        return
    assert encoded.isascii()
    assert encoded not in {"", ".", ".."}
    assert not set(encoded) & set("/\\?# \r\n\t\0{}")


def test_the_error_for_a_long_id_is_short() -> None:
    with pytest.raises(ValueError) as caught:
        path_segment("image_id", "/" * 10_000)
    assert len(str(caught.value)) < 200


# --- requests -----------------------------------------------------------------------------------------------


def test_the_target_of_a_request_is_its_path_and_encoded_query() -> None:
    request = Request(
        "GET", "/images/", list[Image], params={"page": 2, "limit": 5, "tz": "Europe/Berlin", "q": "a b&c=ä"}
    )
    assert request.target == "/images/?page=2&limit=5&tz=Europe%2FBerlin&q=a+b%26c%3D%C3%A4"


@pytest.mark.parametrize("params", [None, {}])
def test_without_params_a_target_has_no_question_mark(params: Any) -> None:
    assert Request("GET", "/images/", Image, params=params).target == "/images/"


def test_drop_none_keeps_zero_and_false() -> None:
    assert drop_none(a=None, b=0, c=False, d="", e={}) == {"b": 0, "c": False, "d": "", "e": {}}


def test_a_no_response_error_has_the_reason_of_its_failure() -> None:
    failure = Failure("connection refused", kind="not_sent")
    error = NoResponseError(failure)
    assert (str(error), error.failure, error.exchange) == ("connection refused", failure, None)


# --- page numbers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("2", 2),
        ("0", 0),
        (" 7 ", 7),
        ("007", 7),
        ("123456789012345678", 123456789012345678),
        (None, None),
        ("", None),
        ("  ", None),
        ("null", None),
        ("NULL", None),
        ("Null", None),
        ("none", None),
        ("None", None),
        ("undefined", None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        ("1e3", None),
        ("two", None),
        ("1, 2", None),
        ("٣", None),
        ("²", None),
        ("9" * 5000, None),
    ],
)
def test_a_page_number_is_parsed_leniently(text: str | None, number: int | None) -> None:
    headers = Headers(
        []
        if text is None
        else [(name, text) for name in ("X-Next-Page", "x-prev-page", "X-TOTAL-COUNT", "X-Page", "X-Limit")]
    )
    assert pagination(headers) == Pagination(
        total_count=number, page=number, limit=number, prev_page=number, next_page=number
    )


@given(st.text())
def test_no_page_header_raises(text: str) -> None:
    pagination(Headers([("X-Next-Page", text), ("X-Total-Count", text)]))


@pytest.mark.parametrize(
    ("total", "service_limit", "limit", "last"),
    [
        (None, 10, 10, None),
        (0, 10, 10, 0),
        (1, 10, 10, 1),
        (10, 10, 10, 1),
        (11, 10, 10, 2),
        (100, 20, 100, 5),
        (100, None, 30, 4),
        (5, 0, 5, 1),
    ],
)
def test_the_last_page_is_computed_from_the_total_and_the_limit_of_the_service(
    total: int | None, service_limit: int | None, limit: int, last: int | None
) -> None:
    assert last_page(Pagination(total_count=total, limit=service_limit), limit) == last


# --- URLs of the service ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "secure"),
    [
        ("https://s3.example/k?X-Amz-Signature=a", True),
        ("HTTPS://S3.EXAMPLE/k", True),
        ("http://127.0.0.1:9000/k", False),
        ("https://[::1]:9000/k", False),
        ("https://s3.example/a@b?x=c@d", True),
    ],
)
def test_an_ordinary_http_url_is_safe(url: str, secure: bool) -> None:
    require_safe(url, "upload_url", secure=secure)


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://s3.example/k", "http although the API is reached over https"),
        ("https://user@s3.example/k", "user info"),
        ("https://user:pw@s3.example/k", "user info"),
        ("https://@s3.example/k", "user info"),
        ("ftp://s3.example/k", "not an http"),
        ("file:///etc/passwd", "not an http"),
        ("javascript:alert(1)", "not an http"),
        ("//s3.example/k", "not an http"),
        ("/k", "not an http"),
        ("", "not an http"),
        ("https://", "not an http"),
        ("https:///k", "not an http"),
        ("https://[::1/k", "not an http"),
        ("https://s3.example:port/k", "not an http"),
        ("https://s3.example:99999/k", "not an http"),
        ("https://s3.example\\@evil.example/k", "not an http"),
        ("https://s3.example/k\nHost: x", "not an http"),
        ("https://s3.example/a b", "not an http"),
        ("https://s3.exämple/k", "not an http"),
        (" https://s3.example/k", "not an http"),
    ],
)
def test_the_error_for_an_unsafe_url_has_the_reason(url: str, reason: str) -> None:
    with pytest.raises(UnsafeURLError, match=reason) as caught:
        require_safe(url, "upload_url", secure=True)
    assert "the upload_url that the service returned" in str(caught.value)
    assert "pw" not in str(caught.value)


def test_the_error_for_an_unsafe_url_does_not_contain_its_query() -> None:
    with pytest.raises(UnsafeURLError) as caught:
        require_safe("http://s3.example/k?X-Amz-Signature=s3cr3t", "upload_url", secure=True)
    assert "s3cr3t" not in str(caught.value)
    assert "s3.example/k" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://API.example/x", ("https", "api.example", 443)),
        ("http://api.example", ("http", "api.example", 80)),
        ("https://api.example:8443/", ("https", "api.example", 8443)),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, parts: tuple[str, str, int]) -> None:
    assert origin(url) == parts


def test_without_query_returns_host_and_path() -> None:
    assert (
        without_query("https://user:pw@s3.example:9000/a/b.jpg?X-Amz-Signature=x#y")
        == "s3.example:9000/a/b.jpg"
    )
