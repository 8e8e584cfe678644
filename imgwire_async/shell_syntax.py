"""Detect shell and template syntax in the value of a setting: quotes, `${NAME}`, or `NAME=value`."""

from __future__ import annotations

import re

_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_PLACEHOLDER = re.compile(r"\$[{(]|\{\{|\$[A-Za-z_]\w*\Z|%\w+%\Z|<[^<>]*>\Z", re.ASCII)
_ASSIGNMENT = re.compile(r"(?:(?:export|set)\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*[^=\s]")


def find_shell_syntax(text: str) -> str | None:
    """Return a description of the shell syntax in `text`, such as "is in quotes", or None if there is none.

    The caller puts the name of the setting before the description to form a message.
    """
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return "is in quotes: remove them (Docker's --env-file, for example, keeps quotes)" if text else None
    if _PLACEHOLDER.match(text) or "${" in text:
        return (
            "contains a placeholder that was not replaced, such as ${NAME}: check where the variable is set"
        )
    if _ASSIGNMENT.match(text):
        return "begins with a name and an equals sign, as in NAME=value: pass only the value"
    if text[:1] in "{[" and text[-1:] in "}]" and len(text) > 1:
        return "is JSON: pass only the one value from it"
    return None
