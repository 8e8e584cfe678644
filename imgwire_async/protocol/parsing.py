"""JSON without orjson, and JSON that is odd in places: what both readers refuse for one value is repaired at that value.

The strict reader gives and refuses what orjson does. `loads_repaired` reads what they refused, and costs nothing before.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, NoReturn, cast

_DEEPEST = 1024  # orjson's own limit

# --- as orjson does ---------------------------------------------------------------------------------------------------


def loads_strictly(body: bytes) -> Any:
    """Return parsed JSON, read by the standard library as strictly as orjson reads it. Raises `ValueError`."""
    try:
        data = _PLAIN.decode(body.decode("utf-8"))
        # The standard library is more patient in these two: half a surrogate pair is no text, a tower of brackets no answer.
        if b"\\ud" in body or b"\\uD" in body:
            json.dumps(data, ensure_ascii=False).encode()
        if body.count(b"[") + body.count(b"{") > _DEEPEST:
            _require_shallow(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return data


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _bounded_int(digits: str) -> int | float:
    if len(digits) < 19:
        return int(digits)
    return number if len(digits) < 21 and -(2**63) <= (number := int(digits)) < 2**64 else _finite(digits)


def _require_shallow(data: object) -> None:
    level = list(_containers([data]))
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _containers(each)]
    if level:
        raise ValueError("nested too deeply")


def _containers(value: Any) -> Iterator[object]:
    inside: Iterable[object] = cast("dict[str, object]", value).values() if isinstance(value, dict) else value
    for each in inside:
        if isinstance(each, list | dict):
            yield cast("object", each)


_PLAIN = json.JSONDecoder(parse_constant=_no_constant, parse_int=_bounded_int, parse_float=_finite)

# --- repaired ---------------------------------------------------------------------------------------------------------

# Bytes, and brackets with texts. Larger bodies stay refused: the loop stands still meanwhile, up to half a second per MiB.
REPAIRABLE = 1024 * 1024
_MOST_MARKS = 100_000
_BEFORE = b"\xef\xbb\xbf \t\r\n"  # what may stand before JSON, a byte order mark included
# Levels that stay when something is nested too deeply: enough for any record, and for whatever walks through it later.
_FLAT = 64


def loads_repaired(body: bytes, refusal: ValueError) -> Any:
    """Return parsed JSON of a `body` that was refused, each odd value repaired. Raises `refusal` if it is no JSON all the same.

    Bytes that are no UTF-8 and halves of surrogate pairs become U+FFFD. `NaN`, `Infinity` and numbers beyond what a float
    holds become text, as does JSON that is nested too deeply, from level 64 on. A byte order mark is skipped, control
    characters in texts are taken.
    """
    if len(body) > REPAIRABLE or body[:64].lstrip(_BEFORE)[:1] not in {b"{", b"["}:
        raise refusal
    text = _HALF_PAIR.sub(_whole_pair, body.decode("utf-8-sig", "replace"))
    if text.count("[") + text.count("{") > _DEEPEST:
        text = _flattened(text)
    try:
        data = _PATIENT.decode(text)
        if text.count("[") + text.count("{") > _DEEPEST:
            _require_shallow(data)
    except (ValueError, RecursionError):
        raise refusal from None
    return data


# A pair, or a half; the backslashes before it are whole escapes.
_HALF_PAIR = re.compile(
    r"(?<!\\)((?:\\\\)*+)(?:(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2})"
)


def _whole_pair(found: re.Match[str]) -> str:
    return found[0] if found[2] else rf"{found[1]}\ufffd"


def _finite_or_text(digits: str) -> float | str:
    number = float(digits)
    return digits if math.isinf(number) else number


def _int_or_text(digits: str) -> int | float | str:
    return _bounded_int(digits) if len(digits) < 21 else _finite_or_text(digits)


_PATIENT = json.JSONDecoder(
    parse_constant=str, parse_int=_int_or_text, parse_float=_finite_or_text, strict=False
)

# A text without end reaches the end, so that none is read twice. Brackets come in runs, since towers are made of them.
_MARK = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[\[{]+|[\]}]+', re.DOTALL)


def _flattened(text: str) -> str:
    """Return the JSON `text` with everything below the last level that stays as text of JSON; unchanged if there is too much."""
    pieces: list[str] = []
    depth = kept = 0
    for count, mark in enumerate(_MARK.finditer(text)):
        if count > _MOST_MARKS:
            return text
        run = mark.end() - mark.start()
        if mark[0][0] in "[{":
            if depth <= _FLAT < depth + run:
                below = mark.start() + _FLAT - depth
                pieces.append(text[kept:below])
                kept = below
            depth += run
        elif mark[0][0] in "]}":
            if depth - run <= _FLAT < depth:
                above = mark.start() + depth - _FLAT
                pieces.append(json.dumps(text[kept:above]))
                kept = above
            depth -= run
    return "".join((*pieces, text[kept:]))
