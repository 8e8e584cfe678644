"""Write the figures of a run to docs/performance.md: `python -m benchmarks.page RESULTS_FOLDER`.

The samples of the run are stored in docs/assets/performance.json, so that the tables can be computed again,
which a test does. This module writes the text between `<!-- NAME -->` and `<!-- end -->`.
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
VERDICTS = {
    "aim": "aim reached",
    "met": "met",
    "met within the noise": "met within the noise",
    "undecided": "undecided: the baseline varied too much",
    "missed": "**missed**",
}


def targets(found: Sequence[Result]) -> Iterator[str]:
    """Yield the table of targets and measured figures."""
    yield "| work | measure | measured (rounds' range) | must | aim | |"
    yield "|---|---|---|---|---|---|"
    measured = {row.target: row for row in report.judged(found)}
    for target in TARGETS:
        row, unit = measured.get(target), target.compare.unit
        what = target.case if target.kind == "ours" else f"{target.case}: {target.kind}"
        sign = ">=" if target.compare.more_is_better else "<="
        measured_text = (
            f"{row.figure:.2f}{unit} ({row.low:.2f} to {row.high:.2f})" if row else "not in this run"
        )
        verdict = VERDICTS[row.verdict] if row else ""
        yield (
            f"| {what} | {target.measure} | {measured_text} | {sign} {target.must:g}{unit} | {target.aim:g}{unit} | {verdict} |"
        )


def ways(found: Sequence[Result]) -> Iterator[str]:
    """Yield the table of all kinds of every case, the baseline first."""
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
    """Yield the table of costs by simultaneous uploads, and by number of files."""
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
    """Yield a paragraph about the machine and the libraries of the run."""
    data = json.loads(kept.read_text("utf-8"))
    machine_data = data["machine"]
    counts = {len(some) for result in data["results"] for some in result["samples"].values()}
    rounds = f"{min(counts)} to {max(counts)}" if len(counts) > 1 else f"{max(counts)}"
    libraries = ", ".join(f"{name} {version}" for name, version in machine_data["libraries"].items())
    yield (
        f"Measured {data['measured'][:10]} on {machine_data['cores']} shared cores ({machine_data['processor']}, {machine_data['system']}; load average "
        f"{machine_data['load']} at the end), "
        f"{rounds} rounds, Python {machine_data['python']}, {machine_data['openssl']}; {libraries}."
    )
    if machine_data["load"] > machine_data["cores"]:
        yield ""
        yield (
            "**Other work kept all cores busy during the run.** So ratios of wall time are imprecise, and kinds that compute more waited longer "
            "than on an idle machine. Processor time (decoding, URLs, the column CPU) is more precise."
        )


def filled(page: str, kept: Path = KEPT) -> str:
    """Return the page with tables computed from the samples."""
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
