"""A client lives through random nights; `nox -s soak` gives it longer ones."""

from __future__ import annotations

from drawing import THOROUGH
from hypothesis import HealthCheck, Phase, settings

from .machine import Night

Night.TestCase.settings = settings(
    max_examples=4 if THOROUGH else 1,
    stateful_step_count=20,
    derandomize=True,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestAnyOrderOfOperationsFaultsAndCancellationsLosesNothing = Night.TestCase
