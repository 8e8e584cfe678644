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
    """Factors for brightness, saturation and colour. At least one is required.

    Args:
        brightness: Factor, 0.01 to 10.
        saturation: Factor, 0.01 to 10.
        color: Factor, 0.01 to 10.
    """

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
    """A crop of the original.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        x: Distance from the left edge in pixels, instead of `gravity`.
        y: Distance from the top edge in pixels, instead of `gravity`.
        gravity: Part of the picture to keep.
        mode: Method of the crop.
    """

    width: Integer
    height: Integer
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    gravity: Gravity | None = attrs.field(default=None, kw_only=True)
    mode: CropMode | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Duotone(_Fields):
    """A duotone.

    Args:
        shadow_color: Colour of the shadows.
        highlight_color: Colour of the highlights.
    """

    shadow_color: AnyColor
    highlight_color: AnyColor


@attrs.frozen(kw_only=True)
class Extend(_Fields):
    """Pixels to add at the edges, 0 to 8192. At least one is required.

    Args:
        top: Pixels at the top edge.
        right: Pixels at the right edge.
        bottom: Pixels at the bottom edge.
        left: Pixels at the left edge.
        background: Colour of the new pixels.
    """

    top: Integer | None = None
    right: Integer | None = None
    bottom: Integer | None = None
    left: Integer | None = None
    background: AnyColor | None = None


def _as_tuple(colors: Sequence[AnyColor]) -> Sequence[AnyColor]:
    return tuple(colors)


@attrs.frozen
class Gradient(_Fields):
    """A gradient over the picture.

    Args:
        colors: Colours, from the start to the end of the gradient.
        angle: Angle in degrees, -360 to 360.
        opacity: Opacity, 0 to 1.
        blend: Name of the blend mode.
    """

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
    """Pixels of padding at the edges, 0 to 8192. At least one is required.

    Args:
        all: Pixels at all edges.
        x: Pixels at the left and right edges.
        y: Pixels at the top and bottom edges.
        top: Pixels at the top edge.
        right: Pixels at the right edge.
        bottom: Pixels at the bottom edge.
        left: Pixels at the left edge.
    """

    all: Integer | None = None
    x: Integer | None = None
    y: Integer | None = None
    top: Integer | None = None
    right: Integer | None = None
    bottom: Integer | None = None
    left: Integer | None = None


@attrs.frozen
class Rotate(_Fields):
    """A clockwise rotation, for the rules `rotate` and `watermark_rotate`.

    Args:
        angle: Angle in whole degrees.
        background: Colour of the corners that the rotation uncovers.
    """

    angle: Integer
    background: AnyColor | None = None


@attrs.frozen(kw_only=True)
class Sharpen(_Fields):
    """Parameters of the sharpening filter, 0 or more. At least one is required.

    The service does not document their meaning. The names are those of the filter in libvips.

    Args:
        sigma: Radius of the filter.
        m1: Strength in flat areas.
        m2: Strength in jagged areas.
        x1: Threshold between flat and jagged areas.
        y2: Maximum of the brightening.
        y3: Maximum of the darkening.
    """

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
    """Another image as a watermark.

    Args:
        image_id: Id of the other image.
        gravity: Position of the watermark in the picture.
        x: Horizontal offset in pixels.
        y: Vertical offset in pixels.
        left: Distance from the left edge in pixels.
        top: Distance from the top edge in pixels.
        opacity: Opacity, 0 to 1.
        blend: Name of the blend mode.
    """

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
    """The position and appearance of a watermark. At least one field is required.

    Args:
        gravity: Position of the watermark in the picture.
        x: Horizontal offset in pixels.
        y: Vertical offset in pixels.
        left: Distance from the left edge in pixels.
        top: Distance from the top edge in pixels.
        opacity: Opacity, 0 to 1.
        blend: Name of the blend mode.
    """

    gravity: Gravity | None = None
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    left: Integer | None = attrs.field(default=None, kw_only=True)
    top: Integer | None = attrs.field(default=None, kw_only=True)
    opacity: Number | None = attrs.field(default=None, kw_only=True)
    blend: str | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class WatermarkShadow(_Fields):
    """The shadow of a watermark. At least one field is required.

    Args:
        color: Colour of the shadow.
        blur: Blur, 0.3 to 100.
        x: Horizontal offset in pixels.
        y: Vertical offset in pixels.
    """

    color: AnyColor | None = None
    blur: Number | None = None
    x: Integer | None = None
    y: Integer | None = None


@attrs.frozen
class WatermarkSize(_Fields):
    """The size of a watermark. At least one field is required.

    Args:
        width: Width in pixels, 1 to 8192.
        height: Height in pixels, 1 to 8192.
        scale: Scale, 0.01 to 10.
    """

    width: Integer | None = None
    height: Integer | None = None
    scale: Number | None = None


@attrs.frozen
class WatermarkText(_Fields):
    """A text as a watermark.

    Args:
        text: Text of at most 2048 UTF-16 code units.
        font: Name of the font.
        size: Font size, 1 to 512.
        color: Colour of the text.
        width: Width of the text box in pixels.
        height: Height of the text box in pixels.
        gravity: Position of the watermark in the picture.
        x: Horizontal offset in pixels.
        y: Vertical offset in pixels.
        left: Distance from the left edge in pixels.
        top: Distance from the top edge in pixels.
        opacity: Opacity, 0 to 1.
        blend: Name of the blend mode.
        align: Alignment of the lines.
    """

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
