"""The targets of the figures, shown in the output of a run and in docs/performance.md.

*must* is the minimum, *aim* is the goal. A figure that misses its must by less than the spread of the
baseline counts as met, because the machine is not more precise. If the baseline varies too much, a verdict
needs rounds that all agree.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.job import Sample

Samples = Mapping[str, Sequence[Sample]]
Verdict = Literal["aim", "met", "met within the noise", "undecided", "missed"]
# With a larger spread, the figures of a baseline are too imprecise.
MAX_SPREAD = 0.3


@dataclass(frozen=True)
class Compare:
    """How a figure is computed from our sample and the sample of the baseline in the same round."""

    words: str
    figure: Callable[[Sample, Sample], float]
    more_is_better: bool = False
    # Empty for a ratio.
    unit: str = ""


SPEED = Compare("speed, x", lambda own, floor: floor["seconds"] / own["seconds"], more_is_better=True)
TIMES = Compare("time, x", lambda own, floor: own["seconds"] / floor["seconds"])
OVER = Compare("time over", lambda own, floor: (own["seconds"] - floor["seconds"]) * 1e3, unit=" ms")
MEMORY = Compare("memory growth", lambda own, _: own["grown_mb"], unit=" MB")
LAG = Compare("loop lag, p99", lambda own, _: own["lag_p99_seconds"] * 1e3, unit=" ms")


@dataclass(frozen=True)
class Target:
    """One row of the table."""

    case: str
    compare: Compare
    floor: str
    must: float
    aim: float
    kind: str = "ours"

    @property
    def measure(self) -> str:
        alone = self.compare in {MEMORY, LAG}
        return self.compare.words if alone else f"{self.compare.words} {self.floor}"


TARGETS = (
    Target("100 kB files, 32 at once", SPEED, "memory", 0.65, 0.85),
    Target("100 kB files, 32 at once", SPEED, "disk", 0.9, 1.0),
    Target("100 kB files, 32 at once, TLS", SPEED, "memory", 0.70, 0.85),
    Target("100 kB files, 32 at once, 30 ms", SPEED, "memory", 0.93, 0.98),
    Target("100 kB files, 128 at once, 30 ms", SPEED, "memory", 0.93, 0.98),
    Target("10 kB files, 32 at once", SPEED, "memory", 0.65, 0.80),
    Target("2 MB files, 16 at once", SPEED, "disk", 0.80, 0.95),
    Target("1 GiB", SPEED, "curl -T", 0.75, 0.95),
    Target("1 GiB, TLS", SPEED, "curl -T", 0.85, 0.95),
    Target("1 GiB", MEMORY, "curl -T", 16, 4),
    Target("1 GiB", LAG, "curl -T", 20, 6),
    Target("decode a record", TIMES, "orjson", 3.3, 2.0),
    Target("list 10,000 images", TIMES, "1 page in flight", 2.4, 1.6),
    Target("list 10,000 images, 30 ms", TIMES, "8 pages in flight", 1.3, 1.05),
    Target("one small GET", TIMES, "aiohttp", 1.15, 1.05),
    Target("blocking: one small GET", TIMES, "urllib3", 1.5, 1.0),
    Target("image URLs", TIMES, "urlencode of ten pairs", 1.5, 1.0, "preset and four rules"),
    Target("image URLs", TIMES, "urlencode of ten pairs", 3.5, 2.5, "ten rules"),
    Target("image URLs", TIMES, "urlencode of ten pairs", 0.4, 0.2, "a prepared Transformation"),
    Target("import", OVER, "bare Python", 5, 1, "the package"),
    Target("import", OVER, "bare Python", 60, 40, "the client class"),
    Target("blocking: GETs from 32 threads", SPEED, "urllib3", 1.5, 2.0),
    Target("blocking: a page of 100", TIMES, "async, a page", 1.3, 1.1, "ours, a page"),
)


@dataclass(frozen=True)
class Judged:
    """A target and the measured figures: their median and extremes, and the spread of the baseline."""

    target: Target
    figure: float
    low: float
    high: float
    spread: float
    verdict: Verdict


def spread(floor: Sequence[Sample]) -> float:
    """Return the range of the baseline's rounds as a fraction of their median."""
    times = [sample["seconds"] for sample in floor]
    return (max(times) - min(times)) / statistics.median(times)


def judge(target: Target, samples: Samples) -> Judged:
    """Compare the measured samples of a case with its target."""
    own, floor = samples[target.kind], samples[target.floor]
    figures = [target.compare.figure(one, other) for one, other in zip(own, floor, strict=True)]
    figure, noise = statistics.median(figures), spread(floor)
    return Judged(target, figure, min(figures), max(figures), noise, _verdict(target, figures, noise))


def _verdict(target: Target, figures: Sequence[float], noise: float) -> Verdict:
    sign = 1 if target.compare.more_is_better else -1
    middle, ratio = statistics.median(figures), not target.compare.unit
    is_unsteady = ratio and noise > MAX_SPREAD
    reliable = min(figures, key=lambda figure: sign * figure) if is_unsteady else middle
    if sign * (reliable - target.aim) >= 0:
        return "aim"
    if sign * (reliable - target.must) >= 0:
        return "met"
    if is_unsteady:
        best = max(figures, key=lambda figure: sign * figure)
        return "undecided" if sign * (best - target.must) >= 0 else "missed"
    slack = target.must * noise if ratio else 0.0
    return "met within the noise" if sign * (middle - target.must) >= -slack else "missed"
