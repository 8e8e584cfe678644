"""Random operations with random faults. `nox -s soak` runs more of them."""

from __future__ import annotations

from drawing import THOROUGH
from hypothesis import HealthCheck, Phase, settings

from .state_machine import ClientStateMachine

ClientStateMachine.TestCase.settings = settings(
    max_examples=4 if THOROUGH else 1,
    stateful_step_count=20,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestRandomOperationsLoseNothing = ClientStateMachine.TestCase
