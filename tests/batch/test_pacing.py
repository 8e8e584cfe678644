"""Files of a run begin smoothly, and never more than `rate` + 1 in a second."""

from __future__ import annotations

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.batch.pacing import Pacer

NOW = 1000.0


def begin_times(rate: float, seconds: float, lateness: float, seed: int = 0) -> list[float]:
    """Return when files begin if the task wakes up late by up to `lateness` seconds."""
    draw, pacer, now, begun = random.Random(seed), Pacer(rate), NOW, list[float]()
    while now < NOW + seconds:
        begins_at = pacer.next_begin(now)
        if begins_at > now:
            now = begins_at + draw.uniform(0, lateness)
            continue
        pacer.begin(now)
        begun.append(now)
    return begun


def most_in_a_second(begun: list[float]) -> int:
    first = highest = 0
    for index, time in enumerate(begun):
        while begun[first] <= time - 1 + 1e-6:
            first += 1
        highest = max(highest, index - first + 1)
    return highest


@given(st.floats(0.05, 300), st.floats(0, 3), st.integers(0, 1000))
def test_no_second_has_more_than_rate_plus_one_files(rate: float, lateness: float, seed: int) -> None:
    begun = begin_times(rate, 10, lateness, seed)
    assert begun[0] == NOW
    assert most_in_a_second(begun) <= rate + 1


@pytest.mark.parametrize("rate", [1e9, 1e300, math.inf])
def test_a_rate_that_no_run_reaches_is_no_error(rate: float) -> None:
    assert len(begin_times(rate, 0.1, 0.0)) >= 900


@pytest.mark.parametrize("rate", [0.5, 1, 2.5, 40, 500])
@pytest.mark.parametrize("lateness", [0.0, 0.005])
def test_the_rate_is_reached_although_the_task_wakes_up_late(rate: float, lateness: float) -> None:
    begun = begin_times(rate, 60, lateness)
    assert rate * 60 * 0.98 - 1 <= len(begun) <= rate * 60 + 2


def test_files_are_as_far_apart_as_the_rate_says() -> None:
    begun = begin_times(40, 5, 0.0)
    gaps = [after - before for before, after in itertools.pairwise(begun)]
    assert min(gaps) == pytest.approx(1 / 40)
    assert max(gaps) == pytest.approx(1 / 40)


def test_a_long_pause_is_not_made_up_for() -> None:
    pacer = Pacer(10)
    pacer.begin(NOW)
    later = NOW + 3600
    begun = []
    for _ in range(5):
        later = pacer.next_begin(later)
        pacer.begin(later)
        begun.append(later - NOW - 3600)
    assert begun == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])


def test_a_rate_below_one_per_second_spaces_files_by_more_than_a_second() -> None:
    assert begin_times(0.1, 35, 0.0) == pytest.approx([NOW, NOW + 10, NOW + 20, NOW + 30])
