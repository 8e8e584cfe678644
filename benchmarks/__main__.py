"""Measure the package: `python -m benchmarks [PART ...] [--quick]`; `--help` lists the parts."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import report, results, rounds, server
from benchmarks.cases import BATCHES, CASES, GROWTH, MILLION, NEEDS_NGINX, PARTS, Case

# Function calls are counted once, and compared with no baseline.
CALLS = "calls"
NAMES = (*PARTS, CALLS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description="Speed as a ratio to raw libraries doing the same work in the same run.",
    )
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help=f"{', '.join(NAMES)}; without one, all parts run"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one small round, which only tests that everything runs"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="number of measurements of each kind (5); the median is printed"
    )
    parser.add_argument("--case", help="only the cases with this text in their names")
    parser.add_argument(
        "--million", action="store_true", help="extend the part growth to a million files (takes long)"
    )
    parser.add_argument("--no-peers", action="store_true", help="do not measure other libraries")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).parent / "results",
        metavar="FOLDER",
        help="the folder for results.json and the plots; results of other parts in it are kept",
    )
    options = parser.parse_args()
    for name in options.parts:
        if name not in {*NAMES, "all"}:
            parser.error(f"no part is called {name}; the parts are {', '.join(NAMES)} and all")
    return options


def _names(options: argparse.Namespace) -> Sequence[str]:
    return NAMES if not options.parts or "all" in options.parts else options.parts


def _chosen(options: argparse.Namespace) -> list[Case]:
    parts = {PARTS[name] for name in _names(options) if name != CALLS}
    cases = (*CASES, *GROWTH, *BATCHES, *((MILLION,) if options.million else ()))
    if options.no_peers:
        cases = tuple(replace(case, peers=()) for case in cases)
    found = [case for case in cases if case.work.part in parts and (options.case or "") in case.name]
    return [case.shortened() for case in found if case.quick is not None] if options.quick else found


def main() -> int:
    options = _arguments()
    machine = results.machine()
    print(
        f"Python {machine['python']}, {machine['cores']} cores, {machine['processor']}, {machine['system']}"
    )
    if machine["load"] > 0.5 * machine["cores"]:
        print(f"The machine is busy (load average {machine['load']}): the figures will be imprecise.")
    print(", ".join(f"{name} {version}" for name, version in machine["libraries"].items()))
    cases, problem = _chosen(options), server.missing()
    if problem:
        left_out = [case.name for case in cases if case.work.part in NEEDS_NGINX]
        cases = [case for case in cases if case.work.part not in NEEDS_NGINX]
        if left_out:
            print(f"\nSkipped: {'; '.join(left_out)}.\n{problem}")
    found: list[results.Result] = []
    with rounds.environment() as environment:
        for case in cases:
            samples = rounds.run(case, 1 if options.quick else options.rounds, environment)
            found.append(results.Result.of(case, samples))
            print("\n".join(report.lines(found[-1])), flush=True)
    if CALLS in _names(options) and not options.case:
        subprocess.run([sys.executable, "-m", "benchmarks.calls"], cwd=Path(__file__).parents[1], check=True)
    if not found:
        return 0
    rows = report.judged(found)
    if options.quick:
        return 0
    if rows:
        print("\n".join(report.verdicts(rows)))
    file = options.results / "results.json"
    results.write(file, found, options.rounds)
    if importlib.util.find_spec("matplotlib"):
        from benchmarks import plots

        plots.draw(results.read(file), options.results)
    return int(any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
