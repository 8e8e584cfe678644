"""`checks` checks all arguments, so that the same mistake has the same message everywhere."""

from __future__ import annotations

import re

from module_imports import PACKAGE, modules

# The emulator shares no code with the client. The rules of URLs collect their faults and quote values.
_EXEMPT = {"emulator", "urls"}
_MESSAGE = re.compile(r"must be [^\n]*, not \{type\(")


def test_only_checks_writes_the_message_about_a_wrong_type() -> None:
    checked = [path for path in modules() if path.relative_to(PACKAGE).parts[0] not in _EXEMPT]
    found = {path.name for path in checked if _MESSAGE.search(path.read_text("utf-8"))}
    assert found == {"checks.py"}, f"call a function of checks.py instead of writing the message: {found}"
