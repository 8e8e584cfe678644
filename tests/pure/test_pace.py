"""How fast requests leave after a 429."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.transport.pace import FULL_AFTER, Pace, pace

NOW = 1000.0
since = st.floats(0, FULL_AFTER, exclude_max=True)
known = st.floats(1, 1e5)


@given(st.tuples(since, since).map(sorted), st.none() | known)
def test_the_pace_never_falls_by_itself(moments: list[float], accepted: float | None) -> None:
    before, after = (pace(moment, accepted) for moment in moments)
    assert before <= after


@given(known)
def test_it_rises_fast_up_to_what_went_well_last_and_slowly_above(accepted: float) -> None:
    assert pace(0, accepted) == pytest.approx(accepted / 2)
    assert pace(4, accepted) > 0.9 * accepted
    assert pace(8, accepted) == pytest.approx(accepted)
    assert pace(12, accepted) < 1.1 * accepted


@given(st.floats(FULL_AFTER, 1e9), st.none() | known)
def test_it_is_full_again_in_30_seconds(moment: float, accepted: float | None) -> None:
    assert pace(moment, accepted) == math.inf
    state = Pace.after(NOW, 2, 1, dice=0.5)
    assert state.over(state.opens + moment)


def test_where_nothing_is_known_it_doubles_every_second() -> None:
    assert [pace(second, None) for second in range(4)] == [4, 8, 16, 32]


@given(st.floats(0, 60), st.floats(0, 1, exclude_max=True), st.integers(1, 300), st.none() | known)
def test_nobody_is_early_and_nobody_shares_a_place(
    seconds: float, dice: float, callers: int, accepted: float | None
) -> None:
    state = Pace.after(NOW, seconds, 1, dice=dice)
    state.accepted = accepted
    places = [state.place(NOW, math.inf) for _ in range(callers)]
    assert places[0] >= NOW + seconds
    assert places[0] <= NOW + seconds + 1
    slow = [place for place in places if place < state.opens + FULL_AFTER]
    assert all(a < b for a, b in itertools.pairwise(slow))


def test_those_who_waited_together_leave_apart() -> None:
    state = Pace.after(NOW, 2, 1, dice=0.0)
    places = [state.place(NOW, math.inf) for _ in range(50)]
    assert places[-1] - places[0] > 2
    assert places[-1] - places[0] < 6


def test_whoever_cannot_wait_so_long_takes_no_place() -> None:
    state = Pace.after(NOW, 2, 1, dice=0.0)
    assert state.place(NOW, NOW + 1) == NOW + 2
    assert state.place(NOW, NOW + 2) == NOW + 2
    assert state.place(NOW, NOW + 2) > NOW + 2


def test_the_places_of_those_who_left_go_to_those_who_come() -> None:
    state = Pace.after(NOW, 1, 1, dice=0.0)
    places = [state.place(NOW, math.inf) for _ in range(500)]
    for place in random.Random(0).sample(places, 500):
        state.give_back(place)
    assert [state.place(NOW, math.inf) for _ in range(500)] == places
    state.give_back(places[0])
    state.give_back(places[400])
    assert state.place(places[300], math.inf) == places[400], "a place that has passed is gone"


def test_a_refusal_in_the_running_round_is_learned_from() -> None:
    state = Pace.after(NOW, 1, 1, dice=0.0)
    for _ in range(40):
        state.leaves(state.place(NOW, math.inf))
    state.refused(NOW + 5, 1, 1, dice=0.0)
    assert state.accepted is not None
    assert 5 < state.accepted < 40
    assert (state.round, state.opens) == (2, NOW + 6)


def test_refusals_of_requests_that_were_under_way_teach_nothing() -> None:
    state = Pace.after(NOW, 1, 1, dice=0.0)
    for _ in range(100):
        state.refused(NOW + 0.01, 1, 0, dice=0.0)
    assert state.accepted is None
    assert state.opens == NOW + 0.01 + 1


def test_an_earlier_word_does_not_open_the_gate_before_a_later_one() -> None:
    state = Pace.after(NOW, 20, 1, dice=0.0)
    state.refused(NOW, 1, 0, dice=0.0)
    assert state.place(NOW, math.inf) == NOW + 20
    state.leaves(NOW + 20)
    state.refused(NOW + 20, 0, 1, dice=0.0)
    assert state.place(NOW + 20, math.inf) >= NOW + 20


def test_refused_at_the_first_step_the_pace_halves_but_never_stops() -> None:
    state = Pace.after(NOW, 0, 1, dice=0.0)
    state.accepted = 100.0
    seen: list[float | None] = []
    for _ in range(10):
        state.leaves(state.place(state.opens, math.inf))
        state.refused(state.opens, 0.25, state.round, dice=0.0)
        seen.append(state.accepted)
    assert seen[:3] == [50, 25, 12.5]
    assert seen[-1] == 1


def test_a_pace_that_nobody_used_is_not_taken_for_one_that_went_well() -> None:
    state = Pace.after(NOW, 0, 1, dice=0.0)
    for second in range(10):  # one request a second, while hundreds would be allowed
        state.leaves(state.place(NOW + second, math.inf))
    state.refused(NOW + 9, 1, 1, dice=0.0)
    assert state.accepted is not None
    assert state.accepted < 3


# --- a service with so many requests in a second, and workers that always want more ------------------------------------


class Service:
    """Counts in whole seconds, as the emulator does, and answers after `rtt`. Virtual time: `run` takes none."""

    def __init__(self, limit: int, seed: int) -> None:
        self.dice = random.Random(seed)
        self.limit = limit
        self.seen: Counter[int] = Counter()
        self.phase = self.dice.random()
        self.answers: Counter[bool] = Counter()

    def accepts(self, now: float) -> bool:
        second = int(now + self.phase)
        self.seen[second] += 1
        self.answers[self.seen[second] <= self.limit] += 1
        return self.seen[second] <= self.limit

    def run(self, calls: int, workers: int, rtt: float = 0.004) -> float:
        state: Pace | None = None
        events: list[tuple[float, int, str, int]] = []
        ticket = itertools.count()

        def later(moment: float, what: str, round_: int) -> None:
            heapq.heappush(events, (moment, next(ticket), what, round_))

        for _ in range(min(workers, calls)):
            later(self.dice.random() / 100, "ask", 0)
        left, now = calls - min(workers, calls), 0.0
        while events:
            now, _, what, of_round = heapq.heappop(events)
            if what == "place":
                assert state is not None
                if state.round == of_round:
                    state.leaves(now)
                    what = "send"
                else:
                    what = "ask"
            if what == "ask":
                if state is None or state.over(now):
                    what, of_round = "send", 0
                else:
                    later(state.place(now, math.inf), "place", state.round)
            if what == "send":
                later(now + rtt * self.dice.random(), "yes" if self.accepts(now) else "no", of_round)
            elif what == "yes" and left:
                left -= 1
                later(now, "ask", 0)
            elif what == "no":
                if state is None:
                    state = Pace.after(now, 1, 1, dice=self.dice.random())
                else:
                    state.refused(now, 1, of_round, dice=self.dice.random())
                later(now, "ask", 0)
        return now


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [20, 100, 500])
def test_few_requests_are_wasted_and_little_of_what_is_allowed(limit: int, seed: int) -> None:
    service = Service(limit, seed)
    calls = 25 * limit
    seconds = service.run(calls, workers=64)
    assert service.answers[True] == calls
    assert service.answers.total() < 1.2 * calls
    assert seconds < 25 * 2
