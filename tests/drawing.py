"""How many examples hypothesis draws: few where many sessions run the same tests, all of them in `nox -s slow`."""

from __future__ import annotations

import os

THOROUGH = os.environ.get("IMGWIRE_TESTS_THOROUGH") == "1"


def examples(most: int) -> int:
    """Return `most`, or a fifth of it in everyday sessions."""
    return most if THOROUGH else max(1, most // 5)
