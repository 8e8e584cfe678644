"""Longer than a test may take: `python -m tests.property.soak [MINUTES] [--tls] [--seed N]`, from the project's folder.

Half of the time goes to a steady state under all troubles (`steady.py`), half to random nights (`machine.py`), each with a
seed that is printed and repeats it. With MINUTES and a seed the nights begin with that seed, with a seed alone they are all
that is run. `--tls`: over https.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))  # as pytest has it

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from property.machine import Night
from property.steady import serve, steady

# A failure is told as it is: hours of shrinking would not say more where time plays along.
NIGHT = settings(
    max_examples=5, stateful_step_count=50, deadline=None, database=None, phases=[Phase.generate],
    report_multiple_bugs=False, suppress_health_check=list(HealthCheck),
)  # fmt: skip


def nights(seconds: float, first: int, *, once: bool, tls: bool) -> None:
    """Random nights until the time is over, or the one of a seed."""
    Night.tls, Night.rough = tls, True
    end = time.monotonic() + seconds
    for number in itertools.count(first):
        again = f"--seed {number}{' --tls' if tls else ''}"
        print(f"nights of seed {number} (again: {again})", flush=True)
        seed(number)(Night)
        run_state_machine_as_test(Night, settings=NIGHT)
        if once or time.monotonic() >= end:
            break
    print(f"nights: {dict(Night.tally)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="nox -s soak --", description=__doc__)
    parser.add_argument("minutes", nargs="?", type=float, help="2 unless told")
    parser.add_argument("--tls", action="store_true", help="over https")
    parser.add_argument("--seed", type=int, help="the first nights' seed; without MINUTES only these nights")
    given = parser.parse_args()
    if given.minutes is None and given.seed is not None:
        nights(0, given.seed, once=True, tls=given.tls)
        return
    seconds = 60 * (2.0 if given.minutes is None else given.minutes)
    asyncio.run(steady(seconds / 2, tls=given.tls))
    first = random.randrange(10**6) if given.seed is None else given.seed
    nights(seconds / 2, first, once=False, tls=given.tls)
    print("all held", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        asyncio.run(serve(tls="--tls" in sys.argv))
    else:
        main()
