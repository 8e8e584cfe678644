"""Compute the size of a transformed picture from the size of the original and the rules."""

from __future__ import annotations

from typing import NamedTuple

from imgwire_async.urls.conversions import is_mapping, parse_integer
from imgwire_async.urls.transformation import Transformation

# Rules that change the aspect ratio in a way that this module does not compute.
_RULES_CHANGING_RATIO = frozenset({"extend", "extend_aspect_ratio", "padding"})


class Size(NamedTuple):
    """A width and a height in pixels. 0 means unknown."""

    width: int
    height: int


def size_rule_value(rules: Transformation, name: str) -> int | None:
    """Return the value of the rule with this name (`width` or `height`).

    Return None when the rule is absent, or is a raw rule that is not an integer.
    """
    return parse_integer(dict(rules.pairs).get(name))


def size_before_resizing(rules: Transformation, width: int, height: int) -> Size:
    """Return the size of a picture of `width` x `height` pixels after the rules `crop` and `rotate`.

    The CDN resizes the picture after these two steps. A width or height of 0 is unknown.
    """
    crop = _crop_size(rules.rules.get("crop"))
    if crop is not None:
        width, height = min(crop.width, width or crop.width), min(crop.height, height or crop.height)
    return Size(height, width) if _rotation(rules) % 180 == 90 else Size(width, height)


def final_size(rules: Transformation, width: int, height: int) -> Size | None:
    """Return the size in CSS pixels of a picture of `width` x `height` pixels after all rules.

    Return None when the size cannot be computed.
    """
    options = rules.rules
    requested = Size(size_rule_value(rules, "width") or 0, size_rule_value(rules, "height") or 0)
    if not _RULES_CHANGING_RATIO.isdisjoint(options) or _rotation(rules) % 90:
        return None
    keeps_ratio = options.get("resizing_type") in {"inside", "outside"}
    if requested.width and requested.height and not keeps_ratio:
        return requested
    source = size_before_resizing(rules, width, height)
    if not source.width or not source.height:
        return None
    scales = [side / source_side for side, source_side in zip(requested, source, strict=True) if side]
    scale = (max(scales) if options.get("resizing_type") == "outside" else min(scales)) if scales else 1.0
    return Size(max(round(source.width * scale), 1), max(round(source.height * scale), 1))


def _crop_size(value: object) -> Size | None:
    if is_mapping(value):
        return Size(parse_integer(value["width"]) or 0, parse_integer(value["height"]) or 0)
    numbers = [number for part in str(value or "").split(":") if (number := parse_integer(part)) is not None]
    return Size(*numbers[-2:]) if len(numbers) in {2, 4} else None


def _rotation(rules: Transformation) -> int:
    value = rules.rules.get("rotate", 0)
    if is_mapping(value):
        value = value["angle"]
    return parse_integer(value.partition(":")[0] if isinstance(value, str) else value) or 0
