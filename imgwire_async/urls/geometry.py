"""How large a transformed picture is, as far as the rules tell."""

from __future__ import annotations

from typing import NamedTuple

from imgwire_async.urls.scalars import is_mapping, whole
from imgwire_async.urls.transformation import Transformation

# Rules after which the ratio of the picture is not known here.
_RESHAPING = frozenset({"extend", "extend_aspect_ratio", "padding"})


class Size(NamedTuple):
    """Pixels; 0 is unknown."""

    width: int
    height: int


def pixels(rules: Transformation, name: str) -> int | None:
    """The value of a size rule, None when it is not given (or a raw one that is no number)."""
    return whole(dict(rules.pairs).get(name))


def source_size(rules: Transformation, width: int, height: int) -> Size:
    """What is left of an original of this size after crop and rotation, before it is resized."""
    cropped = _crop(rules.rules.get("crop"))
    if cropped is not None:
        width, height = (
            min(cropped.width, width or cropped.width),
            min(cropped.height, height or cropped.height),
        )
    return Size(height, width) if _angle(rules) % 180 == 90 else Size(width, height)


def fitted(rules: Transformation, width: int, height: int) -> Size | None:
    """The size in CSS pixels of an original of this size under these rules, None when it cannot be told."""
    known = rules.rules
    asked = Size(pixels(rules, "width") or 0, pixels(rules, "height") or 0)
    if not _RESHAPING.isdisjoint(known) or _angle(rules) % 90:
        return None
    keeps_ratio = known.get("resizing_type") in {"inside", "outside"}
    if asked.width and asked.height and not keeps_ratio:
        return asked
    source = source_size(rules, width, height)
    if not source.width or not source.height:
        return None
    scales = [wish / have for wish, have in zip(asked, source, strict=True) if wish]
    scale = (max(scales) if known.get("resizing_type") == "outside" else min(scales)) if scales else 1.0
    return Size(max(round(source.width * scale), 1), max(round(source.height * scale), 1))


def _crop(value: object) -> Size | None:
    if is_mapping(value):
        return Size(whole(value["width"]) or 0, whole(value["height"]) or 0)
    numbers = [number for part in str(value or "").split(":") if (number := whole(part)) is not None]
    return Size(*numbers[-2:]) if len(numbers) in {2, 4} else None


def _angle(rules: Transformation) -> int:
    value = rules.rules.get("rotate", 0)
    if is_mapping(value):
        value = value["angle"]
    return whole(value.partition(":")[0] if isinstance(value, str) else value) or 0
