"""Compute the pictures of a `srcset` from widths, breakpoints and densities.

A `srcset` lists candidates: versions of one picture with different sizes, of which the browser loads one.

[contract 12]
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, TypeAlias

import attrs

from imgwire_async.errors import Fault
from imgwire_async.urls.check import check
from imgwire_async.urls.conversions import is_mapping, is_tuple, number_text
from imgwire_async.urls.geometry import Size, final_size, size_before_resizing, size_rule_value
from imgwire_async.urls.transformation import Transformation, from_checked, from_pairs

if TYPE_CHECKING:
    from imgwire_async.urls.scalar_types import Format, GravityRule, Integer, Quality
    from imgwire_async.urls.types import Crop

# The maximum width and height, in pixels, that the CDN accepts. [contract 12]
MAX_WIDTH = 8192
# The width of the placeholder in pixels.
_PLACEHOLDER_WIDTH = 32
_SIZE_RULES = frozenset({"width", "height", "min-width", "min-height", "dpr"})


@attrs.frozen
class Breakpoint:
    """The size of a picture in browser windows that are at least `min_width` CSS pixels wide.

    `width` is the width of the picture in CSS pixels. With None, the rules decide. `height`, `crop`,
    `gravity`, `quality` and `format` override the rules of the same name. `densities` overrides the argument
    `densities` of `responsive_image`.
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
        """Return the rules that are set in this breakpoint, as a dict."""
        names = ("width", "height", "crop", "gravity", "quality", "format")
        return {name: value for name in names if (value := getattr(self, name)) is not None}


BREAKPOINTS = (Breakpoint(0, 320), Breakpoint(640, 640), Breakpoint(1024, 1024), Breakpoint(1440, 1440))
Breakpoints: TypeAlias = "Sequence[Breakpoint | Mapping[str, object] | tuple[int, int]] | Mapping[str, Breakpoint | Mapping[str, object]]"


@attrs.frozen
class Candidate:
    """One picture of a `srcset`: its rules, and its descriptor for the browser (`640w` or `2x`)."""

    transformation: Transformation
    descriptor: str


@attrs.frozen
class Layout:
    """What an `<img>` tag needs for a responsive image.

    `candidates` are the pictures of the `srcset`, and `sizes` is the attribute of this name. `fallback` is
    the picture of `src`, for browsers that do not support `srcset`. `size` is the size of the largest
    candidate in CSS pixels, or None when it is unknown. `faults` lists the invalid options.
    """

    candidates: tuple[Candidate, ...]
    fallback: Transformation
    sizes: str
    size: Size | None
    faults: tuple[Fault, ...] = ()


@attrs.frozen
class Original:
    """The original picture, and the options for all candidates.

    `base` has the rules that all candidates share. `width` and `height` are the size of the original in
    pixels, or 0 when it is unknown. With `upscale`, candidates may be wider than the original.
    """

    base: Transformation
    width: int
    height: int
    upscale: bool

    def max_width(self, rules: Transformation) -> int:
        """Return the maximum width of a candidate with these rules, in pixels.

        Without `upscale`, this is the width of the original after crop and rotation. It is never more than
        8192.

        [contract 12]
        """
        if self.upscale:
            return MAX_WIDTH
        return min(size_before_resizing(rules, self.width, self.height).width or MAX_WIDTH, MAX_WIDTH)

    def resize(self, rules: Transformation, width: int, density: str | None) -> tuple[Transformation, int]:
        """Return rules for a picture of `width` CSS pixels, and its width in physical pixels.

        `density` is the number of physical pixels per CSS pixel, as text. None stands for a density of 1 that
        is not written in the URL. A picture that would be too wide gets the maximum width, and its height is
        reduced in the same ratio.
        """
        physical_width = round(width * float(density or 1))
        max_width = self.max_width(rules)
        if physical_width <= max_width:
            return _with_changes(rules, {"width": str(width), "dpr": density}), max(physical_width, 1)
        height = size_rule_value(rules, "height")
        scaled = str(max(min(round(height * max_width / width), MAX_WIDTH), 1)) if height else None
        changes = {"width": str(max_width), "dpr": density and "1", "height": scaled}
        return _with_changes(rules, changes), max_width


def _with_changes(rules: Transformation, changes: Mapping[str, str | None]) -> Transformation:
    pairs = dict(rules.pairs) | {name: text for name, text in changes.items() if text}
    return from_pairs(rules.preset, tuple(pairs.items()))


def placeholder(original: Original, rules: Transformation) -> Transformation:
    """Return rules for a blurred picture of low quality that is 32 pixels wide.

    A web page shows this picture until the real one is loaded.
    """
    width, height = size_rule_value(rules, "width"), size_rule_value(rules, "height")
    small = min(_PLACEHOLDER_WIDTH, original.max_width(rules))
    pairs = {name: text for name, text in rules.pairs if name not in _SIZE_RULES}
    changes = {"width": str(small), "blur": "2", "quality": "40"}
    if width and height:
        changes["height"] = str(max(round(height * small / width), 1))
    return from_pairs(rules.preset, tuple((pairs | changes).items()))


def _unique(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    # When several candidates have the same descriptor, the first one is kept, because browsers ignore the
    # others.
    by_descriptor: dict[str, Candidate] = {}
    for candidate in candidates:
        by_descriptor.setdefault(candidate.descriptor, candidate)
    return tuple(by_descriptor.values())


def layout_by_widths(original: Original, widths: Iterable[object], on_invalid: str) -> Layout:
    """Compute one candidate per width. The browser chooses one with the help of the attribute `sizes`."""
    texts, faults = _checked_texts("width", widths, on_invalid)
    resized = [original.resize(original.base, width, None) for width in sorted({int(text) for text in texts})]
    candidates = _unique(Candidate(rules, f"{physical_width}w") for rules, physical_width in resized)
    fallback = candidates[0].transformation if candidates else original.base
    largest = candidates[-1].transformation if candidates else original.base
    size = final_size(largest, original.width, original.height)
    return Layout(candidates, fallback, "100vw", size, tuple(faults))


def layout_by_breakpoints(
    original: Original, breakpoints: Breakpoints, densities: Iterable[object], on_invalid: str
) -> Layout:
    """Compute one candidate per breakpoint and density, in the order of `min_width`."""
    points = sorted(_as_breakpoints(breakpoints), key=lambda point: point.min_width)
    default_densities, faults = _checked_texts("dpr", densities, on_invalid)
    candidates: list[Candidate] = []
    valid_points: list[tuple[Breakpoint, Transformation]] = []
    for point in points:
        checked = check(point.overrides().items(), on_invalid=on_invalid)
        faults += checked.faults
        rules = original.base | from_checked(checked)
        if point.width is not None and "width" not in checked.pairs:
            # The width of this breakpoint is invalid. Its fault was added above.
            continue
        texts = default_densities
        if point.densities is not None:
            texts, more_faults = _checked_texts("dpr", point.densities, on_invalid)
            faults += more_faults
        candidates += _candidates_by_density(original, point, rules, texts or ["1"])
        valid_points.append((point, rules))
    if not valid_points:
        size = final_size(original.base, original.width, original.height)
        return Layout((), original.base, "", size, tuple(faults))
    fallback, largest = (
        next(_candidates_by_density(original, point, rules, ["1"])).transformation
        for point, rules in (valid_points[0], valid_points[-1])
    )
    size = final_size(largest, original.width, original.height)
    return Layout(
        _unique(candidates), fallback, _sizes([point for point, _ in valid_points]), size, tuple(faults)
    )


def _candidates_by_density(
    original: Original, point: Breakpoint, rules: Transformation, densities: Iterable[str]
) -> Iterator[Candidate]:
    """Yield one candidate per density for the breakpoint `point`.

    The descriptor has the form `640w` when the breakpoint has a width, and `2x` otherwise.
    """
    width = size_rule_value(rules, "width")
    is_limited = (
        size_before_resizing(rules, original.width, original.height).width > 0 and not original.upscale
    )
    for density in densities:
        if width is None:
            # Without a rule `width` the picture is as wide as the original, so a density above 1 would
            # enlarge it.
            if float(density) <= 1 or not is_limited:
                yield Candidate(_with_changes(rules, {"dpr": density}), f"{density}x")
            continue
        resized, physical_width = original.resize(rules, width, density)
        if point.width is not None:
            yield Candidate(resized, f"{physical_width}w")
        else:
            is_capped = physical_width < round(width * float(density))
            capped_density = number_text(round(physical_width / width, 4)) if is_capped else density
            yield Candidate(resized, f"{capped_density}x")


def _sizes(points: Sequence[Breakpoint]) -> str:
    """Return the attribute `sizes`, such as `(min-width: 640px) 640px, 320px`. Large windows come first."""
    if points[0].width is None:
        return ""
    conditions = [f"(min-width: {point.min_width}px) {point.width}px" for point in reversed(points[1:])]
    return ", ".join([*conditions, f"{points[0].width}px"])


def _checked_texts(rule: str, values: Iterable[object], on_invalid: str) -> tuple[list[str], list[Fault]]:
    """Check values of one rule. Return the texts of valid values, and the faults of invalid values."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):  # pyright: ignore[reportUnnecessaryIsInstance]  # not all callers check types
        name = "widths" if rule == "width" else "densities"
        raise TypeError(f"{name} must be several numbers, as in {name}=(1, 2), not {type(values).__name__}")
    texts: list[str] = []
    faults: list[Fault] = []
    for value in values:
        checked = check([(rule, value)], on_invalid=on_invalid)
        texts += checked.pairs.values()
        faults += checked.faults
    return texts, faults


def _as_breakpoints(breakpoints: Breakpoints) -> list[Breakpoint]:
    items = breakpoints.values() if is_mapping(breakpoints) else breakpoints
    points = [_as_breakpoint(item) for item in items]
    if len({point.width is None for point in points}) > 1:
        raise ValueError("all breakpoints must have a width, or none: a srcset cannot mix 640w and 2x")
    return points


def _as_breakpoint(item: object) -> Breakpoint:
    if isinstance(item, Breakpoint):
        point = item
    elif is_mapping(item):
        names = {"minWidth": "min_width"}
        point = Breakpoint(**{names.get(name, name): value for name, value in item.items()})  # type: ignore[arg-type]
    elif is_tuple(item) and len(item) == 2:
        point = Breakpoint(*item)  # type: ignore[arg-type]
    else:
        raise TypeError("a breakpoint must be a Breakpoint, a mapping, or (min_width, width)")
    if type(point.min_width) is not int or point.min_width < 0:
        raise ValueError("min_width must be a whole number of CSS pixels, 0 or more")
    return point
