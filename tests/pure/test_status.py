"""Error responses: the status decides the class of the error, and the body its message."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import REQUEST_ID, SECRET

from imgwire_async import errors, messages
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.status import status_error

BY_STATUS = {
    400: errors.BadRequestError,
    401: errors.AuthenticationError,
    402: errors.PaymentRequiredError,
    403: errors.PermissionDeniedError,
    404: errors.NotFoundError,
    409: errors.ConflictError,
    413: errors.PayloadTooLargeError,
    422: errors.UnprocessableEntityError,
    429: errors.RateLimitError,
    500: errors.ServerError,
    501: errors.ServerError,
    502: errors.ServerError,
    503: errors.ServerError,
    504: errors.ServerError,
    599: errors.ServerError,
    301: errors.APIStatusError,
    307: errors.APIStatusError,
    405: errors.APIStatusError,
    408: errors.APIStatusError,
    418: errors.APIStatusError,
}
DOMAIN = json.dumps({"detail": "Resource not found.", "error_type": "ResourceNotFoundError"}).encode()
VALIDATION = json.dumps(
    {
        "detail": [
            {"loc": ["body", "image_ids", 0], "msg": "not a UUID", "type": "uuid_parsing", "input": "x"},
            {"loc": ["query", "page"], "msg": "must be 1 or more", "type": "ge"},
        ]
    }
).encode()
PAGE = b"<!DOCTYPE html><html><title>502 Bad Gateway</title>" + b"<p>lorem ipsum</p>" * 2000


def make_error(status: int, body: Any = b"", **options: Any) -> Any:
    headers = Headers([("X-Request-Id", REQUEST_ID)])
    exchange = Exchange("api", "GET", "/images/{image_id}", status, headers, 2, 1.5)
    return status_error(
        status, exchange, body if isinstance(body, bytes) else json.dumps(body).encode(), **options
    )


BODIES = [DOMAIN, VALIDATION, PAGE, b"", b"\xff\xfe", b"upstream timed out", b"[]", b"7", b"null"]


@pytest.mark.parametrize(("status", "cls"), BY_STATUS.items())
def test_the_class_of_an_error_depends_only_on_the_status(
    status: int, cls: type[errors.APIStatusError]
) -> None:
    all_errors = [make_error(status, body) for body in BODIES]
    assert {type(error) for error in all_errors} == {cls}
    assert {(error.status, error.request_id) for error in all_errors} == {(status, REQUEST_ID)}
    assert max(len(str(error)) for error in all_errors) < 900


@pytest.mark.parametrize("status", BY_STATUS)
def test_the_message_has_request_attempts_time_status_and_advice(status: int) -> None:
    text = str(make_error(status, DOMAIN))
    assert text.startswith(
        f"GET /images/{{image_id}} (2 attempts, 1.50 s, request id {REQUEST_ID}): HTTP {status}"
    )
    assert text.endswith(".")
    assert len(text.partition("Resource not found.")[2]) > 20


def test_a_domain_error_has_its_type_and_message() -> None:
    error = make_error(404, DOMAIN)
    assert (error.message, error.error_type) == ("Resource not found.", "ResourceNotFoundError")
    assert "HTTP 404 (ResourceNotFoundError): Resource not found. Check" in str(error)
    assert error.body == DOMAIN.decode()


def test_the_message_names_the_id_and_the_exchange_keeps_the_template() -> None:
    error = make_error(404, DOMAIN, ids={"image_id": "3f1c0a52"})
    assert "HTTP 404 (ResourceNotFoundError) for image_id 3f1c0a52: Resource not found. Check" in str(error)
    assert error.exchange.path == "/images/{image_id}"


def test_the_message_shortens_a_long_id_and_hides_a_key_passed_as_an_id() -> None:
    assert len(str(make_error(404, DOMAIN, ids={"image_id": "x" * 5000}))) < 900
    assert "sk_secret" not in str(make_error(404, DOMAIN, ids={"image_id": "sk_secret"}, api_key="sk_secret"))


def test_a_validation_error_lists_all_rejected_values() -> None:
    error = make_error(422, VALIDATION)
    assert [(issue.loc, issue.type) for issue in error.errors] == [
        (("body", "image_ids", 0), "uuid_parsing"),
        (("query", "page"), "ge"),
    ]
    assert error.message == "body.image_ids.0: not a UUID; query.page: must be 1 or more"
    assert error.errors[0].extra == {"input": "x"}
    assert error.error_type is None


def test_a_422_without_a_list_has_no_rejected_values() -> None:
    error = make_error(422, {"detail": "No subscription", "error_type": "PaymentRequiredError"})
    assert error.errors == ()
    assert (error.message, error.error_type) == ("No subscription", "PaymentRequiredError")


def test_a_list_of_rejected_values_is_read_with_any_status() -> None:
    assert make_error(400, VALIDATION).message.startswith("body.image_ids.0")


@pytest.mark.parametrize(
    "body",
    [
        {"detail": ["text"]},
        {"detail": [{"loc": "body", "msg": "m", "type": "t"}]},
        {"detail": [{"msg": "m"}]},
        {"detail": {"a": 1}},
        {"detail": None},
        {"detail": 5},
        {"error": "text"},
        {"message": "text"},
        ["detail"],
        "detail",
        None,
    ],
)
def test_a_body_of_an_unknown_form_is_in_the_message(body: Any) -> None:
    error = make_error(422, body)
    assert error.errors == ()
    assert error.message == ""
    assert error.body == json.dumps(body)
    assert json.dumps(body) in str(error)


def test_a_deeply_nested_detail_does_not_hide_the_status() -> None:
    assert make_error(422, b'{"detail": ' + b"[" * 900 + b"]" * 900 + b"}").status == 422


def test_a_text_in_detail_is_the_message() -> None:
    error = make_error(403, {"detail": "Not allowed"})
    assert (error.message, error.error_type) == ("Not allowed", None)
    assert "HTTP 403: Not allowed." in str(error)


@pytest.mark.parametrize("error_type", [5, None, ["X"]])
def test_an_error_type_that_is_not_text_is_none(error_type: Any) -> None:
    assert make_error(400, {"detail": "x", "error_type": error_type}).error_type is None


def test_only_the_title_of_an_html_page_is_in_the_message() -> None:
    error = make_error(502, PAGE)
    assert "an HTML page titled '502 Bad Gateway'" in str(error)
    assert "lorem" not in str(error)
    assert len(error.body) <= 10_000


def test_the_message_for_an_empty_body_says_so() -> None:
    assert "no message" in str(make_error(500, b""))
    assert "no message" in str(make_error(500, b" \n"))


def test_the_message_contains_300_characters_of_a_long_body() -> None:
    text = str(make_error(500, b"x" * 5000))
    assert "x" * 299 + "…" in text
    assert "x" * 300 not in text


def test_a_rate_limit_error_has_the_retry_after_of_the_server() -> None:
    assert make_error(429, b"", retry_after=7.5).retry_after == 7.5
    assert make_error(429, b"").retry_after is None


@pytest.mark.parametrize("status", [401, 422, 500])
@pytest.mark.parametrize(
    "body",
    [
        f"invalid key {SECRET}".encode(),
        json.dumps({"detail": f"key {SECRET} is unknown", "error_type": f"X{SECRET}"}).encode(),
        json.dumps(
            {"detail": [{"loc": ["header", SECRET], "msg": SECRET, "type": "x", "input": {"a": [SECRET]}}]}
        ).encode(),
        f"<html><title>{SECRET}</title></html>".encode(),
        f"https://s3.example/x?X-Amz-Signature={SECRET}".encode(),
        b"x" * 9990 + SECRET.encode(),
    ],
)
def test_an_error_does_not_contain_the_key(status: int, body: bytes) -> None:
    error = make_error(status, body, api_key=SECRET)
    text = f"{error} {error!r} {error.message} {error.error_type} {error.body} {getattr(error, 'errors', '')}"
    assert SECRET not in text
    assert SECRET[:8] not in text
    assert SECRET.encode() not in pickle.dumps(error)


@given(st.integers(300, 599), st.binary())
def test_no_body_makes_the_mapping_raise(status: int, body: bytes) -> None:
    assert make_error(status, body).status == status


@pytest.mark.parametrize(
    ("method", "status", "warns"),
    [
        ("POST", 500, True),
        ("POST", 504, True),
        ("DELETE", 503, True),
        ("GET", 500, False),
        ("POST", 501, False),
        ("POST", 511, False),
        ("POST", 409, False),
        ("POST", 429, False),
    ],
)
def test_an_error_says_when_the_service_may_have_carried_out_the_call(
    method: str, status: int, warns: bool
) -> None:
    error = status_error(status, Exchange("api", method, "/cors_origins/", status), DOMAIN)
    assert (messages.MAY_HAVE_SUCCEEDED in str(error)) is warns


def test_a_failed_create_request_says_that_a_record_without_bytes_may_be_left() -> None:
    error = status_error(503, Exchange("api", "POST", "/images/standard_upload", 503), DOMAIN)
    assert "may have created a record without bytes" in str(error)
    assert messages.MAY_HAVE_SUCCEEDED not in str(error)


@pytest.mark.parametrize("has_upload_token", [False, True])
def test_a_401_mentions_the_upload_token_only_if_one_was_sent(has_upload_token: bool) -> None:
    exchange = Exchange("api", "POST", "/images/standard_upload", 401)
    error = status_error(401, exchange, DOMAIN, has_upload_token=has_upload_token)
    assert ("upload token" in str(error)) is has_upload_token


@pytest.mark.parametrize("headers", [{}, {"X-Request-Id": "r-1"}])
def test_a_server_error_mentions_the_request_id_only_if_the_response_has_one(headers: dict[str, str]) -> None:
    exchange = Exchange("api", "GET", "/images/", 503, Headers(headers.items()))
    assert ("request id when you ask" in str(status_error(503, exchange, DOMAIN))) is bool(headers)
