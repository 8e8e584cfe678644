"""The class `Transformation`: a set of rules that is checked once and used for the URLs of many images."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

import attrs

from imgwire_async.errors import Fault
from imgwire_async.urls.check import (
    CheckedOptions,
    build_query,
    check,
    lacks_source,
    missing_source_faults,
    report,
)
from imgwire_async.urls.conversions import describe_value, is_mapping
from imgwire_async.urls.read import split_pairs
from imgwire_async.urls.rules import RULES_NEEDING_SOURCE

if TYPE_CHECKING:
    from typing import Any, Unpack

    from imgwire_async.urls.types import OnInvalid, Options, Preset, Rules


def check_options(
    options: object,
    preset: object,
    raw: Mapping[str, object] | None,
    rules: Mapping[str, object],
    on_invalid: str,
) -> CheckedOptions:
    """Check the arguments of a call that builds a URL, such as `build_url`.

    The result lists the faults. Only duplicate rules and unknown presets raise an error.
    """
    if options is None:
        return check(rules.items(), presets=(preset,), raw=raw, on_invalid=on_invalid)
    if isinstance(options, Transformation):
        return check(
            rules.items(),
            presets=(options.preset, preset),
            raw=raw,
            checked_pairs=dict(options.pairs),
            on_invalid=on_invalid,
        )
    if is_mapping(options):
        given = chain(options.items(), rules.items())
        return check(given, presets=(preset,), raw=raw, on_invalid=on_invalid)
    raise TypeError(f"options must be a mapping or a Transformation, not {describe_value(options)}")


def check_and_report(
    options: object,
    preset: object,
    raw: Mapping[str, object] | None,
    rules: Mapping[str, object],
    on_invalid: str,
) -> CheckedOptions:
    """Check the arguments of a call that builds a URL, and raise, log or ignore all faults.

    `on_invalid` decides what happens to the faults. A watermark rule without a watermark is a fault, too.
    """
    checked = check_options(options, preset, raw, rules, on_invalid)
    faults = [*checked.faults, *missing_source_faults(checked)]
    if faults:
        report(faults, on_invalid)
    return checked


@attrs.frozen(init=False, repr=False)
class Transformation:
    """A preset and checked rules, to be used for the URLs of many images. It is immutable and hashable.

    `image.url(thumb)` builds the URL of an image with the transformation `thumb`.
    `thumb | Transformation(quality=80)` combines two transformations. Two transformations are equal when
    their `preset` and `pairs` are equal.

    `pairs` contains the (name, percent-encoded value) pairs of the URL, sorted by name. `query` has the same
    pairs as one string. `faults` lists the invalid options that were left out because `on_invalid` was not
    "raise". Copies and pickles have no faults. `orphans` has a `Fault` for each rule that needs a watermark,
    such as `watermark_position`, when there is no watermark yet. A transformation may have such rules, but
    building a URL from it reports them as faults.

    Args:
        options: A `Transformation`, or a mapping of rule names to values, as in `build_url`.
        preset: As in `build_url`.
        on_invalid: As in `build_url`.
        raw: As in `build_url`.
        **rules: Rules by name or alias, as in `build_url`.
    """

    preset: str | None
    pairs: tuple[tuple[str, str], ...]
    faults: tuple[Fault, ...] = attrs.field(eq=False)
    query: str = attrs.field(eq=False)
    orphans: tuple[Fault, ...] = attrs.field(eq=False)

    def __init__(
        self,
        options: Options = None,
        /,
        *,
        preset: Preset | None = None,
        on_invalid: OnInvalid = "raise",
        raw: Mapping[str, object] | None = None,
        **rules: Unpack[Rules],
    ) -> None:
        checked = check_options(options, preset, raw, rules, on_invalid)
        report(checked.faults, on_invalid)
        _set_fields(self, checked)

    @property
    def rules(self) -> dict[str, object]:
        """The rules: a dict that maps names, as in the URL, to Python values."""
        return self._read()[0]

    @property
    def raw(self) -> dict[str, object]:
        """The rules that this version does not know or would reject: a dict that maps names to text."""
        return self._read()[1]

    def _read(self) -> tuple[dict[str, object], dict[str, object]]:
        from urllib.parse import unquote_plus

        return split_pairs([(name, unquote_plus(text)) for name, text in self.pairs])

    def __or__(self, other: Transformation | Mapping[str, object]) -> Transformation:
        """Return a transformation with the rules of both operands.

        When both have a rule or a preset, the result has that of `other`, the right operand.
        """
        right = _as_transformation(other)
        if right is None:
            return NotImplemented
        return from_pairs(right.preset or self.preset, (*self.pairs, *right.pairs))

    def __repr__(self) -> str:
        rules, raw = self._read()
        parts = [f"{name.replace('-', '_')}={value!r}" for name, value in rules.items()]
        parts[:0] = [f"preset={self.preset!r}"] if self.preset else []
        parts += [f"raw={raw!r}"] if raw else []
        return f"Transformation({', '.join(parts)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return from_pairs, (self.preset, self.pairs)


def _as_transformation(other: object) -> Transformation | None:
    if isinstance(other, Transformation):
        return other
    return Transformation(other) if is_mapping(other) else None


def _set_fields(transformation: Transformation, checked: CheckedOptions) -> None:
    pairs = checked.pairs
    fields = {
        "preset": checked.preset,
        "pairs": tuple(sorted(pairs.items())),
        "faults": tuple(checked.faults),
        "query": build_query(pairs),
        "orphans": tuple(missing_source_faults(checked)),
    }
    for name, value in fields.items():
        # The class is frozen, so a normal assignment would raise.
        object.__setattr__(transformation, name, value)


def from_checked(checked: CheckedOptions) -> Transformation:
    """Create a transformation from checked options."""
    transformation = Transformation.__new__(Transformation)
    _set_fields(transformation, checked)
    return transformation


def complete_transformation(
    *,
    preset: Preset | None = None,
    on_invalid: OnInvalid = "raise",
    raw: Mapping[str, object] | None = None,
    **rules: Unpack[Rules],
) -> Transformation:
    """Create a transformation from rules, and treat the same options as faults as `build_url`.

    Unlike this function, `Transformation(...)` accepts a watermark rule such as `watermark_position` without
    a watermark, because the user may add the watermark with `|` later. Here such a rule is a fault. If
    `on_invalid` is not "raise", the rule is left out.
    """
    checked = check_and_report(None, preset, raw, rules, on_invalid)
    if lacks_source(checked.pairs):
        checked.pairs = {
            name: text for name, text in checked.pairs.items() if name not in RULES_NEEDING_SOURCE
        }
    return from_checked(checked)


def from_pairs(preset: str | None, pairs: tuple[tuple[str, str], ...]) -> Transformation:
    """Create a transformation from (name, encoded value) pairs that were checked before.

    When a name occurs several times, its last pair is used. Raises `TransformationError` when the pairs have
    more than one watermark, such as `watermark` and `watermark_text`.
    """
    checked = check((), presets=(preset,), checked_pairs=dict(pairs))
    report(checked.faults, "raise")
    return from_checked(checked)
