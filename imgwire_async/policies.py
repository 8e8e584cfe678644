"""The settings `Timeouts` and `RetryPolicy` of a client, and the checks of their values."""

from __future__ import annotations

import math
from typing import Any, cast

import attrs

from imgwire_async import checks
from imgwire_async.coercion import as_int, as_number
from imgwire_async.formatting import number_for_message


def _checked_number(
    name: str, value: object, *, allow_zero: bool = False, expected: str = "a number"
) -> float:
    number = checks.number(name, value, allow_zero=allow_zero, expected=expected)
    if isinstance(number, int) and number.bit_length() > 64:
        raise ValueError(f"{name} must be a number that fits a float, not {number_for_message(number)}")
    return number


def _check_integer(name: str, value: object, *, allow_zero: bool = False, expected: str = "an int") -> None:
    if as_int(value) is None:
        raise checks.wrong_type(name, expected, value)
    _checked_number(name, value, allow_zero=allow_zero)


def _check_seconds(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _checked_number(f"Timeouts.{field.name}", value, expected="a number of seconds or None")


def _check_bytes(_: object, field: attrs.Attribute[Any], value: object) -> None:
    if value is not None:
        _check_integer(f"Timeouts.{field.name}", value, expected="a number of bytes or None")


def _check_number(_: object, field: attrs.Attribute[Any], value: object) -> None:
    _checked_number(f"RetryPolicy.{field.name}", value, allow_zero=True)


def _check_count(_: object, field: attrs.Attribute[Any], value: object) -> None:
    _check_integer(f"RetryPolicy.{field.name}", value, allow_zero=True)


def _to_number(value: float) -> float:
    """Return a number as a plain `int` or `float`, and any other value unchanged.

    A value that is not a number is rejected later, by the validator of the field.
    """
    number = as_number(value)
    return value if number is None else number


def _to_int(value: int) -> int:
    number = as_int(value)
    return value if number is None else number


def _none_if_infinite(value: float | None) -> float | None:
    """Return None for infinity, because None means "no timeout". Other values are not changed."""
    value = None if value is None else _to_number(value)
    return None if isinstance(value, float) and value == math.inf else value


def _none_if_infinite_bytes(value: int | None) -> int | None:
    # A float is rejected later, by the validator of the field.
    return cast("int | None", _none_if_infinite(value))


@attrs.frozen
class Timeouts:
    """The timeouts of a client in seconds, and the maximum size of an API response.

    None switches a limit off.

    Args:
        connect: The limit for opening a connection: DNS, TCP and TLS together.
        attempt: The limit for one attempt of an API call. Waiting for a slot (`max_connections`) does not
            count.
        deadline: The limit for one awaited operation as a whole, including retries, delays and waiting for a
            slot.
        stall: The longest time without progress in an upload or download. There is no limit for the whole
            transfer.
        max_response_bytes: The maximum size of an API response in bytes after decompression. A list of 100
            images needs less than one percent of the default.
    """

    connect: float | None = attrs.field(default=10.0, converter=_none_if_infinite, validator=_check_seconds)
    attempt: float | None = attrs.field(default=30.0, converter=_none_if_infinite, validator=_check_seconds)
    deadline: float | None = attrs.field(default=None, converter=_none_if_infinite, validator=_check_seconds)
    stall: float | None = attrs.field(default=60.0, converter=_none_if_infinite, validator=_check_seconds)
    max_response_bytes: int | None = attrs.field(
        default=64 * 1024 * 1024, kw_only=True, converter=_none_if_infinite_bytes, validator=_check_bytes
    )


@attrs.frozen
class RetryPolicy:
    """How often a failed attempt is retried, and after which delays. All times are in seconds.

    A response with status 429 does not use up a retry. The call waits for the rate limit instead.

    Args:
        max_retries: The maximum number of retries of a call, an upload or a download. With 0 no request is
            sent twice.
        backoff: The maximum delay before the first retry. The maximum doubles with each further retry. The
            delay is a random number between 0 and the maximum (full jitter).
        max_backoff: The maximum delay before any retry.
        max_retry_after: The longest `Retry-After` of the server that a call waits for. If the server sends a
            longer `Retry-After`, the call fails at once.
        max_rate_wait: The longest time that a call waits for the rate limit in total.
    """

    max_retries: int = attrs.field(default=3, converter=_to_int, validator=_check_count)
    backoff: float = attrs.field(default=0.25, converter=_to_number, validator=_check_number)
    max_backoff: float = attrs.field(default=8.0, converter=_to_number, validator=_check_number)
    max_retry_after: float = attrs.field(default=60.0, converter=_to_number, validator=_check_number)
    max_rate_wait: float = attrs.field(default=300.0, converter=_to_number, validator=_check_number)


def as_timeouts(value: object) -> Timeouts:
    """Convert the argument `timeout` of a client to `Timeouts`.

    A number sets `Timeouts.attempt`. None means the default timeouts.
    """
    if value is None:
        return Timeouts()
    if isinstance(value, Timeouts):
        return value
    return Timeouts(
        attempt=float(_checked_number("timeout", value, expected="a number of seconds or Timeouts(...)"))
    )


def as_retry_policy(value: object) -> RetryPolicy:
    """Convert the argument `retries` of a client to a `RetryPolicy`.

    An int sets `RetryPolicy.max_retries`. None means the default policy.
    """
    if value is None:
        return RetryPolicy()
    if isinstance(value, RetryPolicy):
        return value
    count = as_int(value)
    if count is None:
        raise checks.wrong_type("retries", "an int or RetryPolicy(...)", value)
    return RetryPolicy(max_retries=count)
