"""Two settings that users write down as objects: how long things may take, and what is tried again."""

from __future__ import annotations

import math
from typing import Any, cast

import attrs

from imgwire_async import checks
from imgwire_async.coercion import as_int, as_number
from imgwire_async.formatting import number_for_message


def _number(name: str, value: object, *, zero: bool = False, expected: str = "a number") -> float:
    found = checks.number(name, value, zero=zero, expected=expected)
    if isinstance(found, int) and found.bit_length() > 64:
        raise ValueError(f"{name} must be a number that a float can hold, not {number_for_message(found)}")
    return found


def _integer(name: str, value: object, *, zero: bool = False, expected: str = "an int") -> None:
    if as_int(value) is None:
        raise checks.wrong_type(name, expected, value)
    _number(name, value, zero=zero)


def _clock(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _number(f"Timeouts.{field.name}", value, expected="a number of seconds or None")


def _bytes(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _integer(f"Timeouts.{field.name}", value, expected="a number of bytes or None")


def _figure(_: object, field: attrs.Attribute[Any], value: object) -> None:
    _number(f"RetryPolicy.{field.name}", value, zero=True)


def _count(_: object, field: attrs.Attribute[Any], value: object) -> None:
    _integer(f"RetryPolicy.{field.name}", value, zero=True)


def _plain(value: float) -> float:
    """Return the plain number that `value` stands for, as NumPy's do; anything else as it is, for the validator to refuse."""
    found = as_number(value)
    return value if found is None else found


def _plain_int(value: int) -> int:
    found = as_int(value)
    return value if found is None else found


def _endless(value: float | None) -> float | None:
    """None for infinity: a clock that never ends is one that is off."""
    value = None if value is None else _plain(value)
    return None if isinstance(value, float) and value == math.inf else value


def _endless_bytes(value: int | None) -> int | None:
    return cast("int | None", _endless(value))  # the validator refuses what is still a float


@attrs.frozen
class Timeouts:
    """Four clocks, in seconds; None switches one off.

    `connect` bounds DNS, TCP and TLS of a new connection; `attempt` one API attempt from the moment it has its slot;
    `deadline` one awaited operation as a whole, queueing and pauses included; `stall` the longest time without progress of
    a transfer. Transfers have no total limit.

    Beside the bounds in time one in bytes: `max_answer_bytes` is the most that an API answer may hold, unpacked. A hundred
    images come to less than a hundredth of it; more is an answer of something else. None switches it off.
    """

    connect: float | None = attrs.field(default=10.0, converter=_endless, validator=_clock)
    attempt: float | None = attrs.field(default=30.0, converter=_endless, validator=_clock)
    deadline: float | None = attrs.field(default=None, converter=_endless, validator=_clock)
    stall: float | None = attrs.field(default=60.0, converter=_endless, validator=_clock)
    max_answer_bytes: int | None = attrs.field(
        default=64 * 1024 * 1024, kw_only=True, converter=_endless_bytes, validator=_bytes
    )


@attrs.frozen
class RetryPolicy:
    """What is tried again, and how patiently; every pause is in seconds.

    `max_retries=0` sends exactly one request per exchange. Pauses grow from `backoff` to `max_backoff` with full jitter;
    the server's `Retry-After` is honoured up to `max_retry_after` and raised at once above it. Waiting because of 429 does
    not use up a retry but ends after `max_rate_wait` seconds in all.
    """

    max_retries: int = attrs.field(default=3, converter=_plain_int, validator=_count)
    backoff: float = attrs.field(default=0.25, converter=_plain, validator=_figure)
    max_backoff: float = attrs.field(default=8.0, converter=_plain, validator=_figure)
    max_retry_after: float = attrs.field(default=60.0, converter=_plain, validator=_figure)
    max_rate_wait: float = attrs.field(default=300.0, converter=_plain, validator=_figure)


def timeouts(value: object) -> Timeouts:
    """Return `Timeouts` from what a user gives: one, a number (the attempt clock), or None (the defaults)."""
    if value is None:
        return Timeouts()
    if isinstance(value, Timeouts):
        return value
    return Timeouts(attempt=float(_number("timeout", value, expected="a number of seconds or Timeouts(...)")))


def retry_policy(value: object) -> RetryPolicy:
    """Return a `RetryPolicy` from what a user gives: one, an int (the number of retries), or None (the defaults)."""
    if value is None:
        return RetryPolicy()
    if isinstance(value, RetryPolicy):
        return value
    count = as_int(value)
    if count is None:
        raise checks.wrong_type("retries", "an int or RetryPolicy(...)", value)
    return RetryPolicy(max_retries=count)
