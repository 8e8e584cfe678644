"""The next action of an upload, for all outcomes of a PUT in all states."""

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

ALL_STATES = [
    upload_state(
        urls_requested=urls_requested,
        may_have_arrived=may_have_arrived,
        forbidden_puts=forbidden_puts,
        retries=retries,
        max_retries=max_retries,
    )
    for urls_requested, may_have_arrived, forbidden_puts, retries, max_retries in itertools.product(
        (1, 2, 3), (False, True), (0, 1, 2), (0, 1, 3), (0, 1, 3)
    )
    if retries <= max_retries
]
FRESH = upload_state(urls_requested=1)
ENOUGH_RETRIES = upload_state(urls_requested=1, retries=3)


def test_a_stored_file_is_done_in_all_states() -> None:
    assert {next_action(PutOutcome.STORED, state) for state in ALL_STATES} == {Action.DONE}


def test_a_rejected_file_fails_unless_an_earlier_attempt_may_have_arrived() -> None:
    repeatable = [state for state in ALL_STATES if state.budget.policy.max_retries]
    assert {
        next_action(PutOutcome.REJECTED, state) for state in repeatable if not state.may_have_arrived
    } == {Action.FAIL}
    assert {next_action(PutOutcome.REJECTED, state) for state in repeatable if state.may_have_arrived} == {
        Action.CHECK_RECORD
    }
    assert {action_after_check(PutOutcome.REJECTED, ImageStatus.PENDING, state) for state in ALL_STATES} == {
        Action.FAIL
    }


@pytest.mark.parametrize("outcome", [outcome for outcome in PutOutcome if outcome is not PutOutcome.STORED])
def test_without_retries_all_failures_are_final(outcome: PutOutcome) -> None:
    for state in ALL_STATES:
        if state.budget.policy.max_retries == 0:
            assert next_action(outcome, state) is Action.FAIL


@pytest.mark.parametrize("outcome", PutOutcome)
def test_at_most_three_upload_urls_are_requested(outcome: PutOutcome) -> None:
    last = [state for state in ALL_STATES if state.urls_requested >= MAX_UPLOAD_URLS]
    assert Action.NEW_URL not in {next_action(outcome, state) for state in last}
    assert Action.NEW_URL not in {
        action_after_check(outcome, status, state) for state in last for status in ImageStatus
    }


@pytest.mark.parametrize(
    ("outcome", "state", "action"),
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
def test_the_action_after_a_put_depends_on_outcome_and_state(
    outcome: PutOutcome, state: UploadState, action: Action
) -> None:
    assert next_action(outcome, state) is action


@pytest.mark.parametrize("outcome", PutOutcome)
@pytest.mark.parametrize("status", ["UPLOAD_FAILED", "AWAITING_BYTES", "EXPIRED", "BRAND_NEW"])
def test_an_unknown_status_of_the_record_counts_as_pending(outcome: PutOutcome, status: str) -> None:
    for state in ALL_STATES:
        pending = action_after_check(outcome, ImageStatus.PENDING, state)
        assert action_after_check(outcome, ImageStatus(status), state) is pending is not Action.DONE


def test_an_interrupted_attempt_is_retried_unless_retries_are_off() -> None:
    for state in ALL_STATES:
        expected = Action.FAIL if state.budget.policy.max_retries == 0 else Action.RETRY
        assert next_action(PutOutcome.INTERRUPTED, state) is expected


@pytest.mark.parametrize(
    "outcome", [PutOutcome.CONNECTION_LOST, PutOutcome.STALLED, PutOutcome.EXPIRED, PutOutcome.FORBIDDEN]
)
@pytest.mark.parametrize("status", ["PROCESSING", "READY", "QUARANTINE"])
def test_bytes_that_arrived_are_not_sent_again(outcome: PutOutcome, status: str) -> None:
    assert all(action_after_check(outcome, ImageStatus(status), state) is Action.DONE for state in ALL_STATES)


@pytest.mark.parametrize(
    ("outcome", "state", "action"),
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
def test_the_action_for_a_pending_record_depends_on_outcome_and_state(
    outcome: PutOutcome, state: UploadState, action: Action
) -> None:
    assert action_after_check(outcome, ImageStatus.PENDING, state) is action


# INTERRUPTED is left out, because it does not use up a retry.
LIMITED_OUTCOMES = sorted(set(PutOutcome) - {PutOutcome.INTERRUPTED}, key=str)


@given(
    st.integers(0, 6),
    st.lists(
        st.tuples(st.sampled_from(LIMITED_OUTCOMES), st.sampled_from(["PENDING", "READY"])),
        min_size=40,
        max_size=40,
    ),
)
def test_any_outcomes_end_within_the_limits_of_urls_and_retries(
    max_retries: int, outcomes: list[tuple[PutOutcome, str]]
) -> None:
    state = upload_state(urls_requested=1, max_retries=max_retries)
    puts = 1
    for outcome, status in outcomes:
        state = attrs.evolve(
            state,
            may_have_arrived=state.may_have_arrived
            or outcome in {PutOutcome.CONNECTION_LOST, PutOutcome.STALLED, PutOutcome.BUSY},
        )
        action = next_action(outcome, state)
        if action is Action.CHECK_RECORD:
            action = action_after_check(outcome, ImageStatus(status), state)
        if action in {Action.DONE, Action.FAIL}:
            break
        puts += 1
        if action is Action.NEW_URL:
            forbidden = outcome is PutOutcome.FORBIDDEN
            state = attrs.evolve(
                state,
                urls_requested=state.urls_requested + 1,
                forbidden_puts=state.forbidden_puts + forbidden,
            )
        else:
            assert state.budget.next_delay(Failure("x")) is not None
    else:
        raise AssertionError("the upload does not end")
    assert state.urls_requested <= MAX_UPLOAD_URLS
    assert state.budget.used <= max_retries
    assert puts <= MAX_UPLOAD_URLS + max_retries
    assert max_retries or puts == 1


@pytest.mark.parametrize("outcome", [PutOutcome.EXPIRED, PutOutcome.FORBIDDEN, PutOutcome.REJECTED])
def test_a_rejected_put_with_a_derived_key_checks_the_record_also_without_retries(
    outcome: PutOutcome,
) -> None:
    for state in ALL_STATES:
        assert next_action(outcome, attrs.evolve(state, has_derived_key=True)) is Action.CHECK_RECORD


def test_a_derived_key_allows_no_second_put_without_retries() -> None:
    state = attrs.evolve(upload_state(urls_requested=1, max_retries=0), has_derived_key=True)
    for outcome in PutOutcome:
        assert action_after_check(outcome, ImageStatus.PENDING, state) is Action.FAIL
        assert next_action(outcome, state) in {Action.DONE, Action.CHECK_RECORD, Action.FAIL}
