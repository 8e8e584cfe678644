"""What a type checker lets through and an editor completes: the objects of the rules, and every keyword of a call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Literal, NotRequired, TypeAlias, TypedDict
from uuid import UUID

from imgwire_async.urls import values
from imgwire_async.urls.literals import CropMode, FlipWord, OnInvalid, Preset
from imgwire_async.urls.scalar_types import (
    Algorithm,
    Format,
    Gravity,
    GravityRule,
    Integer,
    Number,
    Profile,
    Progressive,
    Quality,
    Resizing,
    Subsampling,
)
from imgwire_async.urls.values import AnyColor

if TYPE_CHECKING:
    from imgwire_async.urls.layout import Breakpoints
    from imgwire_async.urls.transformation import Transformation

__all__ = ["OnInvalid", "Options", "Preset", "ResponsiveOptions", "Rules"]

Options: TypeAlias = "Mapping[str, object] | Transformation | None"


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

    shadowColor: AnyColor
    highlightColor: AnyColor
    shadow_color: AnyColor
    highlight_color: AnyColor


class ExtendFields(TypedDict, total=False):
    """Edges in pixels, 0..8192."""

    top: Integer | None
    right: Integer | None
    bottom: Integer | None
    left: Integer | None
    background: AnyColor | None
    bg: AnyColor | None


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

    colors: Sequence[AnyColor]
    angle: NotRequired[Number | None]
    opacity: NotRequired[Number | None]
    blend: NotRequired[str | None]


class TintFields(TypedDict):
    """The colour of a monochrome picture."""

    tint: AnyColor


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
    background: NotRequired[AnyColor | None]
    bg: NotRequired[AnyColor | None]


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
    color: NotRequired[AnyColor | None]
    width: NotRequired[Integer | None]
    height: NotRequired[Integer | None]
    align: NotRequired[str | None]


class ShadowFields(TypedDict, total=False):
    """`blur` 0.3..100, offsets in pixels."""

    color: AnyColor | None
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
Adjust: TypeAlias = str | Number | Parts | AdjustFields | values.Adjust
Contrast: TypeAlias = str | Number | Parts | ContrastFields | values.Contrast
Crop: TypeAlias = str | Parts | CropFields | values.Crop
Duotone: TypeAlias = str | Parts | DuotoneFields | values.Duotone
Extend: TypeAlias = str | Integer | Parts | ExtendFields | values.Extend
Aspect: TypeAlias = str | Number | tuple[Number, Number] | AspectFields
Flip: TypeAlias = FlipWord | Enum | tuple[bool, bool] | FlipFields
Gradient: TypeAlias = str | Parts | GradientFields | values.Gradient
Monochrome: TypeAlias = bool | AnyColor | TintFields
Negate: TypeAlias = bool | Literal["alpha:true", "alpha:false"] | NegateFields
Normalize: TypeAlias = bool | str | tuple[Number, Number] | NormalizeFields | values.Normalize
Padding: TypeAlias = str | Integer | Parts | PaddingFields | values.Padding
Rotate: TypeAlias = str | Integer | Parts | RotateFields | values.Rotate
Sharpen: TypeAlias = bool | Number | SharpenFields | values.Sharpen
Zoom: TypeAlias = str | Number | Parts | ZoomFields | values.Zoom
Watermark: TypeAlias = str | UUID | Parts | WatermarkFields | values.Watermark
WatermarkPosition: TypeAlias = str | Enum | Parts | PositionFields | values.WatermarkPosition
WatermarkShadow: TypeAlias = bool | str | Parts | ShadowFields | values.WatermarkShadow
WatermarkSize: TypeAlias = str | Integer | Parts | SizeFields | values.WatermarkSize
WatermarkText: TypeAlias = str | Number | WatermarkTextFields | values.WatermarkText


class Rules(TypedDict, total=False):
    """The 49 rules by their names and aliases, hyphens written as underscores. [rules 8]"""

    width: Integer
    w: Integer
    height: Integer
    h: Integer
    min_width: Integer
    mw: Integer
    min_height: Integer
    mh: Integer
    dpi: Integer
    dpr: Number
    pixelate: Integer
    pix: Integer
    quality: Quality
    q: Quality
    progressive: Progressive
    chroma_subsampling: Subsampling
    format: Format
    f: Format
    ext: Format
    extension: Format
    color_profile: Profile
    cp: Profile
    icc: Profile
    resizing_algorithm: Algorithm
    ra: Algorithm
    resizing_type: Resizing
    gravity: GravityRule
    g: GravityRule
    enlarge: bool
    el: bool
    keep_copyright: bool
    kcr: bool
    strip_color_profile: bool
    scp: bool
    strip_metadata: bool
    sm: bool
    brightness: Number
    br: Number
    lightness: Number
    l: Number  # noqa: E741 - the contract's own alias
    saturation: Number
    sa: Number
    background_alpha: Number
    bga: Number
    hue: Number
    hu: Number
    background: AnyColor
    bg: AnyColor
    colorize: AnyColor
    col: AnyColor
    blur: bool | Number
    bl: bool | Number
    adjust: Adjust
    a: Adjust
    contrast: Contrast
    co: Contrast
    crop: Crop
    c: Crop
    duotone: Duotone
    dt: Duotone
    extend: Extend
    ex: Extend
    extend_aspect_ratio: Aspect
    exar: Aspect
    extend_ar: Aspect
    flip: Flip
    fl: Flip
    gradient: Gradient
    gr: Gradient
    monochrome: Monochrome
    mc: Monochrome
    negate: Negate
    neg: Negate
    normalize: Normalize
    norm: Normalize
    normalise: Normalize
    padding: Padding
    pd: Padding
    rotate: Rotate
    rot: Rotate
    sharpen: Sharpen
    sh: Sharpen
    zoom: Zoom
    z: Zoom
    watermark: Watermark
    wm: Watermark
    watermark_position: WatermarkPosition
    wmp: WatermarkPosition
    watermark_offset: WatermarkPosition
    watermark_rotate: Rotate
    wmr: Rotate
    wm_rot: Rotate
    watermark_shadow: WatermarkShadow
    wmsh: WatermarkShadow
    watermark_size: WatermarkSize
    wms: WatermarkSize
    watermark_text: WatermarkText
    wmt: WatermarkText
    watermark_url: str
    wmu: str


class ResponsiveOptions(Rules, total=False):
    """The keywords of `responsive_image`, for functions that hand them on: the rules, and what else it takes."""

    widths: Iterable[int] | None
    breakpoints: Breakpoints | None
    densities: Iterable[float]
    upscale: bool
    preset: Preset | None
    on_invalid: OnInvalid
    raw: Mapping[str, object] | None
