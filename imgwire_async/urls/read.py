"""Read pairs of a query back: names and texts in, rules as Python values out."""

from __future__ import annotations

from collections.abc import Iterable
from json import JSONDecodeError, JSONDecoder

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.rules import BY_NAME, Rule
from imgwire_async.urls.scalars import Refused, real

_decode = JSONDecoder().decode


def read_pairs(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, object], dict[str, object]]:
    """The rules that are known and valid, as Python values, and the rest as text."""
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
        except (Refused, UnicodeEncodeError):
            raw[name] = text
    return rules, raw


def _value(rule: Rule | None, text: str) -> object:
    """The plainest Python value that gives this text again; the text itself where none does."""
    if rule is None:
        raise Refused("there is no such rule")
    typed = _typed(text, literal=rule.literal)
    try:
        if rule.kind.check(typed) in {text, None}:
            return typed
    except Refused:
        pass
    rule.kind.check(text)
    return text


def _typed(text: str, *, literal: bool) -> object:
    if text.startswith("{"):
        try:
            return _decode(text)
        except (JSONDecodeError, RecursionError, ValueError):
            return text
    if literal:
        return text
    if text in {"true", "false"}:
        return text == "true"
    number = real(text)
    return text if number is None else number
