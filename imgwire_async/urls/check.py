"""Check the options of a call: names, presets and duplicates first, then values, then what rules mean to each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress

import attrs

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.colors import numbers_as_text
from imgwire_async.urls.encoding import encode
from imgwire_async.urls.literals import MODES, PRESETS
from imgwire_async.urls.rules import BY_NAME, DEPENDENTS, HINTS, SOURCES, Rule
from imgwire_async.urls.scalars import (
    InvalidValue,
    ValueType,
    as_text,
    for_message,
    is_list,
    is_mapping,
    nearest,
    plain,
)


@attrs.define
class Checked:
    """Result of a check: the preset, pairs of name and encoded text, and the faults of what had to be left out.

    `given` holds the names and values as they were written, by the canonical name.
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
    taken: Mapping[str, str] | None = None,
    on_invalid: str = "raise",
) -> Checked:
    """Check (name, value) pairs and `raw` ones, in addition to `taken`, pairs that were checked before.

    Duplicates and unknown presets raise in every mode, before any value is looked at. [rules 2] When `on_invalid` is
    "raise" all other faults are raised with them; else they are only listed.
    """
    check_mode(on_invalid)
    call = _Call(explain=on_invalid != "omit", pairs=dict(taken or ()), presets=list(presets))
    call.take_names(given)
    if raw is not None:
        call.take_raw(raw)
    preset = call.one_preset()
    if call.fatal and on_invalid != "raise":
        raise TransformationError([*call.fatal.values()])
    call.check_values()
    call.choose_source()
    if call.fatal:
        raise TransformationError([*call.fatal.values(), *call.faults])
    return Checked(preset, call.pairs, call.faults, call.chosen)


def check_mode(on_invalid: str) -> None:
    """Raise `ValueError` unless `on_invalid` is "raise", "warn" or "omit"."""
    if on_invalid not in MODES:
        raise ValueError(f"on_invalid is one of {', '.join(MODES)}, not {for_message(on_invalid)}")


@attrs.define
class _Call:
    """State of one check: the options read so far, and their faults."""

    explain: bool  # whether to look for suggestions, which is slow
    pairs: dict[str, str]
    presets: list[object]
    chosen: dict[str, tuple[str, object, Rule | None]] = attrs.field(factory=dict)
    faults: list[Fault] = attrs.field(factory=list)
    fatal: dict[str, Fault] = attrs.field(factory=dict)  # errors in every mode

    def take_names(self, given: Iterable[tuple[object, object]]) -> None:
        for name, value in given:
            if type(name) is not str:
                name = _name_text(name)
            rule = BY_NAME.get(name)
            if rule is not None:
                self._choose(rule.name, name, value, rule)
            elif name == "preset":
                self.presets.append(value)
            else:
                hint = (HINTS.get(name) or nearest(name, BY_NAME)) if self.explain else None
                self.faults.append(Fault(name, value, "there is no such rule", hint))

    def take_raw(self, raw: Mapping[str, object]) -> None:
        """Take raw pairs under their own names; a known name counts as its rule for duplicates only."""
        for name, value in raw.items():
            if type(name) is not str or not name:
                self.faults.append(Fault(_name_text(name), value, "the name of a raw rule is text"))
                continue
            rule = BY_NAME.get(name)
            self._choose(name if rule is None else rule.name, name, value, None)

    def _choose(self, canonical: str, name: str, value: object, rule: Rule | None) -> None:
        if canonical in self.chosen or (self.pairs and canonical in self._names_taken()):
            # The wording of the official Python, for those who look for it. [rules 2]
            self.fatal[canonical] = Fault(canonical, value, f"Duplicate transformation rule: {canonical}")
        else:
            self.chosen[canonical] = name, value, rule

    def _names_taken(self) -> set[str]:
        return {BY_NAME[name].name if name in BY_NAME else name for name in self.pairs}

    def one_preset(self) -> str | None:
        found: str | None = None
        for given in self.presets:
            preset = _plain_or_none(given)
            if given is None:
                continue
            if type(preset) is not str or preset not in PRESETS:
                hint = nearest(preset, PRESETS) if type(preset) is str else None
                reason = f"{for_message(given)} is not one of {', '.join(PRESETS)}"
                self.fatal["preset"] = Fault("preset", given, reason, hint)
            elif found is not None and found != preset:
                self.fatal["preset"] = Fault("preset", given, f"given twice: {found} and {preset}")
            else:
                found = preset
        return found

    def check_values(self) -> None:
        for canonical, (name, value, rule) in self.chosen.items():
            if canonical in self.fatal:
                continue
            try:
                if rule is None:
                    encode(name)
                    self.pairs[name] = encode(_raw_text(value))
                    continue
                text = (
                    rule.value_type.check(value)
                    if self.explain
                    else _as_builders_check(rule.value_type, value)
                )
                if text is not None:
                    self.pairs[canonical] = encode(text)
            except InvalidValue as error:
                hint = error.suggestion if self.explain else None
                self.faults.append(Fault(name, value, str(error), hint))
            except UnicodeEncodeError:
                self.faults.append(Fault(name, value, "it holds a lone surrogate, which no URL can"))
            except Exception as error:  # noqa: BLE001 - odd objects raise what they like, e.g. in __str__ or __index__
                self.faults.append(Fault(name, value, f"it cannot be read: {type(error).__name__}"))

    def choose_source(self) -> None:
        """Leave only the first of several watermark sources. [rules 9 C2]"""
        sources = [name for name in SOURCES if name in self.pairs]
        for name in sources[1:]:
            text = self.pairs.pop(name)
            written, value, _ = self.chosen.get(name, (name, text, None))
            self.faults.append(Fault(written, value, f"only one watermark source is used, here {sources[0]}"))


def _as_builders_check(value_type: ValueType, value: object) -> str | None:
    """Return the text of a value as the official builders take it: digits of a colour may be a number, too."""
    try:
        return value_type.check(value)
    except InvalidValue:
        with suppress(InvalidValue):
            return value_type.check(numbers_as_text(value))
        raise


def _plain_or_none(value: object) -> object:
    try:
        return plain(value)
    except Exception:  # noqa: BLE001 - an odd object is no preset and no name, that is all
        return None


def _name_text(name: object) -> str:
    text = _plain_or_none(name)
    return text if type(text) is str else for_message(name)


def _raw_text(value: object) -> str:
    """Return the text of a raw value: text unchanged, numbers and booleans as elsewhere, the rest as JSON."""
    value = plain(value)
    if type(value) is str:
        return value
    if is_mapping(value) or is_list(value):
        import json

        data = dict(value) if is_mapping(value) else value
        return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return as_text(value)


def lacks_source(pairs: Mapping[str, str]) -> bool:
    """Return whether there are rules that do nothing without a watermark source, and no source. [rules 9 C1]"""
    return not DEPENDENTS.isdisjoint(pairs) and not any(name in pairs for name in SOURCES)


def missing_source_faults(checked: Checked) -> list[Fault]:
    """Return the faults of the rules that do nothing without a watermark source. [rules 9 C1]

    There is none when a source was given and refused: that fault says enough.
    """
    pairs = checked.pairs
    if DEPENDENTS.isdisjoint(pairs) or any(name in pairs or name in checked.given for name in SOURCES):
        return []
    written = [
        checked.given.get(name, (name, pairs[name], None)) for name in sorted(DEPENDENTS & pairs.keys())
    ]
    return [Fault(name, value, f"it needs a source: {', '.join(SOURCES)}") for name, value, _ in written]


def report(faults: list[Fault], on_invalid: str) -> None:
    """Raise the faults, log them, or do nothing, as `on_invalid` says."""
    if not faults or on_invalid == "omit":
        return
    if on_invalid == "raise":
        raise TransformationError(faults)
    from imgwire_async.logs import logger  # a page that builds its URLs well does not need it

    logger.getChild("urls").warning(
        "left out of an image URL: %s", "; ".join([str(fault) for fault in faults])
    )


def query_of(pairs: Mapping[str, str]) -> str:
    """Return the query: sorted by name [rules 3], without rules that lack their source."""
    left_out = DEPENDENTS if lacks_source(pairs) else ()
    return "&".join(
        [
            f"{name if name in BY_NAME else encode(name)}={text}"
            for name, text in sorted(pairs.items())
            if name not in left_out
        ]
    )
