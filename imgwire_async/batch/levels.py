"""Compare the throughput of a run at different limits. Pure."""

from __future__ import annotations

import math
from typing import TypeAlias

import attrs

# Files and bytes. Files of one size are counted with less noise in bytes when they are large, and in files
# when they are small, so both are measured and the one with less noise is compared.
Throughput: TypeAlias = tuple[float, float]

# A higher limit has to increase the throughput by this factor.
_GAIN = 1.05
# The time of an upload as a multiple of the time at low limits. Above the first value uploads wait for each
# other, and a higher limit has to increase the throughput nearly in proportion; from the second value on the
# exponent below applies fully. Without this rule, two runs on one server would take the throughput from each
# other and raise their limits without end.
_QUEUEING = (1.25, 1.6)
# The exponent of that proportion.
_ELASTICITY = 0.85
# The number of standard errors between two throughputs that count as different.
_CONFIDENCE = 2.0
# Of these, how many a higher limit has to be better.
_BIAS = 0.8
# The number of blocks at both limits that is needed to compare them.
_FEW_BLOCKS = 2.0
# The number of blocks at both limits that is enough to compare them in any case.
_ENOUGH_BLOCKS = 12.0
# The relative variance of a block before anything was measured, how many blocks that counts, and the least
# variance that is assumed.
_FIRST_VARIANCE = 0.02
_VARIANCE_BLOCKS = 20.0
_MIN_VARIANCE = 0.0025
# Seconds after which a measurement counts half.
_HALF_LIFE = 40.0
# Levels with fewer blocks are forgotten.
_FORGOTTEN = 0.25
# Seconds in which the known time of an upload at low limits doubles, because the service may have changed.
_BASE_HALF_LIFE = 1800.0
# Mean sizes that differ by less than this factor are the same.
_SAME_SIZE = 1.5
# The number of blocks from which that time is computed.
_BASE_BLOCKS = 6.0


@attrs.frozen
class Level:
    """The measurements at one limit: sums that decay with time."""

    limit: int
    blocks: float
    seconds: float
    done: Throughput

    def decayed(self, factor: float) -> Level:
        """Return the level after some time."""
        files, sent = self.done
        return Level(self.limit, self.blocks * factor, self.seconds * factor, (files * factor, sent * factor))

    def rate(self, unit: int) -> float:
        """Return the files or bytes per second."""
        return self.done[unit] / self.seconds


@attrs.frozen
class Levels:
    """The measurements at all limits that were tried, and their noise.

    Args:
        by_limit: The levels, lowest limit first.
        variance: The relative variance of a block, in files and in bytes.
        base: The seconds of an upload at low limits, in files, and the same of a byte. None if unknown.
    """

    by_limit: tuple[Level, ...] = ()
    variance: Throughput = (_FIRST_VARIANCE, _FIRST_VARIANCE)
    base: Throughput | None = None

    @property
    def unit(self) -> int:
        """The index of the unit with less noise."""
        files, sent = self.variance
        return 0 if files <= sent else 1

    def get(self, limit: int) -> Level | None:
        """Return the level of a limit, None if it was not measured."""
        return next((level for level in self.by_limit if level.limit == limit), None)

    def after(self, seconds: float) -> Levels:
        """Return the levels some time later."""
        factor = 0.5 ** (seconds / _HALF_LIFE)
        decayed = (level.decayed(factor) for level in self.by_limit)
        base = self.base
        if base is not None:
            growth = 2.0 ** (seconds / _BASE_HALF_LIFE)
            base = (base[0] * growth, base[1] * growth)
        return attrs.evolve(
            self, by_limit=tuple(level for level in decayed if level.blocks >= _FORGOTTEN), base=base
        )

    def with_block(self, limit: int, seconds: float, done: Throughput, weight: float) -> Levels:
        """Return the levels with one more block."""
        known = self.get(limit) or Level(limit, 0.0, 0.0, (0.0, 0.0))
        variance = self.variance
        if known.blocks >= 1:
            variance = (
                _variance(variance[0], known, 0, done, seconds),
                _variance(variance[1], known, 1, done, seconds),
            )
        level = Level(
            limit,
            known.blocks + weight,
            known.seconds + seconds,
            (known.done[0] + done[0], known.done[1] + done[1]),
        )
        others = [other for other in self.by_limit if other.limit != limit]
        by_limit = tuple(sorted([*others, level], key=lambda level: level.limit))
        return Levels(by_limit, variance, _base(by_limit, self.base))

    def only(self, limit: int, seconds: float, done: Throughput) -> Levels:
        """Return the levels after a change of the world: only the last block at this limit counts.

        When the files have other sizes than before, the base is unknown, too. Otherwise it remains, because a
        second run on the same server may have caused the change.
        """
        known = self.get(limit)
        has_same_sizes = (
            known is not None
            and _ratio(known.done) / _SAME_SIZE < _ratio(done) < _ratio(known.done) * _SAME_SIZE
        )
        return Levels(
            (Level(limit, 1.0, seconds, done),), self.variance, self.base if has_same_sizes else None
        )

    def with_doubt(self, limit: int) -> Levels:
        """Return the levels with little weight of all but one, if uploads wait for each other at that limit.

        The cause may be another run on the same server, which changes its own limit.
        """
        level = self.get(limit)
        if level is None or self._queueing(level) <= _QUEUEING[0]:
            return self
        by_limit = tuple(
            other if other is level else other.decayed(min(1.0, 1 / other.blocks)) for other in self.by_limit
        )
        return attrs.evolve(self, by_limit=by_limit)

    # --- comparisons ----------------------------------------------------------------------------------------

    def needed(self, low: Level, high: Level) -> float:
        """Return the factor by which `high` must exceed `low` in throughput to be better."""
        begin, end = _QUEUEING
        share = min(1.0, max(0.0, (self._queueing(low) - begin) / (end - begin)))
        return max(_GAIN, float((high.limit / low.limit) ** (_ELASTICITY * share)))

    def _queueing(self, level: Level) -> float:
        """Return the time of an upload at a level as a multiple of the base, 1 if that is unknown."""
        base, rate = (0.0 if self.base is None else self.base[self.unit]), level.rate(self.unit)
        return level.limit / rate / base if base > 0 and rate > 0 else 1.0

    def margin(self, low: Level, high: Level) -> float:
        """Return by how much `high` exceeds what it needs to be better, in standard errors."""
        unit = self.unit
        ratio = max(high.rate(unit), 1e-9) / max(low.rate(unit), 1e-9)
        variance = max(_MIN_VARIANCE, self.variance[unit])
        error = math.sqrt(variance * (1 / low.blocks + 1 / high.blocks))
        return (math.log(ratio) - math.log(self.needed(low, high))) / error

    def is_certain(self, low: Level, high: Level) -> bool:
        """Return whether more blocks would probably not change which of two levels is better."""
        blocks = min(low.blocks, high.blocks)
        if blocks >= _ENOUGH_BLOCKS:
            return True
        margin = self.margin(low, high)
        # A clear rise of the throughput is enough to try still higher limits, which show more.
        is_rising = margin > 0 and high is self.by_limit[-1]
        return abs(margin) >= _CONFIDENCE and (is_rising or blocks >= _FEW_BLOCKS)

    def best(self) -> Level:
        """Return the lowest level that no higher level exceeds."""
        best = self.by_limit[0]
        for level in self.by_limit[1:]:
            if self.margin(best, level) > _BIAS:
                best = level
        return best

    def neighbours(self, level: Level) -> tuple[Level | None, Level | None]:
        """Return the measured levels next to a level, below and above it."""
        index = self.by_limit.index(level)
        low = self.by_limit[index - 1] if index else None
        high = self.by_limit[index + 1] if index + 1 < len(self.by_limit) else None
        return low, high


def _ratio(done: Throughput) -> float:
    return (done[1] + 1.0) / (done[0] + 0.01)


def _variance(old: float, known: Level, unit: int, done: Throughput, seconds: float) -> float:
    """Return the relative variance of a block after one more block at a known level."""
    mean = known.rate(unit)
    deviation = (done[unit] / seconds / mean - 1) if mean > 0 else 1.0
    new = min(1.0, deviation * deviation) * known.blocks / (known.blocks + 1)
    return old + (new - old) / _VARIANCE_BLOCKS


def _base(by_limit: tuple[Level, ...], known: Throughput | None) -> Throughput | None:
    """Return the seconds of a file and of a byte at the lowest limits, or `known` if that is less."""
    uploads = files = sent = blocks = 0.0
    for level in by_limit:
        uploads += level.limit * level.seconds
        files += level.done[0]
        sent += level.done[1]
        blocks += level.blocks
        if blocks >= _BASE_BLOCKS:
            break
    else:
        return known
    found = (uploads / files if files else math.inf, uploads / sent if sent else math.inf)
    return found if known is None else (min(known[0], found[0]), min(known[1], found[1]))
