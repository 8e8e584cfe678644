"""Random runs of one journal, with random interruptions and changes between them."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from .batch_machine import BatchStateMachine

# More of them by hand: `BATCH_TESTS_EXAMPLES=200 nox -s slow -- tests/batch/test_random_runs.py`.
EXAMPLES = int(os.environ.get("BATCH_TESTS_EXAMPLES", "10"))
RUN_SETTINGS = settings(
    max_examples=EXAMPLES,
    stateful_step_count=15,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * EXAMPLES)
@pytest.mark.parametrize("mode", ["same", "conflict", "same_dead_url", "ignored"])
def test_random_runs_keep_files_journal_and_images_equal(mode: str) -> None:
    class Machine(BatchStateMachine):
        pass

    Machine.mode = mode
    run_state_machine_as_test(Machine, settings=RUN_SETTINGS)
