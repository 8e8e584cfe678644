"""Expired upload URLs are recognized by the response of the storage, or by the dates of URL and response."""

from __future__ import annotations

from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.protocol.signed_urls import expires_at, is_expired

NOON = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
AMZ = "https://s3.example/k?X-Amz-Date=20260401T114500Z&X-Amz-Expires=900&X-Amz-Signature=x"  # until noon
BARE = "https://storage.example/k?signature=x"


def gmt(hour: int, minute: int, second: int = 0) -> str:
    return format_datetime(NOON.replace(hour=hour, minute=minute, second=second), usegmt=True)


@pytest.mark.parametrize(
    ("url", "end"),
    [
        (AMZ, NOON),
        (AMZ.lower().replace("20260401t114500z", "20260401T114500Z"), NOON),
        ("https://s/k?X-Goog-Date=20260401T110000Z&X-Goog-Expires=3600", NOON),
        (f"https://s/k?AWSAccessKeyId=a&Expires={int(NOON.timestamp())}&Signature=x", NOON),
        ("https://s/k?se=2026-04-01T12%3A00%3A00Z&sig=x", NOON),
        ("https://s/k?se=2026-04-01T12:00:00&sig=x", NOON),
        ("https://s/k?se=2026-04-01T14:00:00%2B02:00", NOON),
        (BARE, None),
        ("https://s/k", None),
        ("https://s/k?X-Amz-Date=20260401T114500Z", None),
        ("https://s/k?X-Amz-Expires=900", None),
        ("https://s/k?X-Amz-Date=today&X-Amz-Expires=900", None),
        ("https://s/k?X-Amz-Date=20260401T114500Z&X-Amz-Expires=soon", None),
        ("https://s/k?X-Amz-Date=20260401T114500Z&X-Amz-Expires=99999999999999999999", None),
        ("https://s/k?Expires=never", None),
        ("https://s/k?Expires=999999999999999999999", None),
        ("https://s/k?se=tomorrow", None),
        ("https://s/k?Expires=", None),
    ],
)
def test_the_expiry_of_a_url_is_read_from_its_query(url: str, end: datetime | None) -> None:
    assert expires_at(url) == end


# Name of the case, URL, status, body and Date of the response, and whether the URL has expired.
EVIDENCE = [
    ("message of S3", AMZ, 403, "<Message>Request has expired</Message>", gmt(11, 50), True),
    ("error code with status 400", AMZ, 400, "<Code>ExpiredToken</Code>", gmt(11, 50), True),
    ("error code of GCS", BARE, 400, "<Code>ExpiredToken</Code>", None, True),
    ("message of Azure", BARE, 403, "Signature not valid in the specified time frame", None, True),
    ("clock difference of GCS", BARE, 403, "RequestTimeTooSkewed", None, True),
    ("upper case", BARE, 403, "URL EXPIRED", None, True),
    ("expired by the dates", AMZ, 403, "<Code>AccessDenied</Code>", gmt(12, 0, 1), True),
    ("not expired by the dates", AMZ, 403, "<Code>AccessDenied</Code>", gmt(11, 59, 59), False),
    ("at the moment of expiry", AMZ, 403, "AccessDenied", gmt(12, 0), False),
    ("the Date takes precedence over the local clock", AMZ, 403, "", gmt(11, 50), False),
    ("the local clock without a Date", AMZ, 403, "", None, True),
    ("not expired by the local clock", AMZ.replace("2026", "2999"), 403, "", None, False),
    ("an invalid Date is ignored", AMZ, 403, "", "yesterday", True),
    ("an impossible Date is ignored", AMZ, 403, "", "Wed, 99 Apr 2026 11:50:00 GMT", True),
    ("a Date without a zone is GMT", AMZ, 403, "", "Wed, 01 Apr 2026 11:50:00 -0000", False),
    ("no evidence", BARE, 403, "AccessDenied", gmt(12, 5), False),
    ("a wrong signature", AMZ, 403, "SignatureDoesNotMatch", gmt(11, 50), False),
    ("status 404", AMZ, 404, "Request has expired", gmt(12, 5), False),
    ("a success", AMZ, 200, "expired", gmt(12, 5), False),
    ("status 503", AMZ, 503, "expired", gmt(12, 5), False),
]


@pytest.mark.parametrize(
    ("url", "status", "body", "date", "expired"),
    [row[1:] for row in EVIDENCE],
    ids=[row[0] for row in EVIDENCE],
)
def test_evidence_decides_whether_a_url_has_expired(
    url: str, status: int, body: str, date: str | None, expired: bool
) -> None:
    assert is_expired(url, status, body, {} if date is None else {"Date": date}) is expired


@given(st.text(), st.text(), st.text())
def test_no_response_makes_the_decision_raise(query: str, body: str, date: str) -> None:
    for name in ("X-Amz-Date=20260401T114500Z&X-Amz-Expires", "Expires", "se"):
        is_expired(f"https://s/k?{name}={query}", 403, body, {"Date": date})


def test_text_of_the_request_in_the_response_is_not_evidence() -> None:
    body = (
        "<Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.</Message><CanonicalRequest>PUT"
        " X-Amz-Expires=900 expired</CanonicalRequest></Error>"
    )
    assert not is_expired("https://s/u", 403, body, {})


def test_a_date_out_of_range_is_ignored() -> None:
    url = "https://s/u?X-Amz-Date=20200101T000000Z&X-Amz-Expires=1"
    odd = "1 Jan 2024 00:00:00 +99999999999999999999"
    assert is_expired(url, 403, "", {"Date": odd})
