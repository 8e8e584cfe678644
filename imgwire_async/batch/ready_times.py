"""Estimate how long the service takes until an image is READY. Pure: the ages are arguments."""

from __future__ import annotations

import math

import attrs

# The first estimate, and the smallest one.
_FIRST = 0.1
_SMALLEST = 0.05
# Before the first image is READY, the estimate is this many times the age of an image that is not, and at
# most this many seconds more than its age.
_GROWTH = 1.25
_MAX_STEP = 4.0
# An image that is READY at its first check may have been READY earlier, so its age counts a little less.
# Without this factor, the estimate would never become smaller.
_SHRINK = 0.97
# The estimate is an age at which this share of the last images was READY, but at most a multiple of their
# median. Otherwise some images that take very long would delay the first check of all others.
_SHARE = 0.9
_MAX_MULTIPLE = 2.0
_LAST_IMAGES = 64
# One of so many images is checked at this share of the estimate. If some of them in a row are READY, the
# estimate is much too large.
_PROBE_INTERVAL = 16
_PROBE_SHARE = 0.5
_MAX_READY_PROBES = 2
# The delay before the second check as a share of the estimate. It grows by the factor with each check.
_SECOND_DELAY = 0.15
_DELAY_FACTOR = 1.5
_MIN_DELAY = 0.1
_MAX_DELAY = 5.0


@attrs.frozen
class ReadyTimes:
    """The ages at which the last images were READY.

    Args:
        estimate: The age in seconds at which most images are READY.
        ages: The ages of the last images. Empty as long as no image has been READY.
        ready_probes: The number of probes in a row that were READY.
    """

    estimate: float = _FIRST
    ages: tuple[float, ...] = ()
    ready_probes: int = 0

    @property
    def is_known(self) -> bool:
        """Whether an image has been READY. Before that, only few images should be checked."""
        return bool(self.ages)

    def first_check(self, *, is_probe: bool) -> float:
        """Return the age in seconds at which an image is checked for the first time."""
        return self.estimate * _PROBE_SHARE if is_probe and self.is_known else self.estimate

    def after_ready(self, age: float, checks: int, *, is_probe: bool = False) -> ReadyTimes:
        """Return the state after an image of this age is READY. `checks` counts its checks."""
        probes = self.ready_probes + (is_probe and checks == 1)
        if probes > _MAX_READY_PROBES:
            return ReadyTimes(max(_SMALLEST, age), (age,))
        ages = (*self.ages[1 - _LAST_IMAGES :], age * _SHRINK if checks == 1 else age)
        ordered = sorted(ages)
        median, high = ordered[len(ages) // 2], ordered[math.ceil(_SHARE * len(ages)) - 1]
        return ReadyTimes(max(_SMALLEST, min(high, median * _MAX_MULTIPLE)), ages, probes)

    def after_not_ready(self, age: float, *, is_probe: bool = False) -> ReadyTimes:
        """Return the state after an image of this age is not READY."""
        if self.is_known:
            # Other images count when they are READY.
            return attrs.evolve(self, ready_probes=0) if is_probe else self
        return ReadyTimes(max(self.estimate, min(age * _GROWTH, age + _MAX_STEP)))

    def next_delay(self, checks: int, jitter: float) -> float:
        """Return the seconds until the next check of an image that had so many checks, at least one.

        `jitter` is a random number in [0, 1).
        """
        first = max(_MIN_DELAY, _SECOND_DELAY * self.estimate)
        delay = first * _DELAY_FACTOR ** min(checks - 1, 30)
        return float(min(_MAX_DELAY, delay) * (0.875 + 0.25 * jitter))


def is_probe(number: int) -> bool:
    """Return whether the image with this number is checked early, to test the estimate."""
    return number % _PROBE_INTERVAL == _PROBE_INTERVAL - 1
