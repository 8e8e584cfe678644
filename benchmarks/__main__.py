"""Run the measurements, each in a process of its own: `python -m benchmarks [--quick] [NAME ...]`.

A measurement is a module of this folder that runs as a script, takes `--rounds N` and `--json`, prints rows of
`name, microseconds, ratio, min, max, limit` and ends with 1 when a ratio is over its limit. What it printed as JSON is kept in
`results/`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
HELPERS = {"__init__", "__main__", "server"}


def run(name: str, rounds: int) -> tuple[int, dict[str, Any]]:
    """The measurement's exit code and what it found."""
    answer = subprocess.run(
        [sys.executable, str(HERE / f"{name}.py"), "--json", "--rounds", str(rounds)],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if answer.returncode not in {0, 1} or not answer.stdout.startswith("{"):
        sys.exit(f"{name} failed with exit code {answer.returncode}")
    return answer.returncode, json.loads(answer.stdout)


def show(name: str, found: dict[str, Any]) -> None:
    print(f"\n{name}, {found['rounds']} rounds")
    for row in found["rows"]:
        over = "   over its limit" if row["ratio"] > row["limit"] else ""
        print(
            f"  {row['name']:28} {row['microseconds']:8.1f} us   x {row['ratio']:.2f}"
            f"   ({row['min']:.2f} to {row['max']:.2f}, limit {row['limit']:.2f}){over}"
        )


def main() -> int:
    names = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in HELPERS)
    parser = argparse.ArgumentParser(description="Speed as a ratio to the raw libraries.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(names)}; all without one")
    parser.add_argument(
        "--quick", action="store_true", help="one round, to see that it runs: limits do not count"
    )
    parser.add_argument("--rounds", type=int, default=15)
    given = parser.parse_args()
    for name in set(given.names) - set(names):
        parser.error(f"no measurement is called {name}")
    print(f"Python {platform.python_version()} on {os.cpu_count()} cores")
    over = 0
    for name in given.names or names:
        code, found = run(name, 1 if given.quick else given.rounds)
        show(name, found)
        over |= code
        if not given.quick:
            (HERE / "results").mkdir(exist_ok=True)
            (HERE / "results" / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n", "utf-8")
    return 0 if given.quick else over


if __name__ == "__main__":
    sys.exit(main())
