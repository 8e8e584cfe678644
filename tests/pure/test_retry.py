"""What may be sent again, and how long to pause before."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async import RetryPolicy
from imgwire_async.retry import Failure, is_success, may_repeat, passing, pause, retry_after, spread

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
EVERYBODY = list(itertools.product(["GET", "HEAD", "PUT", "DELETE", "PATCH", "POST"], [None, True, False]))
SAFE = ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"]


def failed(what: Any) -> Failure:
    return Failure("x", status=what) if isinstance(what, int) else Failure("x", fate=what)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 507, 599])
def test_these_answers_may_be_different_a_moment_later(status: int) -> None:
    assert passing(status)


@pytest.mark.parametrize("status", [200, 301, 307, 400, 401, 402, 403, 404, 405, 409, 413, 422, 501])
def test_any_other_answer_is_final_for_everybody(status: int) -> None:
    assert not any(may_repeat(method, failed(status), repeatable=word) for method, word in EVERYBODY)


@pytest.mark.parametrize("what", ["lost", "attempt", "stall", 408, 500, 502, 503, 504])
def test_what_may_have_been_carried_out_is_repeated_only_where_twice_is_once(what: Any) -> None:
    assert all(may_repeat(method, failed(what), repeatable=None) for method in SAFE)
    assert not may_repeat("POST", failed(what), repeatable=None)
    assert may_repeat("POST", failed(what), repeatable=True)
    assert not may_repeat("GET", failed(what), repeatable=False)


@pytest.mark.parametrize("what", ["unsent", "connect", 429])
def test_what_certainly_was_not_processed_is_repeated_always(what: Any) -> None:
    assert all(may_repeat(method, failed(what), repeatable=word) for method, word in EVERYBODY)


@pytest.mark.parametrize(
    ("what", "in_doubt"),
    [
        ("unsent", False),
        ("connect", False),
        ("lost", True),
        ("attempt", True),
        ("stall", True),
        (429, False),
        (404, False),
        (408, False),
        (500, True),
        (503, True),
    ],
)
def test_after_some_failures_nobody_knows(what: Any, in_doubt: bool) -> None:
    assert failed(what).in_doubt is in_doubt


# --- pauses -----------------------------------------------------------------------------------------------------------

dice = st.floats(0, 1, exclude_max=True)
seconds = st.floats(0, 1e6)
policies = st.builds(RetryPolicy, backoff=seconds, max_backoff=seconds, max_retry_after=seconds)


@given(st.integers(1, 10_000), policies, dice)
def test_without_a_word_of_the_server_a_pause_keeps_under_its_caps(
    retry: int, policy: RetryPolicy, dice: float
) -> None:
    waited = pause(retry, None, policy=policy, dice=dice)
    assert waited is not None
    assert 0 <= waited <= policy.max_backoff
    assert retry > 1 or waited <= policy.backoff


@given(seconds, policies, dice)
def test_nobody_comes_before_the_server_said_nor_waits_longer_than_allowed(
    told: float, policy: RetryPolicy, dice: float
) -> None:
    waited = pause(1, told, policy=policy, dice=dice)
    if told > policy.max_retry_after:
        assert waited is None
    else:
        assert waited is not None
        assert told <= waited <= told + 1


def test_caps_double_from_retry_to_retry() -> None:
    policy = RetryPolicy(backoff=0.25, max_backoff=8)
    caps = [pause(retry, None, policy=policy, dice=1.0) for retry in range(1, 8)]
    assert caps == [0.25, 0.5, 1, 2, 4, 8, 8]


def test_the_whole_pause_is_jitter() -> None:
    assert pause(3, None, policy=RetryPolicy(), dice=0.0) == 0


def test_those_who_waited_together_come_back_apart() -> None:
    assert spread(2, 0.0) == 0
    assert spread(2, 1.0) > 0.2
    assert spread(0, 1.0) > 0
    assert spread(1000, 1.0) == 1


# --- Retry-After ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "told"),
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
def test_retry_after_is_seconds_or_a_date_and_never_nonsense(text: str | None, told: float | None) -> None:
    headers = {"Date": format_datetime(NOW, usegmt=True)}
    assert retry_after(headers if text is None else {**headers, "Retry-After": text}) == told


@pytest.mark.parametrize("hours", [-48, -2, 2, 48])
def test_a_date_of_a_server_whose_clock_is_off_is_measured_by_the_servers_own_clock(hours: int) -> None:
    theirs = datetime.now(UTC) + timedelta(hours=hours)
    dates = {"Date": theirs, "Retry-After": theirs + timedelta(seconds=30)}
    assert retry_after({name: format_datetime(date, usegmt=True) for name, date in dates.items()}) == 30.0


@pytest.mark.parametrize("date", ["", "yesterday", "Wed, 99 Apr 2026 11:50:00 GMT"])
def test_without_a_date_that_can_be_read_this_machines_clock_counts(date: str) -> None:
    text = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    told = retry_after({"Date": date, "Retry-After": text})
    assert told is not None
    assert 60 < told <= 90


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
def test_only_200_to_299_is_a_success(status: int, success: bool) -> None:
    assert is_success(status) is success


@given(
    st.text()
    | st.from_regex(r"\A[A-Z][a-z]{2}, \d{1,9} [A-Z][a-z]{2} \d{1,9} \d{1,4}:\d\d:\d\d ([+-]\d{1,9}|GMT)\Z")
)
def test_no_retry_after_breaks_the_call(text: str) -> None:
    told = retry_after({"Retry-After": text, "Date": text})
    assert told is None or told > 0
