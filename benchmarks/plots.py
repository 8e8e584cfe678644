"""Draw the plots of docs/performance.md as SVG. Text is drawn as paths, so that no font is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt

from benchmarks.report import judged, median
from benchmarks.results import Result
from benchmarks.targets import Judged

mpl.use("svg")
mpl.rcParams.update(
    {"svg.hashsalt": "imgwire-async", "font.size": 9, "axes.spines.top": False, "axes.spines.right": False}
)

# The limits of the plot of ratios. Values beyond them are drawn at the edge.
EDGES = (-2.0, 4.0)
OURS, MUST, AIM = "#1769aa", "#c0392b", "#2e8b57"


def draw(results: Sequence[Result], folder: Path) -> None:
    """Draw the plots for which there are results."""
    if any(result.part == "growth" for result in results):
        growth(results, folder / "growth.svg")
    if rows := judged(results):
        ratios(rows, folder / "ratios.svg")


def growth(results: Sequence[Result], path: Path) -> None:
    """Draw processor time per file and peak memory, by simultaneous uploads and by number of files."""
    cases = [result for result in results if result.part == "growth"]
    by_count = [case for case in cases if case.case.endswith("files")]
    by_concurrency = [case for case in cases if case not in by_count]
    # matplotlib has no precise types for this.
    axes: Any
    figure, axes = plt.subplots(2, 2, figsize=(8, 4.6), sharex="col", sharey="row", layout="constrained")
    for column, (some, key, label) in enumerate(
        ((by_concurrency, "at_once", "uploads at once"), (by_count, "count", "files, 32 at once"))
    ):
        at = [case.work[key] for case in some]
        for row, (name, factor) in enumerate((("cpu_seconds", 1e3), ("peak_mb", 1.0))):
            axis = axes[row][column]
            axis.plot(at, [median(case.samples["ours"], name) * factor for case in some], "o-", color=OURS)
            axis.grid(axis="y", alpha=0.3)
        axes[1][column].set_xscale("log")
        axes[1][column].set_xlabel(label)
        axes[1][column].set_xticks(at, [f"{position:,}" for position in at])
        axes[1][column].minorticks_off()
    for row in (0, 1):
        axes[row][0].set_ylim(0, 1.2 * axes[row][0].get_ylim()[1])
    axes[0][0].set_ylabel("CPU per file, ms")
    axes[1][0].set_ylabel("peak memory, MB")
    _save(figure, path)


def ratios(rows: Sequence[Judged], path: Path) -> None:
    """Draw each figure between its must and its aim, with the range of the rounds."""
    axis: Any
    figure, axis = plt.subplots(figsize=(8, 0.3 * len(rows) + 0.8), layout="constrained")
    for height, row in enumerate(reversed(rows)):
        low, middle, high = (_between(row, figure) for figure in (row.low, row.figure, row.high))
        axis.plot([low, high], [height, height], color=OURS, alpha=0.35, linewidth=4, solid_capstyle="butt")
        axis.plot(middle, height, "o", color=OURS)
    axis.axvline(0, color=MUST, linewidth=1)
    axis.axvline(1, color=AIM, linewidth=1)
    axis.set_yticks(range(len(rows)), [_label(row) for row in reversed(rows)])
    axis.set_xticks([0, 1], ["must", "aim"])
    axis.set_xlim(*EDGES)
    axis.set_ylim(-0.7, len(rows) - 0.3)
    _save(figure, path)


def _between(row: Judged, figure: float) -> float:
    target = row.target
    low, high = EDGES
    return min(high, max(low, (figure - target.must) / (target.aim - target.must)))


def _label(row: Judged) -> str:
    target = row.target
    what = "" if target.kind == "ours" else f", {target.kind}"
    return f"{target.case}{what}: {target.measure}"


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)
