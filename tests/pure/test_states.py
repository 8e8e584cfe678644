"""The life of an upload as a table: every event in every state, and walks through it that always end."""

from __future__ import annotations

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import upload_state

from imgwire_async.models import ImageStatus
from imgwire_async.retry import Failure
from imgwire_async.uploads.states import (
    MAX_UPLOAD_URLS,
    Action,
    PutOutcome,
    UploadState,
    action_after_check,
    next_action,
)

ALL_TALLIES = [
    upload_state(
        urls_requested=urls_requested,
        may_have_arrived=doubt,
        forbidden_puts=forbidden_puts,
        retries=retries,
        max_retries=max_retries,
    )
    for urls_requested, doubt, forbidden_puts, retries, max_retries in itertools.product(
        (1, 2, 3), (False, True), (0, 1, 2), (0, 1, 3), (0, 1, 3)
    )
    if retries <= max_retries
]
FRESH = upload_state(urls_requested=1)
ENOUGH_RETRIES = upload_state(urls_requested=1, retries=3)


def test_what_is_stored_is_done_in_every_state() -> None:
    assert {next_action(PutOutcome.STORED, tally) for tally in ALL_TALLIES} == {Action.DONE}


def test_what_is_rejected_fails_unless_an_earlier_try_may_have_arrived() -> None:
    repeatable = [tally for tally in ALL_TALLIES if tally.budget.policy.max_retries]
    assert {
        next_action(PutOutcome.REJECTED, tally) for tally in repeatable if not tally.may_have_arrived
    } == {Action.FAIL}
    assert {next_action(PutOutcome.REJECTED, tally) for tally in repeatable if tally.may_have_arrived} == {
        Action.CHECK_RECORD
    }
    assert {action_after_check(PutOutcome.REJECTED, ImageStatus.PENDING, tally) for tally in ALL_TALLIES} == {
        Action.FAIL
    }


@pytest.mark.parametrize("event", [event for event in PutOutcome if event is not PutOutcome.STORED])
def test_without_retries_nothing_is_repeated(event: PutOutcome) -> None:
    for tally in ALL_TALLIES:
        if tally.budget.policy.max_retries == 0:
            assert next_action(event, tally) is Action.FAIL


@pytest.mark.parametrize("event", PutOutcome)
def test_never_a_fourth_mint(event: PutOutcome) -> None:
    last = [tally for tally in ALL_TALLIES if tally.urls_requested >= MAX_UPLOAD_URLS]
    assert Action.NEW_URL not in {next_action(event, tally) for tally in last}
    assert Action.NEW_URL not in {
        action_after_check(event, status, tally) for tally in last for status in ImageStatus
    }


@pytest.mark.parametrize(
    ("event", "tally", "step"),
    [
        (PutOutcome.EXPIRED, FRESH, Action.NEW_URL),
        (PutOutcome.EXPIRED, attrs.evolve(FRESH, urls_requested=2, forbidden_puts=1), Action.NEW_URL),
        (PutOutcome.EXPIRED, attrs.evolve(FRESH, urls_requested=3), Action.FAIL),
        (PutOutcome.EXPIRED, attrs.evolve(FRESH, may_have_arrived=True), Action.CHECK_RECORD),
        (PutOutcome.FORBIDDEN, FRESH, Action.NEW_URL),
        (PutOutcome.FORBIDDEN, attrs.evolve(FRESH, urls_requested=2, forbidden_puts=2), Action.FAIL),
        (PutOutcome.FORBIDDEN, attrs.evolve(FRESH, urls_requested=3), Action.FAIL),
        (PutOutcome.FORBIDDEN, attrs.evolve(FRESH, may_have_arrived=True), Action.CHECK_RECORD),
        (PutOutcome.BUSY, FRESH, Action.RETRY),
        (PutOutcome.BUSY, ENOUGH_RETRIES, Action.FAIL),
        (PutOutcome.NOT_SENT, FRESH, Action.RETRY),
        (PutOutcome.NOT_SENT, ENOUGH_RETRIES, Action.FAIL),
        (PutOutcome.CONNECTION_LOST, FRESH, Action.CHECK_RECORD),
        (PutOutcome.CONNECTION_LOST, ENOUGH_RETRIES, Action.CHECK_RECORD),
        (PutOutcome.STALLED, FRESH, Action.CHECK_RECORD),
    ],
)
def test_what_follows_a_put(event: PutOutcome, tally: UploadState, step: Action) -> None:
    assert next_action(event, tally) is step


@pytest.mark.parametrize("event", PutOutcome)
@pytest.mark.parametrize("status", ["UPLOAD_FAILED", "AWAITING_BYTES", "EXPIRED", "BRAND_NEW"])
def test_an_unknown_status_proves_nothing_and_counts_as_pending(event: PutOutcome, status: str) -> None:
    for tally in ALL_TALLIES:
        pending = action_after_check(event, ImageStatus.PENDING, tally)
        assert action_after_check(event, ImageStatus(status), tally) is pending is not Action.DONE


def test_an_attempt_that_waited_for_its_caller_is_made_again_however_often() -> None:
    for tally in ALL_TALLIES:
        expected = Action.FAIL if tally.budget.policy.max_retries == 0 else Action.RETRY
        assert next_action(PutOutcome.INTERRUPTED, tally) is expected


@pytest.mark.parametrize(
    "event", [PutOutcome.CONNECTION_LOST, PutOutcome.STALLED, PutOutcome.EXPIRED, PutOutcome.FORBIDDEN]
)
@pytest.mark.parametrize("status", ["PROCESSING", "READY", "QUARANTINE"])
def test_bytes_that_arrived_are_not_sent_again(event: PutOutcome, status: str) -> None:
    assert all(action_after_check(event, ImageStatus(status), tally) is Action.DONE for tally in ALL_TALLIES)


@pytest.mark.parametrize(
    ("event", "tally", "step"),
    [
        (PutOutcome.CONNECTION_LOST, FRESH, Action.RETRY),
        (PutOutcome.CONNECTION_LOST, ENOUGH_RETRIES, Action.FAIL),
        (PutOutcome.STALLED, FRESH, Action.FAIL),
        (PutOutcome.EXPIRED, FRESH, Action.NEW_URL),
        (PutOutcome.FORBIDDEN, FRESH, Action.NEW_URL),
        (PutOutcome.EXPIRED, attrs.evolve(FRESH, urls_requested=3), Action.FAIL),
        (PutOutcome.FORBIDDEN, attrs.evolve(FRESH, urls_requested=3), Action.FAIL),
    ],
)
def test_what_follows_when_the_bytes_have_not_arrived(
    event: PutOutcome, tally: UploadState, step: Action
) -> None:
    assert action_after_check(event, ImageStatus.PENDING, tally) is step


# An attempt that waited for its caller costs no retry (see above): the caller's patience bounds those.
COUNTED = sorted(set(PutOutcome) - {PutOutcome.INTERRUPTED}, key=str)


@given(
    st.integers(0, 6),
    st.lists(
        st.tuples(st.sampled_from(COUNTED), st.sampled_from(["PENDING", "READY"])), min_size=40, max_size=40
    ),
)
def test_every_walk_ends_within_the_mints_and_retries_allowed(
    max_retries: int, weather: list[tuple[PutOutcome, str]]
) -> None:
    tally = upload_state(urls_requested=1, max_retries=max_retries)
    puts = 1
    for event, status in weather:
        tally = attrs.evolve(
            tally,
            may_have_arrived=tally.may_have_arrived
            or event in {PutOutcome.CONNECTION_LOST, PutOutcome.STALLED, PutOutcome.BUSY},
        )
        step = next_action(event, tally)
        if step is Action.CHECK_RECORD:
            step = action_after_check(event, ImageStatus(status), tally)
        if step in {Action.DONE, Action.FAIL}:
            break
        puts += 1
        if step is Action.NEW_URL:
            refused = event is PutOutcome.FORBIDDEN
            tally = attrs.evolve(
                tally, urls_requested=tally.urls_requested + 1, forbidden_puts=tally.forbidden_puts + refused
            )
        else:
            assert tally.budget.next_delay(Failure("x")) is not None
    else:
        raise AssertionError("the walk never ends")
    assert tally.urls_requested <= MAX_UPLOAD_URLS
    assert tally.budget.used <= max_retries
    assert puts <= MAX_UPLOAD_URLS + max_retries
    assert max_retries or puts == 1


@pytest.mark.parametrize("event", [PutOutcome.EXPIRED, PutOutcome.FORBIDDEN, PutOutcome.REJECTED])
def test_a_refusal_under_a_derived_key_asks_the_record_first_also_without_retries(event: PutOutcome) -> None:
    for tally in ALL_TALLIES:
        assert next_action(event, attrs.evolve(tally, derived_key=True)) is Action.CHECK_RECORD


def test_a_derived_key_allows_no_second_put_without_retries() -> None:
    tally = attrs.evolve(upload_state(urls_requested=1, max_retries=0), derived_key=True)
    for event in PutOutcome:
        assert action_after_check(event, ImageStatus.PENDING, tally) is Action.FAIL
        assert next_action(event, tally) in {Action.DONE, Action.CHECK_RECORD, Action.FAIL}
