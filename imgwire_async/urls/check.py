"""Check the options of a call.

Names, presets and duplicates are checked first, then values, and last the rules that depend on other rules.
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
    for_message,
    is_list,
    is_mapping,
    nearest,
)
from imgwire_async.urls.encoding import encode
from imgwire_async.urls.literals import MODES, PRESETS
from imgwire_async.urls.rules import BY_NAME, NEED_SOURCE, SOURCES, SUGGESTIONS, Rule
from imgwire_async.urls.scalars import ValueType


@attrs.define
class Checked:
    """The result of a check.

    `pairs` maps rule names to percent-encoded texts, `faults` lists the options that were left out. `given`
    maps each canonical name to the name, the value and the rule of the option.
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
) -> Checked:
    """Check the (name, value) pairs in `given` and the pairs in `raw`, and return the valid ones.

    `checked_pairs` holds pairs that were checked before; they become part of the result. Duplicate rules and
    unknown presets raise `TransformationError` in every mode, before any value is checked. The result lists
    all other faults. If this function raises and `on_invalid` is "raise", the error includes the other
    faults.

    [rules 2]
    """
    check_on_invalid(on_invalid)
    state = _CheckState(explain=on_invalid != "omit", pairs=dict(checked_pairs or ()), presets=list(presets))
    state.add_rules(given)
    if raw is not None:
        state.add_raw(raw)
    preset = state.check_presets()
    if state.fatal and on_invalid != "raise":
        raise TransformationError([*state.fatal.values()])
    state.check_values()
    state.keep_one_source()
    if state.fatal:
        raise TransformationError([*state.fatal.values(), *state.faults])
    return Checked(preset, state.pairs, state.faults, state.given)


def check_on_invalid(on_invalid: str) -> None:
    """Raise `ValueError` unless `on_invalid` is "raise", "warn" or "omit"."""
    if on_invalid not in MODES:
        raise ValueError(f"on_invalid must be one of {', '.join(MODES)}, not {for_message(on_invalid)}")


@attrs.define
class _CheckState:
    """The state of one check: the options added so far, and their faults.

    `explain` enables the slow search for suggestions. The faults in `fatal` raise an error in every mode.
    """

    explain: bool
    pairs: dict[str, str]
    presets: list[object]
    given: dict[str, tuple[str, object, Rule | None]] = attrs.field(factory=dict)
    faults: list[Fault] = attrs.field(factory=list)
    fatal: dict[str, Fault] = attrs.field(factory=dict)

    def add_rules(self, given: Iterable[tuple[object, object]]) -> None:
        """Add options by rule name or alias. An unknown name is a fault."""
        for name, value in given:
            if type(name) is not str:
                name = _name_text(name)
            rule = BY_NAME.get(name)
            if rule is not None:
                self._add(rule.name, name, value, rule)
            elif name == "preset":
                self.presets.append(value)
            else:
                suggestion = (SUGGESTIONS.get(name) or nearest(name, BY_NAME)) if self.explain else None
                self.faults.append(Fault(name, value, "there is no such rule", suggestion))

    def add_raw(self, raw: Mapping[str, object]) -> None:
        """Add raw pairs. The name of a known rule is used only to detect duplicates."""
        for name, value in raw.items():
            if type(name) is not str or not name:
                self.faults.append(Fault(_name_text(name), value, "the name of a raw rule must be text"))
                continue
            rule = BY_NAME.get(name)
            self._add(name if rule is None else rule.name, name, value, None)

    def _add(self, canonical: str, name: str, value: object, rule: Rule | None) -> None:
        if canonical in self.given or (self.pairs and canonical in self._checked_names()):
            # The official Python SDK has the same message, so searches for it find this error, too. [rules 2]
            self.fatal[canonical] = Fault(canonical, value, f"Duplicate transformation rule: {canonical}")
        else:
            self.given[canonical] = name, value, rule

    def _checked_names(self) -> set[str]:
        return {BY_NAME[name].name if name in BY_NAME else name for name in self.pairs}

    def check_presets(self) -> str | None:
        """Return the preset, or None. An unknown preset and a second, different preset are fatal faults."""
        result: str | None = None
        for value in self.presets:
            preset = _builtin_or_none(value)
            if value is None:
                continue
            if type(preset) is not str or preset not in PRESETS:
                suggestion = nearest(preset, PRESETS) if type(preset) is str else None
                reason = f"{for_message(value)} is not one of {', '.join(PRESETS)}"
                self.fatal["preset"] = Fault("preset", value, reason, suggestion)
            elif result is not None and result != preset:
                self.fatal["preset"] = Fault("preset", value, f"given twice: {result} and {preset}")
            else:
                result = preset
        return result

    def check_values(self) -> None:
        """Check all values, and add a pair for each valid one and a fault for each invalid one."""
        for canonical, (name, value, rule) in self.given.items():
            if canonical in self.fatal:
                continue
            try:
                if rule is None:
                    encode(name)
                    self.pairs[name] = encode(_raw_text(value))
                    continue
                text = (
                    rule.value_type.check(value) if self.explain else _check_leniently(rule.value_type, value)
                )
                if text is not None:
                    self.pairs[canonical] = encode(text)
            except InvalidValue as error:
                suggestion = error.suggestion if self.explain else None
                self.faults.append(Fault(name, value, str(error), suggestion))
            except UnicodeEncodeError:
                self.faults.append(
                    Fault(name, value, "it contains a lone surrogate, which cannot be encoded in a URL")
                )
            except Exception as error:  # noqa: BLE001 - a user's type may raise any error, e.g. in __index__
                self.faults.append(Fault(name, value, f"reading the value raised {type(error).__name__}"))

    def keep_one_source(self) -> None:
        """Remove all watermark sources but the first.

        [rules 9 C2]
        """
        sources = [name for name in SOURCES if name in self.pairs]
        for name in sources[1:]:
            text = self.pairs.pop(name)
            option, value, _ = self.given.get(name, (name, text, None))
            self.faults.append(Fault(option, value, f"only one watermark source is used, here {sources[0]}"))


def _check_leniently(value_type: ValueType, value: object) -> str | None:
    """Return the text of a value, and accept an integer as the hex digits of a colour.

    The official SDKs accept such integers, too.
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
    return text if type(text) is str else for_message(name)


def _raw_text(value: object) -> str:
    """Return the text of a raw value. Text stays unchanged; mappings and lists are written as JSON."""
    value = as_builtin(value)
    if type(value) is str:
        return value
    if is_mapping(value) or is_list(value):
        import json

        data = dict(value) if is_mapping(value) else value
        return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return as_text(value)


def lacks_source(pairs: Mapping[str, str]) -> bool:
    """Return whether `pairs` has watermark rules, such as a position, but no watermark source.

    [rules 9 C1]
    """
    return not NEED_SOURCE.isdisjoint(pairs) and not any(name in pairs for name in SOURCES)


def missing_source_faults(checked: Checked) -> list[Fault]:
    """Return a fault for each watermark rule that has no effect because there is no watermark source.

    The list is empty when a source was given but invalid, since that source has a fault of its own.

    [rules 9 C1]
    """
    pairs = checked.pairs
    if NEED_SOURCE.isdisjoint(pairs) or any(name in pairs or name in checked.given for name in SOURCES):
        return []
    options = [
        checked.given.get(name, (name, pairs[name], None)) for name in sorted(NEED_SOURCE & pairs.keys())
    ]
    return [Fault(name, value, f"it needs a source: {', '.join(SOURCES)}") for name, value, _ in options]


def report(faults: list[Fault], on_invalid: str) -> None:
    """Raise the faults, log them or ignore them, depending on `on_invalid`."""
    if not faults or on_invalid == "omit":
        return
    if on_invalid == "raise":
        raise TransformationError(faults)
    # Few calls log a fault, and the import is slow.
    from imgwire_async.logs import logger

    logger.getChild("urls").warning(
        "rules left out of an image URL: %s", "; ".join([str(fault) for fault in faults])
    )


def build_query(pairs: Mapping[str, str]) -> str:
    """Join pairs into a query, sorted by name. Watermark rules without a source are left out.

    [rules 3, 9 C1]
    """
    excluded = NEED_SOURCE if lacks_source(pairs) else ()
    return "&".join(
        [
            f"{name if name in BY_NAME else encode(name)}={text}"
            for name, text in sorted(pairs.items())
            if name not in excluded
        ]
    )
