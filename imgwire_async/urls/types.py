"""Types for type checkers: the mappings that rules accept as values, and the keywords of `build_url`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Literal, NotRequired, TypeAlias, TypedDict
from uuid import UUID

from imgwire_async.urls import values
from imgwire_async.urls.literals import CropMode, FlipName, OnInvalid, Preset
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
    """Fields of the rule `adjust`: factors 0.01..10."""

    brightness: Number | None
    saturation: Number | None
    color: Number | None


class ContrastFields(TypedDict):
    """Fields of the rule `contrast`: `multiplier` 0.01..10 and `pivot` 0..255."""

    multiplier: Number
    pivot: NotRequired[Number | None]


class CropFields(TypedDict):
    """Fields of the rule `crop`, in pixels. `x` and `y` set the position and must be given together."""

    width: Integer
    height: Integer
    x: NotRequired[Integer | None]
    y: NotRequired[Integer | None]
    gravity: NotRequired[Gravity | None]
    mode: NotRequired[CropMode | Enum | None]


class DuotoneFields(TypedDict, total=False):
    """Fields of the rule `duotone`: two colours, which are both required. Each has two allowed names."""

    shadowColor: AnyColor
    highlightColor: AnyColor
    shadow_color: AnyColor
    highlight_color: AnyColor


class ExtendFields(TypedDict, total=False):
    """Fields of the rule `extend`: edges in pixels, 0..8192."""

    top: Integer | None
    right: Integer | None
    bottom: Integer | None
    left: Integer | None
    background: AnyColor | None
    bg: AnyColor | None


class AspectFields(TypedDict, total=False):
    """Fields of the rule `extend_aspect_ratio`: a ratio under one of three names, or `width` and `height`."""

    ratio: Number | str | tuple[Number, Number] | None
    aspectRatio: Number | str | tuple[Number, Number] | None
    aspect_ratio: Number | str | tuple[Number, Number] | None
    width: Number | None
    height: Number | None


class FlipFields(TypedDict, total=False):
    """Fields of the rule `flip`. A missing field means False."""

    horizontal: bool | None
    vertical: bool | None


class GradientFields(TypedDict):
    """Fields of the rule `gradient`: `angle` -360..360 degrees, `opacity` 0..1."""

    colors: Sequence[AnyColor]
    angle: NotRequired[Number | None]
    opacity: NotRequired[Number | None]
    blend: NotRequired[str | None]


class TintFields(TypedDict):
    """The field of the rule `monochrome`: a colour."""

    tint: AnyColor


class NegateFields(TypedDict):
    """The field of the rule `negate`: whether to negate the alpha channel, too."""

    alpha: bool


class NormalizeFields(TypedDict):
    """Fields of the rule `normalize`: numbers 0..100. `lower` must be less than `upper`."""

    lower: Number
    upper: Number


class PaddingFields(TypedDict, total=False):
    """Fields of the rule `padding`: edges in pixels, 0..8192."""

    all: Integer | None
    x: Integer | None
    y: Integer | None
    top: Integer | None
    right: Integer | None
    bottom: Integer | None
    left: Integer | None


class RotateFields(TypedDict):
    """Fields of the rules `rotate` and `watermark_rotate`: `angle` in whole degrees."""

    angle: Integer
    background: NotRequired[AnyColor | None]
    bg: NotRequired[AnyColor | None]


class SharpenFields(TypedDict, total=False):
    """Fields of the rule `sharpen`: numbers of at least 0, whose meaning the service does not document."""

    sigma: Number | None
    m1: Number | None
    m2: Number | None
    x1: Number | None
    y2: Number | None
    y3: Number | None


class ZoomFields(TypedDict):
    """Fields of the rule `zoom`: `factor` 1..10."""

    factor: Number
    gravity: NotRequired[Gravity | None]


class PositionFields(TypedDict, total=False):
    """Fields of the rule `watermark_position`: offsets in pixels, `opacity` 0..1."""

    gravity: Gravity | None
    x: Integer | None
    y: Integer | None
    left: Integer | None
    top: Integer | None
    opacity: Number | None
    blend: str | None


class WatermarkFields(PositionFields, total=False):
    """Fields of the rule `watermark`. The image id is required, under one of its two names."""

    image_id: str | UUID
    imageId: str | UUID


class WatermarkTextFields(PositionFields):
    """Fields of the rule `watermark_text`: `size` 1..512, `width` and `height` 1..8192 pixels."""

    text: str
    font: NotRequired[str | None]
    size: NotRequired[Integer | None]
    color: NotRequired[AnyColor | None]
    width: NotRequired[Integer | None]
    height: NotRequired[Integer | None]
    align: NotRequired[str | None]


class ShadowFields(TypedDict, total=False):
    """Fields of the rule `watermark_shadow`: `blur` 0.3..100, offsets in pixels."""

    color: AnyColor | None
    blur: Number | None
    x: Integer | None
    y: Integer | None


class SizeFields(TypedDict, total=False):
    """Fields of the rule `watermark_size`: pixels 1..8192, `scale` 0.01..10."""

    width: Integer | None
    height: Integer | None
    scale: Number | None


# A tuple can replace colon-separated text: `(400, 300)` means `400:300`. None is an empty part.
Parts: TypeAlias = tuple[object, ...]
Adjust: TypeAlias = str | Number | Parts | AdjustFields | values.Adjust
Contrast: TypeAlias = str | Number | Parts | ContrastFields | values.Contrast
Crop: TypeAlias = str | Parts | CropFields | values.Crop
Duotone: TypeAlias = str | Parts | DuotoneFields | values.Duotone
Extend: TypeAlias = str | Integer | Parts | ExtendFields | values.Extend
Aspect: TypeAlias = str | Number | tuple[Number, Number] | AspectFields
Flip: TypeAlias = FlipName | Enum | tuple[bool, bool] | FlipFields
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
    """The keyword arguments for rules: all names and aliases. Hyphens in names are written as underscores.

    [rules 8]
    """

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
    l: Number  # noqa: E741 - the alias of the CDN
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
    """The keyword arguments of `responsive_image`, with all rules.

    Functions that pass their keyword arguments to `responsive_image` are annotated with this type.
    """

    widths: Iterable[int] | None
    breakpoints: Breakpoints | None
    densities: Iterable[float]
    upscale: bool
    preset: Preset | None
    on_invalid: OnInvalid
    raw: Mapping[str, object] | None
