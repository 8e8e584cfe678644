"""`Transformation`: rules that are checked once and put on many images."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from typing import TYPE_CHECKING

import attrs

from imgwire_async.errors import Fault
from imgwire_async.urls.check import Checked, check, lacks_source, missing_source_faults, query_of, report
from imgwire_async.urls.read import read_pairs
from imgwire_async.urls.rules import DEPENDENTS
from imgwire_async.urls.scalars import for_message, is_mapping

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
    """Check the arguments of one call: options (a mapping or a `Transformation`), a preset, raw pairs and keywords."""
    if options is None:
        return check(rules.items(), presets=(preset,), raw=raw, on_invalid=on_invalid)
    if isinstance(options, Transformation):
        return check(
            rules.items(),
            presets=(options.preset, preset),
            raw=raw,
            taken=dict(options.pairs),
            on_invalid=on_invalid,
        )
    if is_mapping(options):
        given = chain(options.items(), rules.items())
        return check(given, presets=(preset,), raw=raw, on_invalid=on_invalid)
    raise TypeError(f"options are a mapping or a Transformation, not {for_message(options)}")


def check_complete(
    options: object,
    preset: object,
    raw: Mapping[str, object] | None,
    rules: Mapping[str, object],
    on_invalid: str,
) -> Checked:
    """Check the arguments of one call and report all faults, also those of rules without their watermark source."""
    checked = check_call(options, preset, raw, rules, on_invalid)
    faults = [*checked.faults, *missing_source_faults(checked)]
    if faults:
        report(faults, on_invalid)
    return checked


@attrs.frozen(init=False, repr=False)
class Transformation:
    """Checked rules and a preset, immutable: `image.url(thumb)`, `thumb | Transformation(quality=80)`.

    Takes what `build_url` takes. `pairs` are (name in the URL, encoded text), sorted by name; `faults` what was left out
    when `on_invalid` is not "raise" (copies and pickles leave it behind). Equal when preset and pairs are equal.
    A watermark's position, size, ... may be prepared without its source; building a URL from that alone is a fault.
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
        _fill(self, checked)

    @property
    def rules(self) -> dict[str, object]:
        """The rules as Python values, by their names in the URL; good as options again."""
        return self._read()[0]

    @property
    def raw(self) -> dict[str, object]:
        """The raw pairs."""
        return self._read()[1]

    def _read(self) -> tuple[dict[str, object], dict[str, object]]:
        from urllib.parse import unquote_plus

        return read_pairs([(name, unquote_plus(text)) for name, text in self.pairs])

    def __or__(self, other: Transformation | Mapping[str, object]) -> Transformation:
        """Both together; where both have a rule or preset, the right one's."""
        right = _transformation(other)
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


def _transformation(other: object) -> Transformation | None:
    if isinstance(other, Transformation):
        return other
    return Transformation(other) if is_mapping(other) else None


def _fill(made: Transformation, checked: Checked) -> None:
    pairs = checked.pairs
    fields = {
        "preset": checked.preset,
        "pairs": tuple(sorted(pairs.items())),
        "faults": tuple(checked.faults),
        "query": query_of(pairs),
        "orphans": tuple(missing_source_faults(checked)),
    }
    for name, value in fields.items():
        object.__setattr__(made, name, value)  # the class is frozen


def from_checked(checked: Checked) -> Transformation:
    """Return a transformation of what was checked already."""
    made = Transformation.__new__(Transformation)
    _fill(made, checked)
    return made


def complete_transformation(
    *,
    preset: Preset | None = None,
    on_invalid: OnInvalid = "raise",
    raw: Mapping[str, object] | None = None,
    **rules: Unpack[Rules],
) -> Transformation:
    """Return a transformation from which every URL can be built; report all faults now that `build_url` would report.

    A plain `Transformation` may lack its watermark source, which may be added later. Here that is a fault, and the
    rules without their source are left out.
    """
    checked = check_complete(None, preset, raw, rules, on_invalid)
    if lacks_source(checked.pairs):
        checked.pairs = {name: text for name, text in checked.pairs.items() if name not in DEPENDENTS}
    return from_checked(checked)


def from_pairs(preset: str | None, pairs: tuple[tuple[str, str], ...]) -> Transformation:
    """Return a transformation of pairs that were checked before; of equal names the last counts.

    Two watermark sources are a fault.
    """
    checked = check((), presets=(preset,), taken=dict(pairs))
    report(checked.faults, "raise")
    return from_checked(checked)
