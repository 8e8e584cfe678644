"""Parse JSON with the standard library as strictly as orjson does, and repair invalid JSON.

`loads_strictly` accepts and rejects the same texts as orjson. `loads_repaired` is called when a strict parser
rejected a body: it replaces the invalid values and parses the rest.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, cast

# How many levels deep lists and objects may be nested. orjson has the same limit.
_MAX_DEPTH = 1024

# --- strict -------------------------------------------------------------------------------------------------


def loads_strictly(body: bytes) -> Any:
    """Parse JSON. Raises `ValueError` for all texts that orjson rejects."""
    try:
        data = _STRICT_DECODER.decode(body.decode("utf-8"))
        # The standard library accepts half a surrogate pair and very deep nesting, which orjson rejects.
        if b"\\ud" in body or b"\\uD" in body:
            # For half a surrogate pair, `encode` raises `UnicodeEncodeError`, which is a `ValueError`.
            json.dumps(data, ensure_ascii=False).encode()
        if body.count(b"[") + body.count(b"{") > _MAX_DEPTH:
            _require_shallow(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return data


def _reject_constant(name: str) -> NoReturn:
    """Raise `ValueError` for `NaN` or `Infinity`, which Python's parser would accept."""
    raise ValueError(f"{name} is not valid JSON")


def _finite_float(digits: str) -> float:
    """Convert the text of a number to a float. Raises `ValueError` for a number that is too large."""
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _bounded_int(digits: str) -> int | float:
    """Convert the text of an integer to an int of at most 64 bits, or to a float if it is larger.

    orjson converts integers in the same way.
    """
    if len(digits) < 19:
        return int(digits)
    return (
        number if len(digits) < 21 and -(2**63) <= (number := int(digits)) < 2**64 else _finite_float(digits)
    )


def _require_shallow(data: object) -> None:
    """Raise `ValueError` for data that is nested more deeply than `_MAX_DEPTH`."""
    level = list(_containers([data]))
    for _ in range(_MAX_DEPTH):
        level = [inner for container in level for inner in _containers(container)]
    if level:
        raise ValueError("nested too deeply")


def _containers(value: Any) -> Iterator[object]:
    """Yield the lists and dicts that are items of the list or dict `value`."""
    items: Iterable[object] = cast("dict[str, object]", value).values() if isinstance(value, dict) else value
    for item in items:
        if isinstance(item, list | dict):
            yield cast("object", item)


_STRICT_DECODER = json.JSONDecoder(
    parse_constant=_reject_constant, parse_int=_bounded_int, parse_float=_finite_float
)

# --- repaired -----------------------------------------------------------------------------------------------

# Larger bodies are not repaired, because the repair blocks the event loop for up to half a second per MiB.
MAX_REPAIRED_BYTES = 1024 * 1024
# The maximum number of matches of `_TOKEN` in a body whose deep nesting is repaired. It bounds the time of a
# repair.
_MAX_TOKENS = 100_000
# Bytes that may stand before the JSON: white space, and the byte order mark of UTF-8.
_BYTES_BEFORE_JSON = b"\xef\xbb\xbf \t\r\n"
# When data is nested too deeply, this many levels stay lists and objects. Lower levels become text. Every
# record of the API has fewer levels, and recursive functions can process this number of levels.
_KEPT_LEVELS = 64


def loads_repaired(body: bytes, rejection: ValueError) -> Any:
    """Parse a body that the strict parser rejected, and replace the invalid values in it.

    * Bytes that are not UTF-8, and halves of surrogate pairs, become U+FFFD.
    * `NaN`, `Infinity` and numbers too large for a float become text.
    * When the data is nested too deeply, values below level 64 become text that contains their JSON.
    * A byte order mark is skipped, and control characters in strings are accepted.

    `rejection` is the error of the strict parser. It is raised when the body cannot be repaired.
    """
    if len(body) > MAX_REPAIRED_BYTES or body[:64].lstrip(_BYTES_BEFORE_JSON)[:1] not in {b"{", b"["}:
        raise rejection
    text = _SURROGATES.sub(_replace_half_pair, body.decode("utf-8-sig", "replace"))
    if text.count("[") + text.count("{") > _MAX_DEPTH:
        text = _flatten(text)
    try:
        data = _LENIENT_DECODER.decode(text)
        if text.count("[") + text.count("{") > _MAX_DEPTH:
            _require_shallow(data)
    except (ValueError, RecursionError):
        raise rejection from None
    return data


# Matches the `\uXXXX` escapes of a complete surrogate pair, or of half a pair. Group 2 is the complete pair,
# or None for half a pair. Group 1 contains the escaped backslashes before the match.
_SURROGATES = re.compile(
    r"(?<!\\)((?:\\\\)*+)(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def _replace_half_pair(match: re.Match[str]) -> str:
    """Return the replacement for a match of `_SURROGATES`: the same text, or U+FFFD for half a pair."""
    return match[0] if match[2] else rf"{match[1]}\ufffd"


def _finite_or_text(digits: str) -> float | str:
    """Convert the text of a number to a float, or return the text when the number is too large."""
    number = float(digits)
    return digits if math.isinf(number) else number


def _int_or_text(digits: str) -> int | float | str:
    """Convert the text of an integer to a number, or return the text when it is too large for a float."""
    return _bounded_int(digits) if len(digits) < 21 else _finite_or_text(digits)


_LENIENT_DECODER = json.JSONDecoder(
    parse_constant=str, parse_int=_int_or_text, parse_float=_finite_or_text, strict=False
)

# Matches a string, or adjacent brackets of one direction (`[[{`). Deep nesting consists of many adjacent
# brackets, so one match covers many levels. A string without an end quote matches up to the end of the text.
# Without this rule, the search would begin again at each quote, and a hostile text could make it slow.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]+|[\]}]+', re.DOTALL)


def _flatten(text: str) -> str:
    """Replace each value below level `_KEPT_LEVELS` in the JSON `text` by text with the JSON of the value.

    The text is returned unchanged when it has more than `_MAX_TOKENS` matches of `_TOKEN`.
    """
    parts: list[str] = []
    depth = 0
    # `parts` already contains the result for the text before this position.
    done = 0
    for count, token in enumerate(_TOKEN.finditer(text)):
        if count > _MAX_TOKENS:
            return text
        length = token.end() - token.start()
        if token[0][0] in "[{":
            if depth <= _KEPT_LEVELS < depth + length:
                value_start = token.start() + _KEPT_LEVELS - depth
                parts.append(text[done:value_start])
                done = value_start
            depth += length
        elif token[0][0] in "]}":
            if depth - length <= _KEPT_LEVELS < depth:
                value_end = token.start() + depth - _KEPT_LEVELS
                parts.append(json.dumps(text[done:value_end]))
                done = value_end
            depth -= length
    return "".join((*parts, text[done:]))
