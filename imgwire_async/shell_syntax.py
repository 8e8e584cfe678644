"""Find what a shell or a template left in a setting: quotes, a variable that nothing has filled in, the setting's own name."""

from __future__ import annotations

import re

_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_PLACEHOLDER = re.compile(r"\$[{(]|\{\{|\$[A-Za-z_]\w*\Z|%\w+%\Z|<[^<>]*>\Z", re.ASCII)
_ASSIGNMENT = re.compile(r"(?:(?:export|set)\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*[^=\s]")


def find_shell_syntax(text: str) -> str | None:
    """Return what a shell or a template left in a setting (quotes, a variable, a name), as a predicate for a message; None if nothing."""
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return (
            "stands in quotes: give it without them (Docker's --env-file, for one, keeps quotes)"
            if text
            else None
        )
    if _PLACEHOLDER.match(text) or "${" in text:
        return (
            "holds a placeholder that nothing has filled in, such as ${NAME}: look where the variable is set"
        )
    if _ASSIGNMENT.match(text):
        return "begins with a name and an equals sign, as in NAME=value: give the value alone"
    if text[:1] in "{[" and text[-1:] in "}]" and len(text) > 1:
        return "is written as JSON: give the one value out of it"
    return None
