"""A set of rules that is checked once and used for the URLs of many images."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

import attrs

from imgwire_async.errors import Fault
from imgwire_async.urls.check import Checked, build_query, check, lacks_source, missing_source_faults, report
from imgwire_async.urls.conversions import for_message, is_mapping
from imgwire_async.urls.read import read_pairs
from imgwire_async.urls.rules import NEED_SOURCE

if TYPE_CHECKING:
    from typing import Any, Unpack

    from imgwire_async.urls.types import OnInvalid, Options, Preset, Rules


def check_call(
    options: object,
    preset: object,
    raw: Mapping[str, object] | None,
    rules: Mapping[str, object],
    on_invalid: str,
) -> Checked:
    """Check the arguments of one call. `options` is a mapping, a `Transformation` or None."""
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
    raise TypeError(f"options must be a mapping or a Transformation, not {for_message(options)}")


def check_complete(
    options: object,
    preset: object,
    raw: Mapping[str, object] | None,
    rules: Mapping[str, object],
    on_invalid: str,
) -> Checked:
    """Check the arguments of one call and report all faults, missing watermark sources included."""
    checked = check_call(options, preset, raw, rules, on_invalid)
    faults = [*checked.faults, *missing_source_faults(checked)]
    if faults:
        report(faults, on_invalid)
    return checked


@attrs.frozen(init=False, repr=False)
class Transformation:
    """A preset and checked rules, immutable and hashable. Use it as the options of many URLs.

    `image.url(thumb)` applies it, `thumb | Transformation(quality=80)` combines two of them. Two
    transformations are equal when their presets and pairs are equal.

    `pairs` holds (name in the URL, encoded text) pairs, sorted by name. `faults` lists the options that were
    left out because `on_invalid` was not "raise"; copies and pickles do not keep it. `orphans` lists
    watermark rules, such as a position, without a watermark source: they are allowed here, but a URL cannot
    be built from them alone.

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
        checked = check_call(options, preset, raw, rules, on_invalid)
        report(checked.faults, on_invalid)
        _set_fields(self, checked)

    @property
    def rules(self) -> dict[str, object]:
        """The rules as Python values, by their names in the URL."""
        return self._read()[0]

    @property
    def raw(self) -> dict[str, object]:
        """The raw pairs, which were not checked, as text."""
        return self._read()[1]

    def _read(self) -> tuple[dict[str, object], dict[str, object]]:
        from urllib.parse import unquote_plus

        return read_pairs([(name, unquote_plus(text)) for name, text in self.pairs])

    def __or__(self, other: Transformation | Mapping[str, object]) -> Transformation:
        """Combine two sets of rules. The right operand takes precedence."""
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


def _set_fields(transformation: Transformation, checked: Checked) -> None:
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


def from_checked(checked: Checked) -> Transformation:
    """Create a transformation from the result of a check."""
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
    """Create a transformation that must be complete, and report the same faults as `build_url`.

    A plain `Transformation` may lack a watermark source, because another one may add it later. Here a missing
    source is a fault, and the rules that depend on it are left out.
    """
    checked = check_complete(None, preset, raw, rules, on_invalid)
    if lacks_source(checked.pairs):
        checked.pairs = {name: text for name, text in checked.pairs.items() if name not in NEED_SOURCE}
    return from_checked(checked)


def from_pairs(preset: str | None, pairs: tuple[tuple[str, str], ...]) -> Transformation:
    """Create a transformation from pairs that were checked before. The last pair of a name takes precedence.

    Raises `TransformationError` for two watermark sources.
    """
    checked = check((), presets=(preset,), checked_pairs=dict(pairs))
    report(checked.faults, "raise")
    return from_checked(checked)
