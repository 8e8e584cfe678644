"""How many requests per second are allowed after a 429."""

from __future__ import annotations

import heapq
import itertools
import math
import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.transport.rate_controller import RECOVERY_TIME, RateController, allowed_rate

NOW = 1000.0
seconds_open = st.floats(0, RECOVERY_TIME, exclude_max=True)
accepted_rates = st.floats(1, 1e5)


@given(st.tuples(seconds_open, seconds_open).map(sorted), st.none() | accepted_rates)
def test_the_allowed_rate_never_falls_without_a_429(times: list[float], accepted: float | None) -> None:
    before, after = (allowed_rate(time, accepted) for time in times)
    assert before <= after


@given(accepted_rates)
def test_the_rate_rises_fast_to_the_last_accepted_rate_and_slowly_above_it(accepted: float) -> None:
    assert allowed_rate(0, accepted) == pytest.approx(accepted / 2)
    assert allowed_rate(4, accepted) > 0.9 * accepted
    assert allowed_rate(8, accepted) == pytest.approx(accepted)
    assert allowed_rate(12, accepted) < 1.1 * accepted


@given(st.floats(RECOVERY_TIME, 1e9), st.none() | accepted_rates)
def test_requests_are_not_limited_30_seconds_after_a_429(later: float, accepted: float | None) -> None:
    assert allowed_rate(later, accepted) == math.inf
    controller = RateController.after_429(NOW, 2, 1, jitter=0.5)
    assert controller.has_recovered(controller.opens_at + later)


def test_the_rate_doubles_every_second_while_no_accepted_rate_is_known() -> None:
    assert [allowed_rate(second, None) for second in range(4)] == [4, 8, 16, 32]


@given(st.floats(0, 60), st.floats(0, 1, exclude_max=True), st.integers(1, 300), st.none() | accepted_rates)
def test_no_request_is_early_and_none_share_a_send_time(
    seconds: float, jitter: float, callers: int, accepted: float | None
) -> None:
    controller = RateController.after_429(NOW, seconds, 1, jitter=jitter)
    controller.accepted_rate = accepted
    send_times = [controller.reserve(NOW, math.inf) for _ in range(callers)]
    assert send_times[0] >= NOW + seconds
    assert send_times[0] <= NOW + seconds + 1
    limited = [send_time for send_time in send_times if send_time < controller.opens_at + RECOVERY_TIME]
    assert all(a < b for a, b in itertools.pairwise(limited))


def test_requests_that_waited_together_are_sent_apart() -> None:
    controller = RateController.after_429(NOW, 2, 1, jitter=0.0)
    send_times = [controller.reserve(NOW, math.inf) for _ in range(50)]
    assert send_times[-1] - send_times[0] > 2
    assert send_times[-1] - send_times[0] < 6


def test_a_caller_that_cannot_wait_so_long_reserves_nothing() -> None:
    controller = RateController.after_429(NOW, 2, 1, jitter=0.0)
    assert controller.reserve(NOW, NOW + 1) == NOW + 2
    assert controller.reserve(NOW, NOW + 2) == NOW + 2
    assert controller.reserve(NOW, NOW + 2) > NOW + 2


def test_released_send_times_go_to_later_callers() -> None:
    controller = RateController.after_429(NOW, 1, 1, jitter=0.0)
    send_times = [controller.reserve(NOW, math.inf) for _ in range(500)]
    for send_time in random.Random(0).sample(send_times, 500):
        controller.release(send_time)
    assert [controller.reserve(NOW, math.inf) for _ in range(500)] == send_times
    controller.release(send_times[0])
    controller.release(send_times[400])
    assert controller.reserve(send_times[300], math.inf) == send_times[400], (
        "a send time in the past is not used again"
    )


def test_a_429_in_the_current_generation_sets_the_accepted_rate() -> None:
    controller = RateController.after_429(NOW, 1, 1, jitter=0.0)
    for _ in range(40):
        controller.on_sent(controller.reserve(NOW, math.inf))
    controller.on_429(NOW + 5, 1, 1, jitter=0.0)
    assert controller.accepted_rate is not None
    assert 5 < controller.accepted_rate < 40
    assert (controller.generation, controller.opens_at) == (2, NOW + 6)


def test_429s_for_requests_sent_before_the_gate_closed_do_not_change_the_rate() -> None:
    controller = RateController.after_429(NOW, 1, 1, jitter=0.0)
    for _ in range(100):
        controller.on_429(NOW + 0.01, 1, 0, jitter=0.0)
    assert controller.accepted_rate is None
    assert controller.opens_at == NOW + 0.01 + 1


def test_a_shorter_retry_after_does_not_open_the_gate_earlier() -> None:
    controller = RateController.after_429(NOW, 20, 1, jitter=0.0)
    controller.on_429(NOW, 1, 0, jitter=0.0)
    assert controller.reserve(NOW, math.inf) == NOW + 20
    controller.on_sent(NOW + 20)
    controller.on_429(NOW + 20, 0, 1, jitter=0.0)
    assert controller.reserve(NOW + 20, math.inf) >= NOW + 20


def test_a_429_for_the_first_request_halves_the_rate_but_never_to_zero() -> None:
    controller = RateController.after_429(NOW, 0, 1, jitter=0.0)
    controller.accepted_rate = 100.0
    rates: list[float | None] = []
    for _ in range(10):
        controller.on_sent(controller.reserve(controller.opens_at, math.inf))
        controller.on_429(controller.opens_at, 0.25, controller.generation, jitter=0.0)
        rates.append(controller.accepted_rate)
    assert rates[:3] == [50, 25, 12.5]
    assert rates[-1] == 1


def test_an_unused_rate_does_not_count_as_accepted() -> None:
    controller = RateController.after_429(NOW, 0, 1, jitter=0.0)
    for second in range(10):  # one request per second, while hundreds are allowed
        controller.on_sent(controller.reserve(NOW + second, math.inf))
    controller.on_429(NOW + 9, 1, 1, jitter=0.0)
    assert controller.accepted_rate is not None
    assert controller.accepted_rate < 3


# --- a service with a rate limit, and workers that always send more -----------------------------------------


class Service:
    """A simulated service that counts requests per whole second, as the emulator does.

    `run` uses virtual time only.
    """

    def __init__(self, limit: int, seed: int) -> None:
        self.random = random.Random(seed)
        self.limit = limit
        self.received: Counter[int] = Counter()
        self.phase = self.random.random()
        self.responses: Counter[bool] = Counter()

    def accepts(self, now: float) -> bool:
        second = int(now + self.phase)
        self.received[second] += 1
        self.responses[self.received[second] <= self.limit] += 1
        return self.received[second] <= self.limit

    def run(self, calls: int, workers: int, rtt: float = 0.004) -> float:
        controller: RateController | None = None
        events: list[tuple[float, int, str, int]] = []
        sequence = itertools.count()

        def schedule(time: float, kind: str, generation: int) -> None:
            heapq.heappush(events, (time, next(sequence), kind, generation))

        for _ in range(min(workers, calls)):
            schedule(self.random.random() / 100, "acquire", 0)
        left, now = calls - min(workers, calls), 0.0
        while events:
            now, _, kind, generation = heapq.heappop(events)
            if kind == "permit":
                assert controller is not None
                if controller.generation == generation:
                    controller.on_sent(now)
                    kind = "send"
                else:
                    kind = "acquire"
            if kind == "acquire":
                if controller is None or controller.has_recovered(now):
                    kind, generation = "send", 0
                else:
                    schedule(controller.reserve(now, math.inf), "permit", controller.generation)
            if kind == "send":
                schedule(now + rtt * self.random.random(), "200" if self.accepts(now) else "429", generation)
            elif kind == "200" and left:
                left -= 1
                schedule(now, "acquire", 0)
            elif kind == "429":
                if controller is None:
                    controller = RateController.after_429(now, 1, 1, jitter=self.random.random())
                else:
                    controller.on_429(now, 1, generation, jitter=self.random.random())
                schedule(now, "acquire", 0)
        return now


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("limit", [20, 100, 500])
def test_few_requests_are_rejected_and_most_of_the_rate_limit_is_used(limit: int, seed: int) -> None:
    service = Service(limit, seed)
    calls = 25 * limit
    seconds = service.run(calls, workers=64)
    assert service.responses[True] == calls
    assert service.responses.total() < 1.2 * calls
    assert seconds < 25 * 2
