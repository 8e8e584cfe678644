"""The gate of a run says when the next file may begin."""

from __future__ import annotations

import math

import attrs

from imgwire_async.batch.hold import FAILURES_BEFORE_HOLD, Outcome
from imgwire_async.batch.pacing import Pacer
from imgwire_async.batch.run_gate import Gate


@attrs.define
class Clock:
    now: float = 100.0
    full: bool = False
    calls: list[str] = attrs.field(factory=list[str])

    def gate(self, rate: float | None = None) -> Gate:
        return Gate(
            None if rate is None else Pacer(rate),
            lambda: self.full,
            self.calls.append,
            lambda: self.calls.append("resumed"),
            lambda: self.now,
            lambda: 0.0,
        )


def held(clock: Clock) -> Gate:
    gate = clock.gate()
    for _ in range(FAILURES_BEFORE_HOLD):
        gate.begin()
        gate.end(Outcome.SERVER_ERROR, is_probe=False)
    return gate


def test_without_a_reason_a_file_begins_at_once() -> None:
    assert Clock().gate().seconds_until_begin() == 0


def test_no_file_begins_while_too_much_waits() -> None:
    clock = Clock(full=True)
    assert clock.gate().seconds_until_begin() == math.inf


def test_a_rate_delays_the_next_file() -> None:
    gate = Clock().gate(rate=4)
    gate.begin()
    assert gate.seconds_until_begin() == 0.25


def test_a_held_run_begins_one_probe_at_a_time() -> None:
    clock = Clock()
    gate = held(clock)
    assert clock.calls == ["server error"]
    assert gate.seconds_until_begin() == 1
    clock.now += 1
    assert gate.begin()
    assert gate.seconds_until_begin() == math.inf
    gate.end(Outcome.SERVER_ERROR, is_probe=True)
    assert gate.seconds_until_begin() == 2
    clock.now += 2
    gate.end(Outcome.RESPONDED, is_probe=gate.begin())
    assert gate.seconds_until_begin() == 0
    assert clock.calls == ["server error", "resumed"]


def test_a_probe_that_says_nothing_is_followed_by_another_one_at_once() -> None:
    clock = Clock()
    gate = held(clock)
    clock.now += 1
    gate.end(Outcome.UNKNOWN, is_probe=gate.begin())
    assert gate.hold.is_held
    assert gate.seconds_until_begin() == 0


def test_files_that_failed_before_hold_the_run_only_without_a_connection() -> None:
    clock = Clock()
    gate = clock.gate()
    gate.is_repeating = True
    for _ in range(100):
        gate.end(Outcome.SERVER_ERROR, is_probe=False)
    assert not gate.hold.is_held
    for _ in range(FAILURES_BEFORE_HOLD):
        gate.end(Outcome.NO_CONNECTION, is_probe=False)
    assert gate.hold.is_held


def test_a_pause_has_bounds() -> None:
    clock = Clock()
    gate = clock.gate()
    gate.pause(0.0)
    assert gate.seconds_until_begin() == 1
    gate.pause(1e9)
    assert gate.seconds_until_begin() == 60
    clock.now += 60
    assert gate.seconds_until_begin() == 0
