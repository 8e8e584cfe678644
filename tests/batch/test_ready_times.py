"""The estimate of the time until READY: about one check per image, and not much later than necessary."""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable

import attrs
import pytest

from imgwire_async.batch.ready_times import ReadyTimes, is_probe


def times_of(ages: list[float], checks: int) -> ReadyTimes:
    times = ReadyTimes()
    for age in ages:
        times = times.after_ready(age, checks)
    return times


def test_nothing_is_known_before_an_image_is_ready() -> None:
    times = ReadyTimes()
    assert not times.is_known
    assert times.after_ready(1.0, 3).is_known


@pytest.mark.parametrize(
    ("age", "estimate"), [(0.05, 0.1), (0.1, 0.125), (2.0, 2.5), (16.0, 20.0), (100.0, 104.0)]
)
def test_without_a_ready_image_the_estimate_grows_with_the_oldest_image(age: float, estimate: float) -> None:
    assert ReadyTimes().after_not_ready(age).estimate == pytest.approx(estimate)


def test_an_image_that_is_not_ready_changes_nothing_once_the_time_is_known() -> None:
    times = times_of([2.0], 3)
    assert times.after_not_ready(50.0) == times


@pytest.mark.parametrize(
    ("ages", "checks", "estimate"),
    [
        ([2.0], 2, 2.0),
        ([2.0], 1, 1.94),
        ([2.0] * 9 + [60.0], 2, 2.0),
        ([2.0] * 8 + [2.5] * 2, 2, 2.5),
        ([2.0] * 8 + [60.0] * 2, 2, 4.0),
        ([60.0] * 100 + [2.0] * 64, 2, 2.0),
        ([0.0], 1, 0.05),
    ],
    ids=["one", "first check", "one is slow", "some are slower", "some are very slow", "faster", "smallest"],
)
def test_the_estimate_is_an_age_at_which_most_of_the_last_images_are_ready(
    ages: list[float], checks: int, estimate: float
) -> None:
    assert times_of(ages, checks).estimate == pytest.approx(estimate)


@pytest.mark.parametrize(
    ("checks", "delay"), [(1, 0.3), (2, 0.45), (3, 0.675), (7, 3.417), (8, 5.0), (1000, 5.0)]
)
def test_the_delays_after_the_first_check_grow_up_to_five_seconds(checks: int, delay: float) -> None:
    times = times_of([2.0], 2)
    assert times.next_delay(checks, 0.5) == pytest.approx(delay, abs=0.001)
    assert times.next_delay(checks, 0.0) == pytest.approx(0.875 * delay, abs=0.001)


def test_an_estimate_that_is_much_too_large_is_found_out() -> None:
    times = times_of([60.0] * 64, 2)
    for _ in range(3):
        age = times.first_check(is_probe=True)
        assert age == 30.0
        times = times.after_ready(age, 1, is_probe=True)
    assert times.estimate == 30.0


def test_a_probe_that_is_not_ready_leaves_the_estimate() -> None:
    times = times_of([60.0] * 64, 2)
    for _ in range(5):
        times = times.after_ready(30.0, 1, is_probe=True).after_not_ready(30.0, is_probe=True)
    assert times.estimate == 60.0


@attrs.frozen
class Simulated:
    checks_per_image: float
    lateness: float


def fixed(seconds: float) -> Callable[[random.Random], float]:
    return lambda _: seconds


def between_1_and_3(draw: random.Random) -> float:
    return draw.uniform(1, 3)


def skewed(draw: random.Random) -> float:
    return draw.lognormvariate(0, 0.3)


def mostly_1(draw: random.Random) -> float:
    return 60.0 if draw.random() < 0.03 else 1.0


def simulate(per_second: float, images: int, time_of: Callable[[random.Random], float]) -> Simulated:
    """Return how often images are checked that are stored at `per_second`, without a limit of requests."""
    draw, times = random.Random(7), ReadyTimes()
    waiting = [(i / per_second, i, i / per_second, 0, i / per_second + time_of(draw)) for i in range(images)]
    checks_sent, lateness = 0, 0.0
    while waiting:
        now, number, added, checks, ready_at = heapq.heappop(waiting)
        probe = is_probe(number)
        first_due = added + times.first_check(is_probe=probe)
        if not checks and first_due > now:
            heapq.heappush(waiting, (first_due, number, added, checks, ready_at))
            continue
        checks_sent += 1
        checks += 1
        if now >= ready_at:
            lateness += now - ready_at
            times = times.after_ready(now - added, checks, is_probe=probe)
            continue
        times = times.after_not_ready(now - added, is_probe=probe and checks == 1)
        due = now + times.next_delay(checks, draw.random())
        heapq.heappush(waiting, (due, number, added, checks, ready_at))
    return Simulated(checks_sent / images, lateness / images)


@pytest.mark.parametrize(
    ("time_of", "typical", "highest"),
    [
        (fixed(2.0), 2.0, 1.3),
        (fixed(30.0), 30.0, 1.3),
        (between_1_and_3, 2.0, 1.3),
        (skewed, 1.0, 1.3),
        (mostly_1, 1.0, 1.9),
    ],
    ids=["two seconds", "half a minute", "between 1 and 3", "skewed", "some are stuck"],
)
def test_an_image_needs_little_more_than_one_check(
    time_of: Callable[[random.Random], float], typical: float, highest: float
) -> None:
    simulated = simulate(40, 4000, time_of)
    assert simulated.checks_per_image < highest, simulated
    assert simulated.lateness < typical, simulated
