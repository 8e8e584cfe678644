"""Turn breakpoints, widths and densities into the candidates that a page may choose from. [contract 12]"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from imgwire_async.errors import Fault
from imgwire_async.urls.check import check
from imgwire_async.urls.geometry import Size, fitted, pixels, source_size
from imgwire_async.urls.scalars import is_mapping, is_tuple, number_text
from imgwire_async.urls.transformation import Transformation, from_checked, from_pairs

if TYPE_CHECKING:
    from imgwire_async.urls.scalar_types import Format, GravityRule, Integer, Quality
    from imgwire_async.urls.types import Crop

WIDEST = 8192  # of the CDN [contract 12]
_TINY_WIDTH = 32
_SIZING = frozenset({"width", "height", "min-width", "min-height", "dpr"})


@attrs.frozen
class Breakpoint:
    """From `min_width` CSS pixels of the window on, the picture is `width` CSS pixels wide.

    The other fields override rules.
    """

    min_width: int
    width: int | None = None
    height: Integer | None = attrs.field(default=None, kw_only=True)
    crop: Crop | None = attrs.field(default=None, kw_only=True)
    gravity: GravityRule | None = attrs.field(default=None, kw_only=True)
    quality: Quality | None = attrs.field(default=None, kw_only=True)
    format: Format | None = attrs.field(default=None, kw_only=True)
    densities: Sequence[float] | None = attrs.field(default=None, kw_only=True)

    def overrides(self) -> dict[str, object]:
        """The rules that this breakpoint sets."""
        names = ("width", "height", "crop", "gravity", "quality", "format")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


BREAKPOINTS = (Breakpoint(0, 320), Breakpoint(640, 640), Breakpoint(1024, 1024), Breakpoint(1440, 1440))
Breakpoints: TypeAlias = "Sequence[Breakpoint | Mapping[str, object] | tuple[int, int]] | Mapping[str, Breakpoint | Mapping[str, object]]"


@attrs.frozen
class Candidate:
    """One picture that a browser may choose: its rules, and how wide (`640w`) or dense (`2x`) it is."""

    transformation: Transformation
    descriptor: str


@attrs.frozen
class Layout:
    """All candidates, the fallback, the `sizes` text and the box that the largest one fills (None: not known)."""

    candidates: tuple[Candidate, ...]
    fallback: Transformation
    sizes: str
    box: Size | None
    faults: tuple[Fault, ...] = ()


@attrs.frozen
class Picture:
    """What a layout is made for: the checked rules and the original's size; 0 is unknown."""

    base: Transformation
    width: int
    height: int
    upscale: bool

    def cap(self, rules: Transformation) -> int:
        """The widest that a candidate may be, after crop and rotation. [contract 12: at most 8192]"""
        if self.upscale:
            return WIDEST
        return min(source_size(rules, self.width, self.height).width or WIDEST, WIDEST)

    def sized(self, rules: Transformation, width: int, density: str | None) -> tuple[Transformation, int]:
        """`rules` at `width` CSS pixels and a density, not wider than allowed; and the real width."""
        real = round(width * float(density or 1))
        cap = self.cap(rules)
        if real <= cap:
            return _with(rules, {"width": str(width), "dpr": density}), max(real, 1)
        height = pixels(rules, "height")
        scaled = str(max(min(round(height * cap / width), WIDEST), 1)) if height else None
        return _with(rules, {"width": str(cap), "dpr": density and "1", "height": scaled}), cap


def _with(rules: Transformation, changes: Mapping[str, str | None]) -> Transformation:
    pairs = dict(rules.pairs) | {name: text for name, text in changes.items() if text}
    return from_pairs(rules.preset, tuple(pairs.items()))


def tiny(picture: Picture, rules: Transformation) -> Transformation:
    """The same picture 32 pixels wide, blurred and coarse: a few hundred bytes to show while the real one loads."""
    width, height = pixels(rules, "width"), pixels(rules, "height")
    small = min(_TINY_WIDTH, picture.cap(rules))
    kept = {name: text for name, text in rules.pairs if name not in _SIZING}
    changes = {"width": str(small), "blur": "2", "quality": "40"}
    if width and height:
        changes["height"] = str(max(round(height * small / width), 1))
    return from_pairs(rules.preset, tuple((kept | changes).items()))


def _unique(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    # Browsers keep the first of equal descriptors, so do we.
    found: dict[str, Candidate] = {}
    for candidate in candidates:
        found.setdefault(candidate.descriptor, candidate)
    return tuple(found.values())


def by_widths(picture: Picture, widths: Iterable[object], on_invalid: str) -> Layout:
    """One candidate per width, chosen by the browser from its own knowledge of the layout."""
    known, faults = _valid("width", widths, on_invalid)
    made = [picture.sized(picture.base, width, None) for width in sorted({int(text) for text in known})]
    candidates = _unique(Candidate(rules, f"{real}w") for rules, real in made)
    fallback = candidates[0].transformation if candidates else picture.base
    largest = candidates[-1].transformation if candidates else picture.base
    return Layout(
        candidates, fallback, "100vw", fitted(largest, picture.width, picture.height), tuple(faults)
    )


def by_breakpoints(
    picture: Picture, breakpoints: Breakpoints, densities: Iterable[object], on_invalid: str
) -> Layout:
    """Candidates for each breakpoint and density, in the order of the windows' widths."""
    steps = sorted(_read(breakpoints), key=lambda step: step.min_width)
    known, faults = _valid("dpr", densities, on_invalid)
    candidates: list[Candidate] = []
    placed: list[tuple[Breakpoint, Transformation]] = []
    for step in steps:
        checked = check(step.overrides().items(), on_invalid=on_invalid)
        faults += checked.faults
        rules = picture.base | from_checked(checked)
        if step.width is not None and "width" not in checked.pairs:
            continue  # refused, and reported above
        own, more = (known, []) if step.densities is None else _valid("dpr", step.densities, on_invalid)
        faults += more
        candidates += _dense(picture, step, rules, own or ["1"])
        placed.append((step, rules))
    if not placed:
        box = fitted(picture.base, picture.width, picture.height)
        return Layout((), picture.base, "", box, tuple(faults))
    fallback, largest = (
        next(_dense(picture, step, rules, ["1"])).transformation for step, rules in (placed[0], placed[-1])
    )
    box = fitted(largest, picture.width, picture.height)
    return Layout(_unique(candidates), fallback, _sizes([step for step, _ in placed]), box, tuple(faults))


def _dense(
    picture: Picture, step: Breakpoint, rules: Transformation, densities: Iterable[str]
) -> Iterator[Candidate]:
    """One candidate per density: `640w` when the breakpoint has a width, else `2x`."""
    width = pixels(rules, "width")
    known = source_size(rules, picture.width, picture.height).width > 0 and not picture.upscale
    for density in densities:
        if width is None:
            if float(density) <= 1 or not known:  # else it would be wider than the original
                yield Candidate(_with(rules, {"dpr": density}), f"{density}x")
            continue
        made, real = picture.sized(rules, width, density)
        if step.width is not None:
            yield Candidate(made, f"{real}w")
        else:
            capped = real < round(width * float(density))
            yield Candidate(made, f"{number_text(round(real / width, 4)) if capped else density}x")


def _sizes(steps: Sequence[Breakpoint]) -> str:
    """`(min-width: 640px) 640px, 320px`: the largest window first, the smallest without condition."""
    if steps[0].width is None:
        return ""
    conditions = [f"(min-width: {step.min_width}px) {step.width}px" for step in reversed(steps[1:])]
    return ", ".join([*conditions, f"{steps[0].width}px"])


def _valid(rule: str, given: Iterable[object], on_invalid: str) -> tuple[list[str], list[Fault]]:
    """The texts of the values that a rule takes, and the faults of the others."""
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody checks types
        name = "widths" if rule == "width" else "densities"
        raise TypeError(f"{name} must be several numbers, as in {name}=(1, 2), not {type(given).__name__}")
    texts: list[str] = []
    faults: list[Fault] = []
    for value in given:
        checked = check([(rule, value)], on_invalid=on_invalid)
        texts += checked.pairs.values()
        faults += checked.faults
    return texts, faults


def _read(breakpoints: Breakpoints) -> list[Breakpoint]:
    given = breakpoints.values() if is_mapping(breakpoints) else breakpoints
    steps = [_breakpoint(step) for step in given]
    if len({step.width is None for step in steps}) > 1:
        raise ValueError("either every breakpoint has a width or none has: a srcset cannot mix 640w and 2x")
    return steps


def _breakpoint(given: object) -> Breakpoint:
    if isinstance(given, Breakpoint):
        step = given
    elif is_mapping(given):
        names = {"minWidth": "min_width"}
        step = Breakpoint(**{names.get(name, name): value for name, value in given.items()})  # type: ignore[arg-type]
    elif is_tuple(given) and len(given) == 2:
        step = Breakpoint(*given)  # type: ignore[arg-type]
    else:
        raise TypeError("a breakpoint is a Breakpoint, a mapping, or (min_width, width)")
    if type(step.min_width) is not int or step.min_width < 0:
        raise ValueError("min_width is a whole number of CSS pixels, 0 or more")
    return step
