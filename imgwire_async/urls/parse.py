"""The way back: from a URL to its base, preset and rules."""

from __future__ import annotations

from collections.abc import Iterable
from json import JSONDecodeError, JSONDecoder
from typing import TYPE_CHECKING

import attrs

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.encoding import cut, has_path
from imgwire_async.urls.rules import BY_NAME, Rule
from imgwire_async.urls.scalars import Refused, real
from imgwire_async.urls.words import PRESETS

if TYPE_CHECKING:
    from imgwire_async.urls.transformation import Transformation

_decode = JSONDecoder().decode


@attrs.frozen
class ParsedUrl:
    """The parts of an image URL.

    `base` is the `cdn_url` (a fragment included), `rules` are Python values by their names in the URL, `raw` what this
    version does not know or would refuse. `build_url(base, rules, preset=preset, raw=raw)` gives the URL again.
    """

    base: str
    preset: str | None
    rules: dict[str, object] = attrs.field(hash=False)
    raw: dict[str, object] = attrs.field(hash=False)

    @property
    def transformation(self) -> Transformation:
        """Preset, rules and raw pairs, ready for another image."""
        from imgwire_async.urls.transformation import Transformation

        return Transformation(self.rules | {"preset": self.preset}, raw=self.raw)


def parse_url(url: str) -> ParsedUrl:
    """Return the base, preset and rules of an image URL, the way back from `build_url`.

    Raises `TransformationError` when a rule stands in it twice, as the CDN refuses that. [rules 1-3]
    """
    from urllib.parse import parse_qsl

    base, query, fragment = cut(url)
    path, _, name = base.rpartition("@")
    preset = name if name in PRESETS and has_path(path) else None
    rules, raw = read_pairs(parse_qsl(query, keep_blank_values=True))
    return ParsedUrl((base if preset is None else path) + fragment, preset, rules, raw)


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
