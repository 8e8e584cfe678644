"""Format figures for the terminal."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Iterator, Sequence

from benchmarks.cases import UNITS
from benchmarks.job import Sample
from benchmarks.results import Result
from benchmarks.targets import TARGETS, Judged, judge

EXTRAS = {
    "cpu_seconds": ("CPU", 1e3, "ms"),
    "p99_seconds": ("p99", 1e6, "us"),
    "peak_mb": ("peak", 1, "MB"),
    "grown_mb": ("grown by", 1, "MB"),
    "lag_p99_seconds": ("lag p99", 1e3, "ms"),
    "lag_max_seconds": ("lag max", 1e3, "ms"),
}


def median(samples: Sequence[Sample], name: str) -> float:
    return statistics.median(sample[name] for sample in samples)


def ratios(own: Sequence[Sample], floor: Sequence[Sample]) -> list[float]:
    """Return the ratios of the times to those of the baseline in the same round, smallest first."""
    return sorted(one["seconds"] / other["seconds"] for one, other in zip(own, floor, strict=True))


def lines(result: Result) -> Iterator[str]:
    """Yield the lines of one case: one per kind, with its time as a multiple of the baseline's."""
    unit, factor = UNITS[result.part]
    floor = next(iter(result.samples.values()))
    yield f"\n{result.case} ({unit}; {len(floor)} rounds)"
    for kind, samples in result.samples.items():
        against = ratios(samples, floor)
        beside = "  ".join(
            f"{label} {median(samples, name) * times:.3g} {of}"
            for name, (label, times, of) in EXTRAS.items()
            if name in samples[0]
        )
        yield (
            f"  {kind:28} {median(samples, 'seconds') * factor:10.3f}"
            f"   x {statistics.median(against):6.2f} ({against[0]:.2f} to {against[-1]:.2f})   {beside}"
        )


def judged(results: Iterable[Result]) -> list[Judged]:
    """Return the verdicts on the targets whose cases were measured."""
    found = {result.case: result for result in results}
    return [judge(target, found[target.case].samples) for target in TARGETS if target.case in found]


def verdicts(rows: Iterable[Judged]) -> Iterator[str]:
    """Yield the table of targets."""
    yield "\nTargets"
    for row in rows:
        target, unit = row.target, row.target.compare.unit
        what = target.case if target.kind == "ours" else f"{target.case}: {target.kind}"
        yield (
            f"  {what:44} {target.measure:30} {row.figure:6.2f}{unit} ({row.low:.2f} to {row.high:.2f})"
            f"   must {target.must:g}, aim {target.aim:g}: {row.verdict}"
        )
