"""Measure the package: `python -m benchmarks [upload|big|decode|list|get|blocking|url|import|growth|calls|all ...] [--quick]`."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import report, results, rounds, server
from benchmarks.cases import CASES, GROWTH, MILLION, NEEDS_NGINX, PARTS, Case

CALLS = "calls"  # counted in no rounds, and held to no floor
NAMES = (*PARTS, CALLS)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks",
        description="Speed as a ratio to raw libraries doing the same work in the same run.",
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(NAMES)}; all without one")
    parser.add_argument(
        "--quick", action="store_true", help="one small round, to see that all of it runs: no limits"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="measurements of each kind (5); medians are shown"
    )
    parser.add_argument("--case", help="only the cases with this text in their names")
    parser.add_argument("--million", action="store_true", help="let growth go on to a million files (long)")
    parser.add_argument("--no-peers", action="store_true", help="leave other people's libraries out")
    parser.add_argument(
        "--results",
        type=Path,
        default=Path(__file__).parent / "results",
        metavar="FOLDER",
        help="where results.json and the plot go; parts measured earlier are kept beside the new ones",
    )
    given = parser.parse_args()
    for name in given.parts:
        if name not in {*NAMES, "all"}:
            parser.error(f"no part is called {name}; there are {', '.join(NAMES)} and all")
    return given


def _names(given: argparse.Namespace) -> Sequence[str]:
    return NAMES if not given.parts or "all" in given.parts else given.parts


def _chosen(given: argparse.Namespace) -> list[Case]:
    parts = {PARTS[name] for name in _names(given) if name != CALLS}
    cases = (*CASES, *GROWTH, *((MILLION,) if given.million else ()))
    if given.no_peers:
        cases = tuple(replace(case, peers=()) for case in cases)
    found = [case for case in cases if case.work.part in parts and (given.case or "") in case.name]
    return [case.shortened() for case in found if case.quick is not None] if given.quick else found


def main() -> int:
    given = _arguments()
    told = results.machine()
    print(f"Python {told['python']}, {told['cores']} cores, {told['processor']}, {told['system']}")
    if told["load"] > 0.5 * told["cores"]:
        print(f"Other work runs here (load average {told['load']}): the figures will be coarse.")
    print(", ".join(f"{name} {version}" for name, version in told["libraries"].items()))
    cases, problem = _chosen(given), server.missing()
    if problem:
        left_out = [case.name for case in cases if case.work.part in NEEDS_NGINX]
        cases = [case for case in cases if case.work.part not in NEEDS_NGINX]
        if left_out:
            print(f"\nLeft out: {'; '.join(left_out)}.\n{problem}")
    found: list[results.Result] = []
    with rounds.hall() as hall:
        for case in cases:
            samples = rounds.run(case, 1 if given.quick else given.rounds, hall)
            found.append(results.Result.of(case, samples))
            print("\n".join(report.lines(found[-1])), flush=True)
    if CALLS in _names(given) and not given.case:
        subprocess.run([sys.executable, "-m", "benchmarks.calls"], cwd=Path(__file__).parents[1], check=True)
    if not found:
        return 0
    rows = report.judged(found)
    if given.quick:
        return 0
    if rows:
        print("\n".join(report.verdicts(rows)))
    file = given.results / "results.json"
    results.write(file, found, given.rounds)
    if importlib.util.find_spec("matplotlib"):
        from benchmarks import plots

        plots.draw(results.read(file), given.results)
    return int(any(row.verdict == "missed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
