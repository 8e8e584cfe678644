"""Value classes of the structured rules. They are an alternative to mappings and colon strings.

A value class does not check its fields. They are checked when a URL or a `Transformation` is created, so that
one error reports all faults of a call. A field that is None is not set.
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
    """Base of the value classes: their fields as a mapping."""

    def fields(self) -> dict[str, object]:
        """Return the fields that are set, by name."""
        fields: dict[str, object] = {}
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if value is not None:
                fields[field.name] = value
        return fields


@attrs.frozen
class Color(_Fields):
    """A colour by its channels: `r`, `g`, `b` 0..255, and `alpha` 0..1."""

    r: int
    g: int
    b: int
    alpha: float | None = None

    @classmethod
    def from_hex(cls, digits: str) -> Self:
        """Create a colour from hex digits.

        `digits` are 3, 6 or 8 hex digits, with or without `#`. Raises `ValueError` for any other text.
        """
        text = digits.strip().removeprefix("#")
        text = "".join([digit * 2 for digit in text]) if len(text) == 3 else text
        if len(text) not in {6, 8} or not text.isascii() or not text.isalnum():
            raise ValueError(f"a colour must have 3, 6 or 8 hex digits, not {digits[:20]!r}")
        r, g, b, *alpha = bytes.fromhex(text)
        return cls(r, g, b, alpha[0] / 255 if alpha else None)


class ColorFields(TypedDict):
    """A colour as a mapping of its channels: `r`, `g`, `b` 0..255, and `alpha` 0..1."""

    r: int
    g: int
    b: int
    alpha: NotRequired[float | None]


AnyColor: TypeAlias = str | tuple[int, int, int] | tuple[int, int, int, float] | ColorFields | Color


@attrs.frozen
class Adjust(_Fields):
    """Factors for brightness, saturation and colour, 0.01..10 each. At least one is required."""

    brightness: Number | None = None
    saturation: Number | None = None
    color: Number | None = None


@attrs.frozen
class Contrast(_Fields):
    """Contrast: `multiplier` 0.01..10 around `pivot` 0..255."""

    multiplier: Number
    pivot: Number | None = None


@attrs.frozen
class Crop(_Fields):
    """A crop of `width` x `height` pixels of the original, placed by `gravity` or at `x`, `y`."""

    width: Integer
    height: Integer
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    gravity: Gravity | None = attrs.field(default=None, kw_only=True)
    mode: CropMode | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Duotone(_Fields):
    """A duotone: one colour for the shadows and one for the highlights."""

    shadow_color: AnyColor
    highlight_color: AnyColor


@attrs.frozen(kw_only=True)
class Extend(_Fields):
    """Pixels to add at the edges, 0..8192, and their colour. At least one is required."""

    top: Integer | None = None
    right: Integer | None = None
    bottom: Integer | None = None
    left: Integer | None = None
    background: AnyColor | None = None


def _as_tuple(colors: Sequence[AnyColor]) -> Sequence[AnyColor]:
    return tuple(colors)


@attrs.frozen
class Gradient(_Fields):
    """A gradient: colours, `angle` -360..360 degrees, `opacity` 0..1, and a blend mode."""

    colors: Sequence[AnyColor] = attrs.field(converter=_as_tuple)
    angle: Number | None = None
    opacity: Number | None = None
    blend: str | None = None


@attrs.frozen
class Normalize(_Fields):
    """Percentiles for a normalized contrast, 0..100: `lower` must be less than `upper`."""

    lower: Number
    upper: Number


@attrs.frozen(kw_only=True)
class Padding(_Fields):
    """Pixels of padding at the edges, 0..8192. At least one is required."""

    all: Integer | None = None
    x: Integer | None = None
    y: Integer | None = None
    top: Integer | None = None
    right: Integer | None = None
    bottom: Integer | None = None
    left: Integer | None = None


@attrs.frozen
class Rotate(_Fields):
    """A clockwise rotation in whole degrees, for the rules `rotate` and `watermark_rotate`."""

    angle: Integer
    background: AnyColor | None = None


@attrs.frozen(kw_only=True)
class Sharpen(_Fields):
    """Parameters of the sharpening filter, 0 or more. At least one is required."""

    sigma: Number | None = None
    m1: Number | None = None
    m2: Number | None = None
    x1: Number | None = None
    y2: Number | None = None
    y3: Number | None = None


@attrs.frozen
class Zoom(_Fields):
    """A zoom by `factor` 1..10 towards `gravity`."""

    factor: Number
    gravity: Gravity | None = None


@attrs.frozen
class Watermark(_Fields):
    """Another image as a watermark: its id, position (pixels), `opacity` 0..1 and blend mode."""

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
    """The position of a watermark (pixels), `opacity` 0..1 and blend mode. At least one is required."""

    gravity: Gravity | None = None
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    left: Integer | None = attrs.field(default=None, kw_only=True)
    top: Integer | None = attrs.field(default=None, kw_only=True)
    opacity: Number | None = attrs.field(default=None, kw_only=True)
    blend: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class WatermarkShadow(_Fields):
    """The shadow of a watermark: `blur` 0.3..100, offsets in pixels. At least one field is required."""

    color: AnyColor | None = None
    blur: Number | None = None
    x: Integer | None = None
    y: Integer | None = None


@attrs.frozen
class WatermarkSize(_Fields):
    """The size of a watermark: pixels 1..8192, or `scale` 0.01..10. At least one is required."""

    width: Integer | None = None
    height: Integer | None = None
    scale: Number | None = None


@attrs.frozen
class WatermarkText(_Fields):
    """A text as a watermark: up to 2048 characters, `size` 1..512, in a box of `width` x `height` pixels."""

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
