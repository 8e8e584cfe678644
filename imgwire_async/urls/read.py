"""Convert the (name, text) pairs of a URL's query to rules with Python values."""

from __future__ import annotations

from collections.abc import Iterable
from json import JSONDecodeError, JSONDecoder

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.conversions import InvalidValue, parse_number
from imgwire_async.urls.rules import RULE_BY_NAME, Rule

_decode = JSONDecoder().decode


def split_pairs(pairs: Iterable[tuple[str, str]]) -> tuple[dict[str, object], dict[str, object]]:
    """Split (name, text) pairs into two dicts: valid rules, and all other pairs.

    The first dict maps the names of rules to Python values. The second dict maps names to the unchanged text.
    Raises `TransformationError` when a rule occurs twice.
    """
    rules: dict[str, object] = {}
    raw: dict[str, object] = {}
    seen: set[str] = set()
    for name, text in pairs:
        rule = RULE_BY_NAME.get(name)
        canonical = name if rule is None else rule.name
        if canonical in seen:
            raise TransformationError([Fault(canonical, text, f"Duplicate transformation rule: {canonical}")])
        seen.add(canonical)
        try:
            rules[canonical] = _rule_value(rule, text)
        except (InvalidValue, UnicodeEncodeError):
            raw[name] = text
    return rules, raw


def _rule_value(rule: Rule | None, text: str) -> object:
    """Convert the value of a rule in a URL to a number, boolean or dict.

    Return `text` unchanged if the converted value would be written as another text. Raises `InvalidValue`
    when `rule` is None or does not accept the text.
    """
    if rule is None:
        raise InvalidValue("there is no such rule")
    value = _parse_text(text, always_text=rule.always_text)
    try:
        if rule.value_type.check(value) in {text, None}:
            return value
    except InvalidValue:
        pass
    rule.value_type.check(text)
    return text


def _parse_text(text: str, *, always_text: bool) -> object:
    if text.startswith("{"):
        try:
            return _decode(text)
        except (JSONDecodeError, RecursionError, ValueError):
            return text
    if always_text:
        return text
    if text in {"true", "false"}:
        return text == "true"
    number = parse_number(text)
    return text if number is None else number
