"""The number of examples that hypothesis draws: all in `nox -s slow`, and a fifth in other sessions."""

from __future__ import annotations

import os

THOROUGH = os.environ.get("IMGWIRE_TESTS_THOROUGH") == "1"


def examples(maximum: int) -> int:
    """Return `maximum`, or a fifth of it in everyday sessions."""
    return maximum if THOROUGH else max(1, maximum // 5)
