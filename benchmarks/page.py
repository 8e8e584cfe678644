"""Put the figures of a run into docs/performance.md: `python -m benchmarks.page RESULTS_FOLDER`.

The run's samples are kept beside the page (docs/assets/performance.json), so that everybody can compute the tables again; a test
does. Text between `<!-- NAME -->` and `<!-- end -->` is written by this module, the rest by people.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import report, results
from benchmarks.cases import UNITS
from benchmarks.results import Result
from benchmarks.targets import TARGETS

DOCS = Path(__file__).parents[1] / "docs"
PAGE, KEPT = DOCS / "performance.md", DOCS / "assets/performance.json"
WORDS = {
    "aim": "aim reached",
    "met": "met",
    "met within the noise": "met within the noise",
    "undecided": "undecided: the baseline varied too much",
    "missed": "**missed**",
}


def targets(found: Sequence[Result]) -> Iterator[str]:
    """The table of what the figures have to be, and are."""
    yield "| work | measure | measured (rounds' range) | must | aim | |"
    yield "|---|---|---|---|---|---|"
    measured = {row.target: row for row in report.judged(found)}
    for target in TARGETS:
        row, unit = measured.get(target), target.compare.unit
        what = target.case if target.kind == "ours" else f"{target.case}: {target.kind}"
        sign = ">=" if target.compare.more_is_better else "<="
        shown = f"{row.figure:.2f}{unit} ({row.low:.2f} to {row.high:.2f})" if row else "not in this run"
        verdict = WORDS[row.verdict] if row else ""
        yield (
            f"| {what} | {target.measure} | {shown} | {sign} {target.must:g}{unit} | {target.aim:g}{unit} | {verdict} |"
        )


def ways(found: Sequence[Result]) -> Iterator[str]:
    """All ways of every case, the floor first."""
    yield "| work | way | median | x the first | CPU |"
    yield "|---|---|---|---|---|"
    for result in found:
        if result.part == "growth":
            continue
        unit, factor = UNITS[result.part]
        floor = next(iter(result.samples.values()))
        for number, (kind, samples) in enumerate(result.samples.items()):
            against = report.ratios(samples, floor)
            cpu = (
                f"{report.median(samples, 'cpu_seconds') * 1e3:.2f} ms" if "cpu_seconds" in samples[0] else ""
            )
            yield (
                f"| {result.case if number == 0 else ''} | {kind} "
                f"| {report.median(samples, 'seconds') * factor:.3g} {unit} "
                f"| {statistics.median(against):.2f} ({against[0]:.2f} to {against[-1]:.2f}) | {cpu} |"
            )


def growth(found: Sequence[Result]) -> Iterator[str]:
    """Cost by uploads at once, and by number of files."""
    yield "| uploads | time per file | CPU per file | peak memory |"
    yield "|---|---|---|---|"
    for result in found:
        if result.part == "growth":
            samples = result.samples["ours"]
            yield (
                f"| {result.case} | {report.median(samples, 'seconds') * 1e3:.2f} ms "
                f"| {report.median(samples, 'cpu_seconds') * 1e3:.2f} ms | {report.median(samples, 'peak_mb'):.0f} MB |"
            )


def machine(kept: Path) -> Iterator[str]:
    """What the run was made with."""
    data = json.loads(kept.read_text("utf-8"))
    told = data["machine"]
    counts = {len(some) for result in data["results"] for some in result["samples"].values()}
    rounds = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"
    libraries = ", ".join(f"{name} {version}" for name, version in told["libraries"].items())
    yield (
        f"Measured {data['measured'][:10]} on {told['cores']} shared cores ({told['processor']}, {told['system']}; load average "
        f"{told['load']} at the end), "
        f"{rounds} rounds, Python {told['python']}, {told['openssl']}; {libraries}."
    )
    if told["load"] > told["cores"]:
        yield ""
        yield (
            "**Other work kept all cores busy meanwhile.** Ratios of wall time are coarse then, and whoever computes more waits longer "
            "than on a machine of its own; what is counted in processor time (decoding, URLs, the column CPU) is steadier."
        )


def filled(page: str, kept: Path = KEPT) -> str:
    """The page with its tables computed from the samples."""
    found = results.read(kept)
    tables = {
        "targets": targets(found),
        "ways": ways(found),
        "growth": growth(found),
        "machine": machine(kept),
    }
    for name, lines in tables.items():
        head, mark, rest = page.partition(f"<!-- {name} -->\n")
        _, end, tail = rest.partition("<!-- end -->")
        page = "".join((head, mark, "\n", "\n".join(lines), "\n\n", end, tail))
    return page


def main(folder: Path) -> None:
    from benchmarks import plots

    shutil.copyfile(folder / "results.json", KEPT)
    plots.draw(results.read(KEPT), KEPT.parent)
    PAGE.write_text(filled(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
