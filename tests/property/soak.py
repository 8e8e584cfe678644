"""Run tests that take minutes.

Usage: `python -m tests.property.soak [MINUTES] [--tls] [--seed N]`, from the folder of the project.

Half of the time goes to a steady load with faults (`steady_load.py`), and half to random operations
(`state_machine.py`). A run of random operations has a seed, which is printed and repeats the run. With
MINUTES and a seed the runs begin with this seed. With only a seed there is no steady load, and only the
runs of this seed. `--tls` uses https.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import time
from pathlib import Path

# pytest sets the same path.
sys.path.insert(0, str(Path(__file__).parents[1]))

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from property.state_machine import ClientStateMachine
from property.steady_load import serve, steady_load

# Without shrinking, which would take hours and not help, because the failures depend on timing.
RUN_SETTINGS = settings(
    max_examples=5, stateful_step_count=50, deadline=None, database=None, phases=[Phase.generate],
    report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
)  # fmt: skip


def random_runs(seconds: float, first_seed: int, *, once: bool, tls: bool) -> None:
    """Run random operations until the time is over, or with `once` only those of one seed."""
    ClientStateMachine.tls, ClientStateMachine.is_rough = tls, True
    end = time.monotonic() + seconds
    for number in itertools.count(first_seed):
        arguments = f"--seed {number}{' --tls' if tls else ''}"
        print(f"random operations with seed {number} (repeat with {arguments})", flush=True)
        seed(number)(ClientStateMachine)
        run_state_machine_as_test(ClientStateMachine, settings=RUN_SETTINGS)
        if once or time.monotonic() >= end:
            break
    print(f"random operations: {dict(ClientStateMachine.counts)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, help="default: 2")
    parser.add_argument("--tls", action="store_true", help="use https")
    parser.add_argument("--seed", type=int, help="the seed of the first run; without MINUTES the only run")
    options = parser.parse_args()
    if options.minutes is None and options.seed is not None:
        random_runs(0, options.seed, once=True, tls=options.tls)
        return
    seconds = 60 * (2.0 if options.minutes is None else options.minutes)
    asyncio.run(steady_load(seconds / 2, tls=options.tls))
    first_seed = random.randrange(10**6) if options.seed is None else options.seed
    random_runs(seconds / 2, first_seed, once=False, tls=options.tls)
    print("no failures", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(tls="--tls" in sys.argv))
    else:
        main()
