"""Classes for the values of rules that have several parts, such as `Crop(400, 300)` for the rule `crop`.

A user may also write such a value as a mapping, or as text: `crop="400:300"`. The classes do not check their
fields. The fields are checked when a URL or a `Transformation` is created, so that one error reports all
faults of a call. A field that is None is left out.
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
    """Base class of the value classes."""

    def fields(self) -> dict[str, object]:
        """Return a dict of the fields that are not None."""
        fields: dict[str, object] = {}
        for field in attrs.fields(type(self)):
            value = getattr(self, field.name)
            if value is not None:
                fields[field.name] = value
        return fields


@attrs.frozen
class Color(_Fields):
    """A colour with the channels `r`, `g` and `b` (0 to 255) and `alpha` (0 to 1)."""

    r: int
    g: int
    b: int
    alpha: float | None = None

    @classmethod
    def from_hex(cls, digits: str) -> Self:
        """Create a colour from text with hex digits, such as "#336699".

        `digits` has 3, 6 or 8 hex digits, with or without `#`. Raises `ValueError` for any other text.
        """
        text = digits.strip().removeprefix("#")
        text = "".join([digit * 2 for digit in text]) if len(text) == 3 else text
        if len(text) not in {6, 8} or not text.isascii() or not text.isalnum():
            raise ValueError(f"a colour must have 3, 6 or 8 hex digits, not {digits[:20]!r}")
        r, g, b, *alpha = bytes.fromhex(text)
        return cls(r, g, b, alpha[0] / 255 if alpha else None)


class ColorFields(TypedDict):
    """A colour as a mapping with the channels `r`, `g` and `b` (0 to 255) and `alpha` (0 to 1)."""

    r: int
    g: int
    b: int
    alpha: NotRequired[float | None]


AnyColor: TypeAlias = str | tuple[int, int, int] | tuple[int, int, int, float] | ColorFields | Color


@attrs.frozen
class Adjust(_Fields):
    """The value of the rule `adjust`. At least one field is required.

    Args:
        brightness: Factor for the brightness, 0.01 to 10.
        saturation: Factor for the saturation, 0.01 to 10.
        color: Factor for the colour, 0.01 to 10.
    """

    brightness: Number | None = None
    saturation: Number | None = None
    color: Number | None = None


@attrs.frozen
class Contrast(_Fields):
    """The value of the rule `contrast`.

    Args:
        multiplier: Factor for the contrast, 0.01 to 10.
        pivot: Number from 0 to 255.
    """

    multiplier: Number
    pivot: Number | None = None


@attrs.frozen
class Crop(_Fields):
    """The value of the rule `crop`: the part of the picture to keep.

    Args:
        width: Width in pixels, 1 to 8192.
        height: Height in pixels, 1 to 8192.
        x: Horizontal position, an integer of 0 or more. It requires `y`.
        y: Vertical position, an integer of 0 or more. It requires `x`.
        gravity: Gravity keyword, such as "north".
        mode: "cover", "extract", "attention" or "entropy". With `x` and `y`, the default is "extract".
    """

    width: Integer
    height: Integer
    x: Integer | None = attrs.field(default=None, kw_only=True)
    y: Integer | None = attrs.field(default=None, kw_only=True)
    gravity: Gravity | None = attrs.field(default=None, kw_only=True)
    mode: CropMode | None = attrs.field(default=None, kw_only=True)


@attrs.frozen
class Duotone(_Fields):
    """The value of the rule `duotone`.

    Args:
        shadow_color: Colour of the shadows.
        highlight_color: Colour of the highlights.
    """

    shadow_color: AnyColor
    highlight_color: AnyColor


@attrs.frozen(kw_only=True)
class Extend(_Fields):
    """The value of the rule `extend`: pixels to add at the edges, 0 to 8192. At least one field is required.

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
    """The value of the rule `gradient`.

    Args:
        colors: Colours of the gradient, at least one.
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
    """The value of the rule `normalize`: bounds from 0 to 100. `lower` must be less than `upper`."""

    lower: Number
    upper: Number


@attrs.frozen(kw_only=True)
class Padding(_Fields):
    """The value of the rule `padding`: pixels at the edges, 0 to 8192. At least one field is required.

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
    """The value of the rules `rotate` and `watermark_rotate`.

    Args:
        angle: Angle in whole degrees.
        background: Colour of the background.
    """

    angle: Integer
    background: AnyColor | None = None


@attrs.frozen(kw_only=True)
class Sharpen(_Fields):
    """The value of the rule `sharpen`. At least one field is required.

    The service documents the names of these parameters, but not their meaning.

    Args:
        sigma: Number of at least 0.
        m1: Number of at least 0.
        m2: Number of at least 0.
        x1: Number of at least 0.
        y2: Number of at least 0.
        y3: Number of at least 0.
    """

    sigma: Number | None = None
    m1: Number | None = None
    m2: Number | None = None
    x1: Number | None = None
    y2: Number | None = None
    y3: Number | None = None


@attrs.frozen
class Zoom(_Fields):
    """The value of the rule `zoom`: a `factor` from 1 to 10, and optionally a `gravity` such as "north"."""

    factor: Number
    gravity: Gravity | None = None


@attrs.frozen
class Watermark(_Fields):
    """The value of the rule `watermark`: another image, which is drawn on the picture.

    Args:
        image_id: Id of the other image.
        gravity: Position of the watermark, a gravity keyword such as "southeast".
        x: Horizontal offset in pixels.
        y: Vertical offset in pixels.
        left: Horizontal position in pixels.
        top: Vertical position in pixels.
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
    """The value of the rule `watermark_position`. At least one field is required.

    Args:
        gravity: Position of the watermark, a gravity keyword such as "southeast".
        x: Horizontal offset in pixels.
        y: Vertical offset in pixels.
        left: Horizontal position in pixels.
        top: Vertical position in pixels.
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
    """The value of the rule `watermark_shadow`. At least one field is required.

    Args:
        color: Colour of the shadow.
        blur: Strength of the blur, 0.3 to 100.
        x: Horizontal offset in pixels.
        y: Vertical offset in pixels.
    """

    color: AnyColor | None = None
    blur: Number | None = None
    x: Integer | None = None
    y: Integer | None = None


@attrs.frozen
class WatermarkSize(_Fields):
    """The value of the rule `watermark_size`. At least one field is required.

    Args:
        width: Width of the watermark in pixels, 1 to 8192.
        height: Height of the watermark in pixels, 1 to 8192.
        scale: Factor for the size, 0.01 to 10.
    """

    width: Integer | None = None
    height: Integer | None = None
    scale: Number | None = None


@attrs.frozen
class WatermarkText(_Fields):
    """The value of the rule `watermark_text`: a text, which is drawn on the picture.

    Args:
        text: Text of at most 2048 UTF-16 code units.
        font: Name of the font.
        size: Font size, 1 to 512.
        color: Colour of the text.
        width: Width of the watermark in pixels, 1 to 8192.
        height: Height of the watermark in pixels, 1 to 8192.
        gravity: Position of the watermark, a gravity keyword such as "southeast".
        x: Horizontal offset in pixels.
        y: Vertical offset in pixels.
        left: Horizontal position in pixels.
        top: Vertical position in pixels.
        opacity: Opacity, 0 to 1.
        blend: Name of the blend mode.
        align: Alignment of the text.
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
