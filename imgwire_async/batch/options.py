"""The options of a batch run, checked and immutable."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, TypeAlias

import attrs

from imgwire_async import checks
from imgwire_async.batch.keys import Shard
from imgwire_async.batch.plan import RetryFailed
from imgwire_async.formatting import quoted

Reconcile: TypeAlias = bool | Literal["all"]

# A percentage of failures counts only after so many files were finished.
_FIRST_FINISHED = 100
_PERCENT = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,6})?) ?%", re.ASCII)


@attrs.frozen
class FailureLimit:
    """The number of failures, or their percentage, after which a run stops. One of them is None."""

    count: int | None = None
    percent: float | None = None

    def is_passed(self, failed: int, finished: int) -> bool:
        """Return whether a run with `failed` of `finished` files stops."""
        if self.count is not None:
            return failed > self.count
        assert self.percent is not None
        return finished >= _FIRST_FINISHED and failed * 100 > self.percent * finished

    def __str__(self) -> str:
        return str(self.count) if self.percent is None else f"{self.percent:g}%"


def failure_limit(value: object) -> FailureLimit | None:
    """Return the limit that the argument `max_failures` describes: a number of files, or text such as "5%".

    Raises `TypeError` for another type, and `ValueError` for another value.
    """
    if value is None:
        return None
    if not isinstance(value, str):
        return FailureLimit(checks.integer("max_failures", value, minimum=0))
    match = _PERCENT.fullmatch(value.strip())
    if match is None or float(match[1]) > 100:
        raise ValueError(f'max_failures must be a number of files, or text such as "5%", not {quoted(value)}')
    return FailureLimit(percent=float(match[1]))


@attrs.frozen(kw_only=True)
class RunOptions:
    """The options of one run: those of its batch, and those of `upload`.

    Args:
        concurrency: The maximum number of files in work. None adapts it while the run goes on.
        rate: The maximum number of files begun per second, None without a limit.
        wait: Seconds to wait until each image is READY. None does not wait.
        checksum: Whether the SHA-256 of a file decides whether it has changed.
        verify: Whether to check that the images of files that are done still exist.
        reconcile: Whether to look for records of interrupted uploads in the list of images.
        max_failures: The failures after which the run stops.
        max_duration: The seconds after which the run stops.
        purpose: Text stored with the images of items without a purpose of their own.
        custom_metadata: Metadata of the images of items without metadata of their own.
        retry_failed: Whether to upload files again that failed before.
        include_done: Whether to yield files that were done before, and skips.
        shard: The part of the files that this run uploads, None for all.
    """

    concurrency: int | None = None
    rate: float | None = None
    wait: float | None = None
    checksum: bool = False
    verify: bool = False
    reconcile: Reconcile = True
    max_failures: FailureLimit | None = None
    max_duration: float | None = None
    purpose: str | None = None
    custom_metadata: Mapping[str, str | int | float | bool] | None = attrs.field(default=None, hash=False)
    retry_failed: RetryFailed = True
    include_done: bool = False
    shard: Shard | None = None
