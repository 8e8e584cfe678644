"""The life of an upload as a table: every event in every state, and walks through it that always end."""

from __future__ import annotations

import itertools

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.models import ImageStatus
from imgwire_async.uploads.states import MAX_MINTS, Event, Step, Tally, after, after_look

ALL_TALLIES = [
    Tally(mints=mints, in_doubt=doubt, refusals=refusals, retries=retries, max_retries=max_retries)
    for mints, doubt, refusals, retries, max_retries in itertools.product(
        (1, 2, 3), (False, True), (0, 1, 2), (0, 1, 3), (0, 1, 3)
    )
    if retries <= max_retries
]
FRESH = Tally(mints=1)
ENOUGH_RETRIES = Tally(mints=1, retries=3)


def test_what_is_stored_is_done_in_every_state() -> None:
    assert {after(Event.STORED, tally) for tally in ALL_TALLIES} == {Step.DONE}


def test_what_is_rejected_fails_unless_an_earlier_try_may_have_arrived() -> None:
    repeatable = [tally for tally in ALL_TALLIES if tally.max_retries]
    assert {after(Event.REJECTED, tally) for tally in repeatable if not tally.in_doubt} == {Step.FAIL}
    assert {after(Event.REJECTED, tally) for tally in repeatable if tally.in_doubt} == {Step.LOOK}
    assert {after_look(Event.REJECTED, ImageStatus.PENDING, tally) for tally in ALL_TALLIES} == {Step.FAIL}


@pytest.mark.parametrize("event", [event for event in Event if event is not Event.STORED])
def test_without_retries_nothing_is_repeated(event: Event) -> None:
    for tally in ALL_TALLIES:
        if tally.max_retries == 0:
            assert after(event, tally) is Step.FAIL


@pytest.mark.parametrize("event", Event)
def test_never_a_fourth_mint(event: Event) -> None:
    last = [tally for tally in ALL_TALLIES if tally.mints >= MAX_MINTS]
    assert Step.MINT not in {after(event, tally) for tally in last}
    assert Step.MINT not in {after_look(event, status, tally) for tally in last for status in ImageStatus}


@pytest.mark.parametrize(
    ("event", "tally", "step"),
    [
        (Event.EXPIRED, FRESH, Step.MINT),
        (Event.EXPIRED, attrs.evolve(FRESH, mints=2, refusals=1), Step.MINT),
        (Event.EXPIRED, attrs.evolve(FRESH, mints=3), Step.FAIL),
        (Event.EXPIRED, attrs.evolve(FRESH, in_doubt=True), Step.LOOK),
        (Event.REFUSED, FRESH, Step.MINT),
        (Event.REFUSED, attrs.evolve(FRESH, mints=2, refusals=2), Step.FAIL),
        (Event.REFUSED, attrs.evolve(FRESH, mints=3), Step.FAIL),
        (Event.REFUSED, attrs.evolve(FRESH, in_doubt=True), Step.LOOK),
        (Event.BUSY, FRESH, Step.REPLAY),
        (Event.BUSY, ENOUGH_RETRIES, Step.FAIL),
        (Event.UNSENT, FRESH, Step.REPLAY),
        (Event.UNSENT, ENOUGH_RETRIES, Step.FAIL),
        (Event.LOST, FRESH, Step.LOOK),
        (Event.LOST, ENOUGH_RETRIES, Step.LOOK),
        (Event.STALLED, FRESH, Step.LOOK),
    ],
)
def test_what_follows_a_put(event: Event, tally: Tally, step: Step) -> None:
    assert after(event, tally) is step


@pytest.mark.parametrize("event", Event)
@pytest.mark.parametrize("status", ["UPLOAD_FAILED", "AWAITING_BYTES", "EXPIRED", "BRAND_NEW"])
def test_an_unknown_status_proves_nothing_and_counts_as_pending(event: Event, status: str) -> None:
    for tally in ALL_TALLIES:
        pending = after_look(event, ImageStatus.PENDING, tally)
        assert after_look(event, ImageStatus(status), tally) is pending is not Step.DONE


def test_an_attempt_that_waited_for_its_caller_is_made_again_however_often() -> None:
    for tally in ALL_TALLIES:
        expected = Step.FAIL if tally.max_retries == 0 else Step.REPLAY
        assert after(Event.INTERRUPTED, tally) is expected


@pytest.mark.parametrize("event", [Event.LOST, Event.STALLED, Event.EXPIRED, Event.REFUSED])
@pytest.mark.parametrize("status", ["PROCESSING", "READY", "QUARANTINE"])
def test_bytes_that_arrived_are_not_sent_again(event: Event, status: str) -> None:
    assert all(after_look(event, ImageStatus(status), tally) is Step.DONE for tally in ALL_TALLIES)


@pytest.mark.parametrize(
    ("event", "tally", "step"),
    [
        (Event.LOST, FRESH, Step.REPLAY),
        (Event.LOST, ENOUGH_RETRIES, Step.FAIL),
        (Event.STALLED, FRESH, Step.FAIL),
        (Event.EXPIRED, FRESH, Step.MINT),
        (Event.REFUSED, FRESH, Step.MINT),
        (Event.EXPIRED, attrs.evolve(FRESH, mints=3), Step.FAIL),
        (Event.REFUSED, attrs.evolve(FRESH, mints=3), Step.FAIL),
    ],
)
def test_what_follows_when_the_bytes_have_not_arrived(event: Event, tally: Tally, step: Step) -> None:
    assert after_look(event, ImageStatus.PENDING, tally) is step


# An attempt that waited for its caller costs no retry (see above): the caller's patience bounds those.
COUNTED = sorted(set(Event) - {Event.INTERRUPTED}, key=str)


@given(
    st.integers(0, 6),
    st.lists(
        st.tuples(st.sampled_from(COUNTED), st.sampled_from(["PENDING", "READY"])), min_size=40, max_size=40
    ),
)
def test_every_walk_ends_within_the_mints_and_retries_allowed(
    max_retries: int, weather: list[tuple[Event, str]]
) -> None:
    tally = Tally(mints=1, max_retries=max_retries)
    puts = 1
    for event, status in weather:
        tally = attrs.evolve(
            tally, in_doubt=tally.in_doubt or event in {Event.LOST, Event.STALLED, Event.BUSY}
        )
        step = after(event, tally)
        if step is Step.LOOK:
            step = after_look(event, ImageStatus(status), tally)
        if step in {Step.DONE, Step.FAIL}:
            break
        puts += 1
        if step is Step.MINT:
            refused = event is Event.REFUSED
            tally = attrs.evolve(tally, mints=tally.mints + 1, refusals=tally.refusals + refused)
        else:
            tally = attrs.evolve(tally, retries=tally.retries + 1)
    else:
        raise AssertionError("the walk never ends")
    assert tally.mints <= MAX_MINTS
    assert tally.retries <= max_retries
    assert puts <= MAX_MINTS + max_retries
    assert max_retries or puts == 1
