"""Value classes: frozen, optional, accepted wherever the mapping or string of a rule is.

They hold what they are given; values are checked when a URL or a `Transformation` is made, so that all faults of a call
come together. A field that is None is not set.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NotRequired, TypeAlias, TypedDict

import attrs

from imgwire_async.urls.scalars import Value

if TYPE_CHECKING:
    from typing import Self
    from uuid import UUID

    from imgwire_async.urls.literals import CropMode
    from imgwire_async.urls.scalar_types import Gravity, Integer, Number


@attrs.frozen
class _Fields(Value):
    def fields(self) -> dict[str, object]:
        """The fields that are set, by name: what a mapping in its place would hold."""
        found: dict[str, object] = {}
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if value is not None:
                found[field.name] = value
        return found


@attrs.frozen
class Color(_Fields):
    """A colour by its channels, 0..255; `alpha` 0..1. Inside colon strings it is written as hex digits."""

    r: int
    g: int
    b: int
    alpha: float | None = None

    @classmethod
    def from_hex(cls, digits: str) -> Self:
        """The colour of 3, 6 or 8 hex digits, with or without `#`; `ValueError` for anything else."""
        text = digits.strip().removeprefix("#")
        text = "".join([digit * 2 for digit in text]) if len(text) == 3 else text
        if len(text) not in {6, 8} or not text.isascii() or not text.isalnum():
            raise ValueError(f"a colour has 3, 6 or 8 hex digits, not {digits[:20]!r}")
        r, g, b, *alpha = bytes.fromhex(text)
        return cls(r, g, b, alpha[0] / 255 if alpha else None)


class ColorFields(TypedDict):
    """A colour by its channels, 0..255; `alpha` 0..1."""

    r: int
    g: int
    b: int
    alpha: NotRequired[float | None]


AnyColor: TypeAlias = str | tuple[int, int, int] | tuple[int, int, int, float] | ColorFields | Color


@attrs.frozen
class Adjust(_Fields):
    """Factors 0.01..10; at least one."""

    brightness: Number | None = None
    saturation: Number | None = None
    color: Number | None = None


@attrs.frozen
class Contrast(_Fields):
    """`multiplier` 0.01..10 around `pivot` 0..255."""

    multiplier: Number
    pivot: Number | None = None


@attrs.frozen
class Crop(_Fields):
    """`width` x `height` pixels of the original, placed by `gravity`, or exactly at `x`, `y`."""

    width: Integer
    height: Integer
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    gravity: Gravity | None = attrs.field(default=None, kw_only=True)
    mode: CropMode | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Duotone(_Fields):
    """The colour of the shadows and the colour of the lights."""

    shadow_color: AnyColor
    highlight_color: AnyColor


@attrs.frozen(kw_only=True)
class Extend(_Fields):
    """Pixels to add at the edges, 0..8192, and their colour; at least one."""

    top: Integer | None = None
    right: Integer | None = None
    bottom: Integer | None = None
    left: Integer | None = None
    background: AnyColor | None = None


def _as_tuple(colors: Sequence[AnyColor]) -> Sequence[AnyColor]:
    return tuple(colors)


@attrs.frozen
class Gradient(_Fields):
    """Colours, `angle` -360..360 degrees, `opacity` 0..1, a blend mode."""

    colors: Sequence[AnyColor] = attrs.field(converter=_as_tuple)
    angle: Number | None = None
    opacity: Number | None = None
    blend: str | None = None


@attrs.frozen
class Normalize(_Fields):
    """Percentiles 0..100, `lower` below `upper`."""

    lower: Number
    upper: Number


@attrs.frozen(kw_only=True)
class Padding(_Fields):
    """Pixels to leave free, 0..8192; at least one."""

    all: Integer | None = None
    x: Integer | None = None
    y: Integer | None = None
    top: Integer | None = None
    right: Integer | None = None
    bottom: Integer | None = None
    left: Integer | None = None


@attrs.frozen
class Rotate(_Fields):
    """Whole degrees clockwise, and the colour of the corners. For `rotate` and `watermark_rotate`."""

    angle: Integer
    background: AnyColor | None = None


@attrs.frozen(kw_only=True)
class Sharpen(_Fields):
    """The sharpening filter's own numbers, 0 or more; at least one."""

    sigma: Number | None = None
    m1: Number | None = None
    m2: Number | None = None
    x1: Number | None = None
    y2: Number | None = None
    y3: Number | None = None


@attrs.frozen
class Zoom(_Fields):
    """`factor` 1..10 towards `gravity`."""

    factor: Number
    gravity: Gravity | None = None


@attrs.frozen
class Watermark(_Fields):
    """Another image as watermark: where (offsets in pixels), how strong (`opacity` 0..1), blended how."""

    image_id: str | UUID
    gravity: Gravity | None = None
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    left: Integer | None = attrs.field(default=None, kw_only=True)
    top: Integer | None = attrs.field(default=None, kw_only=True)
    opacity: Number | None = attrs.field(default=None, kw_only=True)
    blend: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class WatermarkPosition(_Fields):
    """Where a watermark stands, how strong, blended how; at least one."""

    gravity: Gravity | None = None
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    left: Integer | None = attrs.field(default=None, kw_only=True)
    top: Integer | None = attrs.field(default=None, kw_only=True)
    opacity: Number | None = attrs.field(default=None, kw_only=True)
    blend: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class WatermarkShadow(_Fields):
    """A watermark's shadow: `blur` 0.3..100, offsets in pixels; at least one."""

    color: AnyColor | None = None
    blur: Number | None = None
    x: Integer | None = None
    y: Integer | None = None


@attrs.frozen
class WatermarkSize(_Fields):
    """A watermark's size: pixels 1..8192, or `scale` 0.01..10; at least one."""

    width: Integer | None = None
    height: Integer | None = None
    scale: Number | None = None


@attrs.frozen
class WatermarkText(_Fields):
    """A text as watermark, up to 2048 characters; `size` 1..512, a box of `width` x `height` pixels."""

    text: str
    font: str | None = attrs.field(default=None, kw_only=True)
    size: Integer | None = attrs.field(default=None, kw_only=True)
    color: AnyColor | None = attrs.field(default=None, kw_only=True)
    width: Integer | None = attrs.field(default=None, kw_only=True)
    height: Integer | None = attrs.field(default=None, kw_only=True)
    gravity: Gravity | None = attrs.field(default=None, kw_only=True)
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    left: Integer | None = attrs.field(default=None, kw_only=True)
    top: Integer | None = attrs.field(default=None, kw_only=True)
    opacity: Number | None = attrs.field(default=None, kw_only=True)
    blend: str | None = attrs.field(default=None, kw_only=True)
    align: str | None = attrs.field(default=None, kw_only=True)
