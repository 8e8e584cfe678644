"""Check the options of a call that builds a URL.

First the names, presets and duplicates are checked, then the values. At the end come the rules that depend on
other rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

import attrs

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.colors import numbers_as_text
from imgwire_async.urls.conversions import (
    InvalidValue,
    as_builtin,
    as_text,
    describe_value,
    is_list,
    is_mapping,
    nearest,
)
from imgwire_async.urls.encoding import encode
from imgwire_async.urls.literals import ON_INVALID_MODES, PRESETS
from imgwire_async.urls.rules import RULE_BY_NAME, RULES_NEEDING_SOURCE, SOURCE_RULES, SUGGESTED_NAMES, Rule
from imgwire_async.urls.scalars import ValueType


@attrs.define
class CheckedOptions:
    """The options of a call after their check.

    `pairs` maps the names of valid rules to percent-encoded values. `faults` lists the invalid options, which
    are not in `pairs`. `given` has all options: it maps the name of each rule to the name that the caller
    used, the value, and the `Rule`, which is None for raw rules.
    """

    preset: str | None
    pairs: dict[str, str]
    faults: list[Fault]
    given: Mapping[str, tuple[str, object, Rule | None]]


def check(
    given: Iterable[tuple[object, object]],
    *,
    presets: Iterable[object] = (),
    raw: Mapping[str, object] | None = None,
    checked_pairs: Mapping[str, str] | None = None,
    on_invalid: str = "raise",
) -> CheckedOptions:
    """Check the (name, value) options in `given` and the raw rules in `raw`, and encode the valid ones.

    `checked_pairs` contains pairs that were checked and encoded before. They become part of the result.

    Duplicate rules and unknown presets raise `TransformationError` for every value of `on_invalid`. If
    `on_invalid` is "raise", this error also contains all other faults. Otherwise it is raised before any
    value is checked. Without duplicates and unknown presets nothing is raised, and the result lists the
    faults.

    [rules 2]
    """
    check_on_invalid(on_invalid)
    state = _OptionsCheck(strict=on_invalid != "omit", pairs=dict(checked_pairs or ()), presets=list(presets))
    state.add_rules(given)
    if raw is not None:
        state.add_raw(raw)
    preset = state.check_presets()
    if state.fatal_faults and on_invalid != "raise":
        raise TransformationError([*state.fatal_faults.values()])
    state.check_values()
    state.keep_one_source()
    if state.fatal_faults:
        raise TransformationError([*state.fatal_faults.values(), *state.faults])
    return CheckedOptions(preset, state.pairs, state.faults, state.given)


def check_on_invalid(on_invalid: str) -> None:
    """Raise `ValueError` unless `on_invalid` is "raise", "warn" or "omit"."""
    if on_invalid not in ON_INVALID_MODES:
        raise ValueError(
            f"on_invalid must be one of {', '.join(ON_INVALID_MODES)}, not {describe_value(on_invalid)}"
        )


@attrs.define
class _OptionsCheck:
    """One run of `check`: the options added so far, and their faults.

    With `strict`, faults get suggestions, for which a slow search is needed. Without `strict`, an integer
    such as 112233 is accepted as a colour, as the official SDKs do. The faults in `fatal_faults` raise an
    error for every value of `on_invalid`.
    """

    strict: bool
    pairs: dict[str, str]
    presets: list[object]
    given: dict[str, tuple[str, object, Rule | None]] = attrs.field(factory=dict)
    faults: list[Fault] = attrs.field(factory=list)
    fatal_faults: dict[str, Fault] = attrs.field(factory=dict)

    def add_rules(self, given: Iterable[tuple[object, object]]) -> None:
        """Add options by rule name or alias. An unknown name is a fault."""
        for name, value in given:
            if type(name) is not str:
                name = _name_text(name)
            rule = RULE_BY_NAME.get(name)
            if rule is not None:
                self._add(rule.name, name, value, rule)
            elif name == "preset":
                self.presets.append(value)
            else:
                suggestion = (
                    (SUGGESTED_NAMES.get(name) or nearest(name, RULE_BY_NAME)) if self.strict else None
                )
                self.faults.append(Fault(name, value, "there is no such rule", suggestion))

    def add_raw(self, raw: Mapping[str, object]) -> None:
        """Add raw rules, which are encoded but not checked.

        A raw rule may have the name of a known rule. This name is used to find duplicates only.
        """
        for name, value in raw.items():
            if type(name) is not str or not name:
                self.faults.append(Fault(_name_text(name), value, "the name of a raw rule must be text"))
                continue
            rule = RULE_BY_NAME.get(name)
            self._add(name if rule is None else rule.name, name, value, None)

    def _add(self, canonical: str, name: str, value: object, rule: Rule | None) -> None:
        if canonical in self.given or (self.pairs and canonical in self._checked_names()):
            # The message is that of the official Python SDK, so that a web search finds advice. [rules 2]
            self.fatal_faults[canonical] = Fault(
                canonical, value, f"Duplicate transformation rule: {canonical}"
            )
        else:
            self.given[canonical] = name, value, rule

    def _checked_names(self) -> set[str]:
        return {RULE_BY_NAME[name].name if name in RULE_BY_NAME else name for name in self.pairs}

    def check_presets(self) -> str | None:
        """Return the preset, or None when no preset was given.

        An unknown preset, and two different presets, are faults that always raise an error.
        """
        result: str | None = None
        for value in self.presets:
            preset = _builtin_or_none(value)
            if value is None:
                continue
            if type(preset) is not str or preset not in PRESETS:
                suggestion = nearest(preset, PRESETS) if type(preset) is str else None
                reason = f"{describe_value(value)} is not one of {', '.join(PRESETS)}"
                self.fatal_faults["preset"] = Fault("preset", value, reason, suggestion)
            elif result is not None and result != preset:
                self.fatal_faults["preset"] = Fault("preset", value, f"given twice: {result} and {preset}")
            else:
                result = preset
        return result

    def check_values(self) -> None:
        """Check all values. Add a pair for each valid value, and a fault for each invalid value."""
        for canonical, (name, value, rule) in self.given.items():
            if canonical in self.fatal_faults:
                continue
            try:
                if rule is None:
                    encode(name)
                    self.pairs[name] = encode(_raw_text(value))
                    continue
                text = (
                    rule.value_type.check(value) if self.strict else _check_leniently(rule.value_type, value)
                )
                if text is not None:
                    self.pairs[canonical] = encode(text)
            except InvalidValue as error:
                suggestion = error.suggestion if self.strict else None
                self.faults.append(Fault(name, value, str(error), suggestion))
            except UnicodeEncodeError:
                self.faults.append(
                    Fault(name, value, "it contains a lone surrogate, which cannot be encoded in a URL")
                )
            except Exception as error:  # noqa: BLE001 - a user's type may raise any error, e.g. in __index__
                self.faults.append(Fault(name, value, f"reading the value raised {type(error).__name__}"))

    def keep_one_source(self) -> None:
        """Keep one of the rules `watermark`, `watermark_text` and `watermark_url`. The others are faults.

        [rules 9 C2]
        """
        sources = [name for name in SOURCE_RULES if name in self.pairs]
        for name in sources[1:]:
            text = self.pairs.pop(name)
            option, value, _ = self.given.get(name, (name, text, None))
            self.faults.append(Fault(option, value, f"only one watermark source is used, here {sources[0]}"))


def _check_leniently(value_type: ValueType, value: object) -> str | None:
    """Return the text of a value as `value_type.check` does, but also accept `112233` as the colour "112233".

    This is the behaviour of the official SDKs.
    """
    try:
        return value_type.check(value)
    except InvalidValue:
        with suppress(InvalidValue):
            return value_type.check(numbers_as_text(value))
        raise


def _builtin_or_none(value: object) -> object:
    try:
        return as_builtin(value)
    except Exception:  # noqa: BLE001 - a user's type may raise any error; such a value is no preset and no name
        return None


def _name_text(name: object) -> str:
    text = _builtin_or_none(name)
    return text if type(text) is str else describe_value(name)


def _raw_text(value: object) -> str:
    """Return the text of the value of a raw rule. Mappings and lists are written as JSON."""
    value = as_builtin(value)
    if type(value) is str:
        return value
    if is_mapping(value) or is_list(value):
        import json

        data = dict(value) if is_mapping(value) else value
        return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return as_text(value)


def lacks_source(pairs: Mapping[str, str]) -> bool:
    """Return whether `pairs` has rules such as `watermark_position`, but no watermark.

    [rules 9 C1]
    """
    return not RULES_NEEDING_SOURCE.isdisjoint(pairs) and not any(name in pairs for name in SOURCE_RULES)


def missing_source_faults(checked: CheckedOptions) -> list[Fault]:
    """Return a fault for each rule, such as `watermark_position`, that needs a watermark when there is none.

    The list is empty when the caller gave an invalid watermark, because this option has a fault already.

    [rules 9 C1]
    """
    pairs = checked.pairs
    if RULES_NEEDING_SOURCE.isdisjoint(pairs) or any(
        name in pairs or name in checked.given for name in SOURCE_RULES
    ):
        return []
    options = [
        checked.given.get(name, (name, pairs[name], None))
        for name in sorted(RULES_NEEDING_SOURCE & pairs.keys())
    ]
    return [Fault(name, value, f"it needs a source: {', '.join(SOURCE_RULES)}") for name, value, _ in options]


def report(faults: list[Fault], on_invalid: str) -> None:
    """Raise the faults in one error, log them or ignore them: `on_invalid` is "raise", "warn" or "omit"."""
    if not faults or on_invalid == "omit":
        return
    if on_invalid == "raise":
        raise TransformationError(faults)
    # The import is slow, and few calls need it.
    from imgwire_async.logs import logger

    logger.getChild("urls").warning(
        "rules left out of an image URL: %s", "; ".join([str(fault) for fault in faults])
    )


def build_query(pairs: Mapping[str, str]) -> str:
    """Join (name, encoded value) pairs to a query, sorted by name.

    Rules that need a watermark, such as `watermark_position`, are left out when there is no watermark.

    [rules 3, 9 C1]
    """
    excluded = RULES_NEEDING_SOURCE if lacks_source(pairs) else ()
    return "&".join(
        [
            f"{name if name in RULE_BY_NAME else encode(name)}={text}"
            for name, text in sorted(pairs.items())
            if name not in excluded
        ]
    )
