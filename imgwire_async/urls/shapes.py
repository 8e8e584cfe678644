"""The value types of the rules: what a type checker lets through, and what an editor completes inside an object.

Numbers are numbers here. Numeric text, as templates give it, is taken in a mapping: a type checker could not tell "300"
from "abc".
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from typing import Literal, NotRequired, TypeAlias, TypedDict
from uuid import UUID

from imgwire_async.urls import values as of
from imgwire_async.urls.words import (
    AlgorithmWord,
    CropMode,
    FlipWord,
    FormatWord,
    GravityAlias,
    GravityWord,
    ProfileWord,
    ResizingAlias,
    ResizingWord,
    SubsamplingWord,
)

# Enum members stand for their value; which values they have no type checker can tell.
Integer: TypeAlias = int | Decimal | Enum
Number: TypeAlias = float | Decimal | Fraction | Enum
Quality: TypeAlias = Integer | Literal["auto"]
Progressive: TypeAlias = bool | Literal["auto"]
Format: TypeAlias = FormatWord | Enum
Subsampling: TypeAlias = SubsamplingWord | Enum
Profile: TypeAlias = ProfileWord | Enum
Algorithm: TypeAlias = AlgorithmWord | Enum
Resizing: TypeAlias = ResizingWord | ResizingAlias | Enum
Gravity: TypeAlias = GravityWord | GravityAlias | Enum
GravityRule: TypeAlias = Gravity | Literal["ce:sm"]


class ColorFields(TypedDict):
    """A colour by its channels, 0..255; `alpha` 0..1."""

    r: int
    g: int
    b: int
    alpha: NotRequired[float | None]


Color: TypeAlias = str | tuple[int, int, int] | tuple[int, int, int, float] | ColorFields | of.Color


class AdjustFields(TypedDict, total=False):
    """Factors 0.01..10."""

    brightness: Number | None
    saturation: Number | None
    color: Number | None


class ContrastFields(TypedDict):
    """`multiplier` 0.01..10, `pivot` 0..255."""

    multiplier: Number
    pivot: NotRequired[Number | None]


class CropFields(TypedDict):
    """Sizes in pixels; with `x` and `y` an exact cut-out."""

    width: Integer
    height: Integer
    x: NotRequired[Integer | None]
    y: NotRequired[Integer | None]
    gravity: NotRequired[Gravity | None]
    mode: NotRequired[CropMode | Enum | None]


class DuotoneFields(TypedDict, total=False):
    """Two colours; both are needed, in either spelling."""

    shadowColor: Color
    highlightColor: Color
    shadow_color: Color
    highlight_color: Color


class ExtendFields(TypedDict, total=False):
    """Edges in pixels, 0..8192."""

    top: Integer | None
    right: Integer | None
    bottom: Integer | None
    left: Integer | None
    background: Color | None
    bg: Color | None


class AspectFields(TypedDict, total=False):
    """A ratio, or `width` with `height`."""

    ratio: Number | str | tuple[Number, Number] | None
    aspectRatio: Number | str | tuple[Number, Number] | None
    aspect_ratio: Number | str | tuple[Number, Number] | None
    width: Number | None
    height: Number | None


class FlipFields(TypedDict, total=False):
    """An absent direction is not flipped."""

    horizontal: bool | None
    vertical: bool | None


class GradientFields(TypedDict):
    """`angle` -360..360, `opacity` 0..1."""

    colors: Sequence[Color]
    angle: NotRequired[Number | None]
    opacity: NotRequired[Number | None]
    blend: NotRequired[str | None]


class TintFields(TypedDict):
    """The colour of a monochrome picture."""

    tint: Color


class NegateFields(TypedDict):
    """Whether the alpha channel is negated too."""

    alpha: bool


class NormalizeFields(TypedDict):
    """Percentiles 0..100, `lower` below `upper`."""

    lower: Number
    upper: Number


class PaddingFields(TypedDict, total=False):
    """Edges in pixels, 0..8192."""

    all: Integer | None
    x: Integer | None
    y: Integer | None
    top: Integer | None
    right: Integer | None
    bottom: Integer | None
    left: Integer | None


class RotateFields(TypedDict):
    """`angle` in whole degrees."""

    angle: Integer
    background: NotRequired[Color | None]
    bg: NotRequired[Color | None]


class SharpenFields(TypedDict, total=False):
    """The sharpening filter's own numbers, 0 or more."""

    sigma: Number | None
    m1: Number | None
    m2: Number | None
    x1: Number | None
    y2: Number | None
    y3: Number | None


class ZoomFields(TypedDict):
    """`factor` 1..10."""

    factor: Number
    gravity: NotRequired[Gravity | None]


class PositionFields(TypedDict, total=False):
    """Where a watermark stands: offsets in pixels, `opacity` 0..1."""

    gravity: Gravity | None
    x: Integer | None
    y: Integer | None
    left: Integer | None
    top: Integer | None
    opacity: Number | None
    blend: str | None


class WatermarkFields(PositionFields, total=False):
    """Another image of the account; its id is needed, in either spelling."""

    image_id: str | UUID
    imageId: str | UUID


class WatermarkTextFields(PositionFields):
    """`size` 1..512, `width` and `height` 1..8192."""

    text: str
    font: NotRequired[str | None]
    size: NotRequired[Integer | None]
    color: NotRequired[Color | None]
    width: NotRequired[Integer | None]
    height: NotRequired[Integer | None]
    align: NotRequired[str | None]


class ShadowFields(TypedDict, total=False):
    """`blur` 0.3..100, offsets in pixels."""

    color: Color | None
    blur: Number | None
    x: Integer | None
    y: Integer | None


class SizeFields(TypedDict, total=False):
    """Pixels 1..8192, `scale` 0.01..10."""

    width: Integer | None
    height: Integer | None
    scale: Number | None


# A tuple stands for a colon string; None in it is an empty part.
Parts: TypeAlias = tuple[object, ...]
Adjust: TypeAlias = str | Number | Parts | AdjustFields | of.Adjust
Contrast: TypeAlias = str | Number | Parts | ContrastFields | of.Contrast
Crop: TypeAlias = str | Parts | CropFields | of.Crop
Duotone: TypeAlias = str | Parts | DuotoneFields | of.Duotone
Extend: TypeAlias = str | Integer | Parts | ExtendFields | of.Extend
Aspect: TypeAlias = str | Number | tuple[Number, Number] | AspectFields
Flip: TypeAlias = FlipWord | Enum | tuple[bool, bool] | FlipFields
Gradient: TypeAlias = str | Parts | GradientFields | of.Gradient
Monochrome: TypeAlias = bool | Color | TintFields
Negate: TypeAlias = bool | Literal["alpha:true", "alpha:false"] | NegateFields
Normalize: TypeAlias = bool | str | tuple[Number, Number] | NormalizeFields | of.Normalize
Padding: TypeAlias = str | Integer | Parts | PaddingFields | of.Padding
Rotate: TypeAlias = str | Integer | Parts | RotateFields | of.Rotate
Sharpen: TypeAlias = bool | Number | SharpenFields | of.Sharpen
Zoom: TypeAlias = str | Number | Parts | ZoomFields | of.Zoom
Watermark: TypeAlias = str | UUID | Parts | WatermarkFields | of.Watermark
WatermarkPosition: TypeAlias = str | Enum | Parts | PositionFields | of.WatermarkPosition
WatermarkShadow: TypeAlias = bool | str | Parts | ShadowFields | of.WatermarkShadow
WatermarkSize: TypeAlias = str | Integer | Parts | SizeFields | of.WatermarkSize
WatermarkText: TypeAlias = str | Number | WatermarkTextFields | of.WatermarkText
