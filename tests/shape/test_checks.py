"""Arguments are checked in one place, so that one mistake reads the same everywhere."""

from __future__ import annotations

import re

from module_imports import PACKAGE, modules

# The emulator shares no line with the client; the rules of URLs gather their faults, and quote values.
_APART = {"emulator", "urls"}
_BY_HAND = re.compile(r"must be [^\n]*, not \{type\(")


def test_no_module_writes_by_hand_that_an_argument_is_of_a_wrong_type() -> None:
    checked = [path for path in modules() if path.relative_to(PACKAGE).parts[0] not in _APART]
    by_hand = {path.name for path in checked if _BY_HAND.search(path.read_text("utf-8"))}
    assert by_hand == {"checks.py"}
