"""The options of a batch run."""

from __future__ import annotations

import pytest

from imgwire_async.batch.options import FailureLimit, failure_limit


@pytest.mark.parametrize(
    ("value", "limit"),
    [
        (None, None),
        (0, FailureLimit(0)),
        (7, FailureLimit(7)),
        ("5%", FailureLimit(percent=5.0)),
        (" 0.5 % ", FailureLimit(percent=0.5)),
        ("100%", FailureLimit(percent=100.0)),
    ],
)
def test_max_failures_is_a_number_or_a_percentage(value: object, limit: FailureLimit | None) -> None:
    assert failure_limit(value) == limit


@pytest.mark.parametrize(
    ("value", "error"),
    [
        (-1, ValueError),
        (True, TypeError),
        (1.5, TypeError),
        ("5", ValueError),
        ("101%", ValueError),
        ("", ValueError),
    ],
)
def test_another_max_failures_is_rejected(value: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="max_failures"):
        failure_limit(value)


@pytest.mark.parametrize(
    ("limit", "failed", "finished", "passed"),
    [
        (FailureLimit(0), 0, 10, False),
        (FailureLimit(0), 1, 10, True),
        (FailureLimit(3), 3, 10, False),
        (FailureLimit(3), 4, 10, True),
        (FailureLimit(percent=5), 99, 99, False),
        (FailureLimit(percent=5), 5, 100, False),
        (FailureLimit(percent=5), 6, 100, True),
        (FailureLimit(percent=0), 0, 100, False),
        (FailureLimit(percent=0), 1, 100, True),
    ],
)
def test_a_percentage_counts_after_100_files(
    limit: FailureLimit, failed: int, finished: int, passed: bool
) -> None:
    assert limit.is_passed(failed, finished) is passed
