"""Random runs of one journal, with random interruptions and changes between them."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, Phase, settings

from .batch_machine import BatchStateMachine

# More of them by hand: `BATCH_TESTS_EXAMPLES=200 nox -s slow -- tests/batch/test_random_runs.py`.
EXAMPLES = int(os.environ.get("BATCH_TESTS_EXAMPLES", "12"))

BatchStateMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.slow
@pytest.mark.timeout(60 + 20 * EXAMPLES)
class TestRandomRunsKeepTheJournalTrue(BatchStateMachine.TestCase):
    """The model of `BatchStateMachine` holds after each complete run."""
