"""Parse JSON with the standard library, as strictly as orjson does, and repair odd JSON.

`loads_strictly` accepts and rejects what orjson does. `loads_repaired` parses a body that was rejected, and
replaces the invalid values in it. It runs only after a failure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, cast

# The limit of orjson.
_MAX_DEPTH = 1024

# --- strict -------------------------------------------------------------------------------------------------


def loads_strictly(body: bytes) -> Any:
    """Return parsed JSON, as strictly as orjson does. Raises `ValueError`."""
    try:
        data = _STRICT.decode(body.decode("utf-8"))
        # The standard library accepts two things that orjson rejects: half a surrogate pair, and very deep
        # nesting.
        if b"\\ud" in body or b"\\uD" in body:
            json.dumps(data, ensure_ascii=False).encode()
        if body.count(b"[") + body.count(b"{") > _MAX_DEPTH:
            _require_shallow(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return data


def _reject_constant(name: str) -> NoReturn:
    """Raise for `NaN` and `Infinity`, which Python's parser accepts."""
    raise ValueError(f"{name} is not valid JSON")


def _finite_float(digits: str) -> float:
    """Return a float. Raises `ValueError` for a number that is too large for one."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _bounded_int(digits: str) -> int | float:
    """Return an integer of at most 64 bits, else a float, as orjson does."""
    if len(digits) < 19:
        return int(digits)
    return (
        number if len(digits) < 21 and -(2**63) <= (number := int(digits)) < 2**64 else _finite_float(digits)
    )


def _require_shallow(data: object) -> None:
    """Raise `ValueError` for data that is nested more deeply than the limit."""
    level = list(_containers([data]))
    for _ in range(_MAX_DEPTH):
        level = [inner for container in level for inner in _containers(container)]
    if level:
        raise ValueError("nested too deeply")


def _containers(value: Any) -> Iterator[object]:
    """Yield the lists and dicts directly inside a list or dict."""
    inside: Iterable[object] = cast("dict[str, object]", value).values() if isinstance(value, dict) else value
    for item in inside:
        if isinstance(item, list | dict):
            yield cast("object", item)


_STRICT = json.JSONDecoder(parse_constant=_reject_constant, parse_int=_bounded_int, parse_float=_finite_float)

# --- repaired -----------------------------------------------------------------------------------------------

# Larger bodies are not repaired: the repair blocks the event loop for up to half a second per MiB.
MAX_REPAIRED_BYTES = 1024 * 1024
# Maximum number of brackets and strings in a body that is nested too deeply.
_MAX_MARKS = 100_000
# Bytes that may precede the JSON: white space, and the byte order mark of UTF-8.
_LEADING = b"\xef\xbb\xbf \t\r\n"
# Levels that are kept when data is nested too deeply. Any record needs fewer, and code that walks the data
# recursively can still handle them.
_KEPT_LEVELS = 64


def loads_repaired(body: bytes, rejection: ValueError) -> Any:
    """Return the parsed JSON of a body that the strict parser rejected, with each invalid value replaced.

    Raises `rejection`, the error of the strict parser, when the body cannot be repaired.

    Bytes that are not UTF-8, and halves of surrogate pairs, become U+FFFD. `NaN`, `Infinity` and numbers too
    large for a float become text. Values nested more deeply than the limit become text of JSON, from level 64
    on. A byte order mark is skipped, and control characters in strings are accepted.
    """
    if len(body) > MAX_REPAIRED_BYTES or body[:64].lstrip(_LEADING)[:1] not in {b"{", b"["}:
        raise rejection
    text = _SURROGATES.sub(_replace_half_pair, body.decode("utf-8-sig", "replace"))
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        text = _flattened(text)
    try:
        data = _LENIENT.decode(text)
        if text.count("[") + text.count("{") > _MAX_DEPTH:
            _require_shallow(data)
    except (ValueError, RecursionError):
        raise rejection from None
    return data


# The escapes of a surrogate pair, or of half a pair. Group 1 holds escaped backslashes before it, and group 2
# a complete pair.
_SURROGATES = re.compile(
    r"(?<!\\)((?:\\\\)*+)(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def _replace_half_pair(found: re.Match[str]) -> str:
    """Return a complete pair unchanged, and U+FFFD for half a pair."""
    return found[0] if found[2] else rf"{found[1]}\ufffd"


def _finite_or_text(digits: str) -> float | str:
    """Return a float, or the digits as text when they are too large for one."""
    number = float(digits)
    return digits if math.isinf(number) else number


def _int_or_text(digits: str) -> int | float | str:
    """Return a number, or the digits as text when they are too large for a float."""
    return _bounded_int(digits) if len(digits) < 21 else _finite_or_text(digits)


_LENIENT = json.JSONDecoder(
    parse_constant=str, parse_int=_int_or_text, parse_float=_finite_or_text, strict=False
)

# A string, or a run of brackets. A string without an end matches to the end of the text, so that no text is
# scanned twice. Deep nesting consists of long runs of brackets.
_MARK = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]+|[\]}]+', re.DOTALL)


def _flattened(text: str) -> str:
    """Return the JSON `text` with everything below the last kept level as strings of JSON.

    The text is returned unchanged when it has too many brackets and strings.
    """
    parts: list[str] = []
    depth = kept = 0
    for count, mark in enumerate(_MARK.finditer(text)):
        if count > _MAX_MARKS:
            return text
        run = mark.end() - mark.start()
        if mark[0][0] in "[{":
            if depth <= _KEPT_LEVELS < depth + run:
                below = mark.start() + _KEPT_LEVELS - depth
                parts.append(text[kept:below])
                kept = below
            depth += run
        elif mark[0][0] in "]}":
            if depth - run <= _KEPT_LEVELS < depth:
                above = mark.start() + depth - _KEPT_LEVELS
                parts.append(json.dumps(text[kept:above]))
                kept = above
            depth -= run
    return "".join((*parts, text[kept:]))
