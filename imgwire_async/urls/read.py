"""Read pairs of a query back: names and texts in, rules as Python values out."""

from __future__ import annotations

from collections.abc import Iterable
from json import JSONDecodeError, JSONDecoder

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.rules import BY_NAME, Rule
from imgwire_async.urls.scalars import InvalidValue, real

_decode = JSONDecoder().decode


def read_pairs(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, object], dict[str, object]]:
    """Return the rules that are known and valid, as Python values, and the rest as text."""
    rules: dict[str, object] = {}
    raw: dict[str, object] = {}
    seen: set[str] = set()
    for name, text in pairs:
        rule = BY_NAME.get(name)
        canonical = name if rule is None else rule.name
        if canonical in seen:
            raise TransformationError([Fault(canonical, text, f"Duplicate transformation rule: {canonical}")])
        seen.add(canonical)
        try:
            rules[canonical] = _value(rule, text)
        except (InvalidValue, UnicodeEncodeError):
            raw[name] = text
    return rules, raw


def _value(rule: Rule | None, text: str) -> object:
    """Return the plainest Python value that is written as this text; the text itself where none is."""
    if rule is None:
        raise InvalidValue("there is no such rule")
    typed = _typed(text, always_text=rule.always_text)
    try:
        if rule.value_type.check(typed) in {text, None}:
            return typed
    except InvalidValue:
        pass
    rule.value_type.check(text)
    return text


def _typed(text: str, *, always_text: bool) -> object:
    if text.startswith("{"):
        try:
            return _decode(text)
        except (JSONDecodeError, RecursionError, ValueError):
            return text
    if always_text:
        return text
    if text in {"true", "false"}:
        return text == "true"
    number = real(text)
    return text if number is None else number
