"""Which requests may be retried, and after which delay."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async import RetryPolicy
from imgwire_async.retry import (
    Failure,
    is_success,
    is_transient,
    may_retry,
    parse_retry_after,
    retry_delay,
    stagger,
)

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
METHODS_AND_DECLARATIONS = list(
    itertools.product(["GET", "HEAD", "PUT", "DELETE", "PATCH", "POST"], [None, True, False])
)
IDEMPOTENT = ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"]


def failed(cause: Any) -> Failure:
    """Return a failure with this status or kind."""
    return Failure("x", status=cause) if isinstance(cause, int) else Failure("x", kind=cause)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 507, 599])
def test_a_status_that_may_pass_is_transient(status: int) -> None:
    assert is_transient(status)


@pytest.mark.parametrize("status", [200, 301, 307, 400, 401, 402, 403, 404, 405, 409, 413, 422, 501])
def test_no_request_is_retried_after_a_final_status(status: int) -> None:
    assert not any(
        may_retry(method, failed(status), repeatable=repeatable)
        for method, repeatable in METHODS_AND_DECLARATIONS
    )


@pytest.mark.parametrize("cause", ["connection_lost", "attempt_timeout", "stalled", 408, 500, 502, 503, 504])
def test_a_request_that_may_have_been_processed_is_retried_only_if_it_is_idempotent(cause: Any) -> None:
    assert all(may_retry(method, failed(cause), repeatable=None) for method in IDEMPOTENT)
    assert not may_retry("POST", failed(cause), repeatable=None)
    assert may_retry("POST", failed(cause), repeatable=True)
    assert not may_retry("GET", failed(cause), repeatable=False)


@pytest.mark.parametrize("cause", ["not_sent", "connect_timeout", 429])
def test_a_request_that_was_not_processed_may_always_be_retried(cause: Any) -> None:
    assert all(
        may_retry(method, failed(cause), repeatable=repeatable)
        for method, repeatable in METHODS_AND_DECLARATIONS
    )


@pytest.mark.parametrize(
    ("cause", "may_have_succeeded"),
    [
        ("not_sent", False),
        ("connect_timeout", False),
        ("connection_lost", True),
        ("attempt_timeout", True),
        ("stalled", True),
        (429, False),
        (404, False),
        (408, False),
        (500, True),
        (503, True),
    ],
)
def test_a_failure_tells_whether_the_request_may_have_succeeded(cause: Any, may_have_succeeded: bool) -> None:
    assert failed(cause).may_have_succeeded is may_have_succeeded


# --- delays -------------------------------------------------------------------------------------------------

jitters = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 1e6)
policies = st.builds(RetryPolicy, backoff=seconds, max_backoff=seconds, max_retry_after=seconds)


@given(st.integers(1, 10_000), policies, jitters)
def test_without_retry_after_the_delay_is_at_most_the_backoff(
    retry: int, policy: RetryPolicy, jitter: float
) -> None:
    delay = retry_delay(retry, None, policy=policy, jitter=jitter)
    assert delay is not None
    assert 0 <= delay <= policy.max_backoff
    assert retry > 1 or delay <= policy.backoff


@given(seconds, policies, jitters)
def test_with_retry_after_the_delay_is_that_long_and_at_most_a_second_longer(
    retry_after: float, policy: RetryPolicy, jitter: float
) -> None:
    delay = retry_delay(1, retry_after, policy=policy, jitter=jitter)
    if retry_after > policy.max_retry_after:
        assert delay is None
    else:
        assert delay is not None
        assert retry_after <= delay <= retry_after + 1


def test_the_longest_delay_doubles_from_retry_to_retry() -> None:
    policy = RetryPolicy(backoff=0.25, max_backoff=8)
    longest = [retry_delay(retry, None, policy=policy, jitter=1.0) for retry in range(1, 8)]
    assert longest == [0.25, 0.5, 1, 2, 4, 8, 8]


def test_jitter_may_shorten_the_delay_to_zero() -> None:
    assert retry_delay(3, None, policy=RetryPolicy(), jitter=0.0) == 0


def test_jitter_spreads_requests_with_the_same_retry_after() -> None:
    assert stagger(2, 0.0) == 0
    assert stagger(2, 1.0) > 0.2
    assert stagger(0, 1.0) > 0
    assert stagger(1000, 1.0) == 1


# --- Retry-After --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2", 2.0),
        (" 120 ", 120.0),
        ("1.5", 1.5),
        (".5", 0.5),
        ("9999999999", 9999999999.0),
        ("9" * 400, 1e12),
        ("0.30000000000000004", 0.1 + 0.2),
        ("0000000000001", 1.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        ("Wed, 01 Apr 2026 12:00:30 -0000", 30.0),
        ("Wed, 01 Apr 2026 14:00:30 +0200", 30.0),
        ("Wednesday, 01-Apr-26 12:00:30 GMT", 30.0),
        (format_datetime(NOW - timedelta(seconds=1), usegmt=True), None),
        (format_datetime(NOW, usegmt=True), None),
        (None, None),
        ("", None),
        ("  ", None),
        ("0", None),
        ("0.0", None),
        ("-5", None),
        ("+5", None),
        ("1e3", None),
        ("1.2.3", None),
        (".", None),
        ("inf", None),
        ("nan", None),
        ("soon", None),
        ("٣", None),
        ("2, 3", None),
        ("Wed, 99 Apr 2026 12:00:30 GMT", None),
        ("Wed, 01 Apr 99999 12:00:30 GMT", None),
        ("2026-04-01T12:00:30Z", None),
    ],
)
def test_retry_after_is_parsed_as_seconds_or_a_date_and_ignored_if_it_is_neither(
    text: str | None, expected: float | None
) -> None:
    headers = {"Date": format_datetime(NOW, usegmt=True)}
    assert parse_retry_after(headers if text is None else {**headers, "Retry-After": text}) == expected


@pytest.mark.parametrize("hours", [-48, -2, 2, 48])
def test_a_retry_after_date_is_compared_with_the_date_of_the_response(hours: int) -> None:
    server_time = datetime.now(UTC) + timedelta(hours=hours)
    dates = {"Date": server_time, "Retry-After": server_time + timedelta(seconds=30)}
    assert (
        parse_retry_after({name: format_datetime(date, usegmt=True) for name, date in dates.items()}) == 30.0
    )


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Apr 2026 11:50:00 GMT"])
def test_a_retry_after_date_is_compared_with_the_local_clock_if_the_response_has_no_valid_date(
    date: str,
) -> None:
    text = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    seconds = parse_retry_after({"Date": date, "Retry-After": text})
    assert seconds is not None
    assert 60 < seconds <= 90


@pytest.mark.parametrize(
    ("status", "success"),
    [
        (0, False),
        (99, False),
        (101, False),
        (199, False),
        (200, True),
        (204, True),
        (299, True),
        (300, False),
        (600, False),
    ],
)
def test_only_a_status_from_200_to_299_is_a_success(status: int, success: bool) -> None:
    assert is_success(status) is success


@given(
    st.text()
    | st.from_regex(r"\A[A-Z][a-z]{2}, \d{1,9} [A-Z][a-z]{2} \d{1,9} \d{1,4}:\d\d:\d\d ([+-]\d{1,9}|GMT)\Z")
)
def test_no_text_in_retry_after_raises(text: str) -> None:
    seconds = parse_retry_after({"Retry-After": text, "Date": text})
    assert seconds is None or seconds > 0
