"""A run is held after 20 transient failures in a row, and goes on after a probe that succeeds."""

from __future__ import annotations

import functools
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async import errors
from imgwire_async.batch.hold import FAILURES_BEFORE_HOLD, HoldState, Outcome, after_upload, outcome_of

TRANSIENT = [Outcome.NO_CONNECTION, Outcome.SERVER_ERROR, Outcome.STALLED]


def after(
    outcomes: Iterable[Outcome], state: HoldState | None = None, *, is_probe: bool = False
) -> HoldState:
    step = functools.partial(after_upload, is_probe=is_probe)
    return functools.reduce(step, outcomes, HoldState() if state is None else state)


def not_replayable(cause: Exception) -> Exception:
    error = errors.UploadNotReplayableError("pipe")
    error.__cause__ = cause
    return error


ERRORS: list[tuple[BaseException | None, Outcome]] = [
    (None, Outcome.RESPONDED),
    (errors.APIConnectionError("refused"), Outcome.NO_CONNECTION),
    (errors.APITimeoutError("no connection", which="connect"), Outcome.NO_CONNECTION),
    (errors.APITimeoutError("no response", which="attempt"), Outcome.STALLED),
    (errors.APITimeoutError("too long", which="deadline"), Outcome.STALLED),
    (errors.UploadConnectionError("reset"), Outcome.NO_CONNECTION),
    (errors.UploadStalledError("stalled"), Outcome.STALLED),
    (errors.ServerError("busy", status=503), Outcome.SERVER_ERROR),
    (errors.UploadRejectedError("busy", status=503), Outcome.SERVER_ERROR),
    (errors.APIStatusError("slow", status=408), Outcome.SERVER_ERROR),
    (errors.RateLimitError("too many", status=429), Outcome.UNKNOWN),
    (errors.UploadRejectedError("too many", status=429), Outcome.UNKNOWN),
    (errors.ConflictError("conflict", status=409), Outcome.RESPONDED),
    (errors.UploadRejectedError("too large", status=413), Outcome.RESPONDED),
    (errors.UploadUrlExpiredError("expired"), Outcome.RESPONDED),
    (errors.UnsupportedImageError("text"), Outcome.UNKNOWN),
    (errors.SourceChangedError("changed"), Outcome.UNKNOWN),
    (PermissionError("no"), Outcome.UNKNOWN),
    (ValueError("user code"), Outcome.UNKNOWN),
    (not_replayable(errors.UploadConnectionError("reset")), Outcome.NO_CONNECTION),
    (not_replayable(ValueError("user code")), Outcome.UNKNOWN),
]


@pytest.mark.parametrize(("error", "outcome"), ERRORS, ids=lambda value: repr(value)[:50])
def test_the_error_of_an_upload_says_what_failed(error: BaseException | None, outcome: Outcome) -> None:
    assert outcome_of(error) is outcome


@pytest.mark.parametrize("reason", TRANSIENT)
def test_a_run_is_held_after_20_failures_in_a_row_for_the_same_reason(reason: Outcome) -> None:
    state = after([reason] * (FAILURES_BEFORE_HOLD - 1))
    assert not state.is_held
    state = after([reason], state)
    assert (state.is_held, state.reason) == (True, reason)


@pytest.mark.parametrize("other", [Outcome.RESPONDED, Outcome.STALLED])
def test_another_outcome_begins_the_row_again(other: Outcome) -> None:
    row = [Outcome.NO_CONNECTION] * (FAILURES_BEFORE_HOLD - 1)
    assert not after([*row, other, *row]).is_held
    assert after([*row, other, *row, Outcome.NO_CONNECTION]).is_held


def test_a_bad_file_does_not_begin_the_row_again() -> None:
    assert after([Outcome.NO_CONNECTION, Outcome.UNKNOWN] * FAILURES_BEFORE_HOLD).is_held


@given(st.lists(st.sampled_from([Outcome.RESPONDED, Outcome.UNKNOWN])))
def test_a_run_of_bad_files_is_never_held(outcomes: list[Outcome]) -> None:
    assert after(outcomes) == HoldState()


HELD = after([Outcome.NO_CONNECTION] * FAILURES_BEFORE_HOLD)


def test_each_probe_that_fails_doubles_the_delay_up_to_a_minute() -> None:
    delays, state = [HELD.delay(0.0)], HELD
    for _ in range(2000):
        state = after([Outcome.SERVER_ERROR], state, is_probe=True)
        delays.append(state.delay(0.0))
    assert delays[:8] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert (delays[-1], state.is_held) == (60, True)


@given(st.integers(0, 100), st.floats(0, 1, exclude_max=True))
def test_jitter_makes_a_delay_shorter_by_at_most_a_quarter(probes: int, jitter: float) -> None:
    state = HoldState(FAILURES_BEFORE_HOLD, Outcome.STALLED, probes)
    assert max(1, 0.75 * state.delay(0.0)) <= state.delay(jitter) <= state.delay(0.0)


def test_uploads_that_started_before_the_hold_do_not_make_the_delay_longer() -> None:
    assert after([Outcome.NO_CONNECTION] * 100, HELD) == HELD


@pytest.mark.parametrize("is_probe", [True, False])
def test_any_response_ends_the_hold(is_probe: bool) -> None:
    assert after([Outcome.RESPONDED], HELD, is_probe=is_probe) == HoldState()


def test_a_probe_with_a_bad_file_changes_nothing() -> None:
    assert after([Outcome.UNKNOWN], HELD, is_probe=True) == HELD
