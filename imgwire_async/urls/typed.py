"""The signature of a call, for editors and type checkers: every rule and alias as a keyword, with its exact value type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, TypedDict

from imgwire_async.urls import shapes as of
from imgwire_async.urls.words import OnInvalid, Preset

if TYPE_CHECKING:
    from imgwire_async.urls.transformation import Transformation

__all__ = ["OnInvalid", "Options", "Preset", "Rules"]

Options: TypeAlias = "Mapping[str, object] | Transformation | None"


class Rules(TypedDict, total=False):
    """The 49 rules by their names and aliases, hyphens written as underscores. [rules 8]"""

    width: of.Integer
    w: of.Integer
    height: of.Integer
    h: of.Integer
    min_width: of.Integer
    mw: of.Integer
    min_height: of.Integer
    mh: of.Integer
    dpi: of.Integer
    dpr: of.Number
    pixelate: of.Integer
    pix: of.Integer
    quality: of.Quality
    q: of.Quality
    progressive: of.Progressive
    chroma_subsampling: of.Subsampling
    format: of.Format
    f: of.Format
    ext: of.Format
    extension: of.Format
    color_profile: of.Profile
    cp: of.Profile
    icc: of.Profile
    resizing_algorithm: of.Algorithm
    ra: of.Algorithm
    resizing_type: of.Resizing
    gravity: of.GravityRule
    g: of.GravityRule
    enlarge: bool
    el: bool
    keep_copyright: bool
    kcr: bool
    strip_color_profile: bool
    scp: bool
    strip_metadata: bool
    sm: bool
    brightness: of.Number
    br: of.Number
    lightness: of.Number
    l: of.Number  # noqa: E741 - the contract's own alias
    saturation: of.Number
    sa: of.Number
    background_alpha: of.Number
    bga: of.Number
    hue: of.Number
    hu: of.Number
    background: of.Color
    bg: of.Color
    colorize: of.Color
    col: of.Color
    blur: bool | of.Number
    bl: bool | of.Number
    adjust: of.Adjust
    a: of.Adjust
    contrast: of.Contrast
    co: of.Contrast
    crop: of.Crop
    c: of.Crop
    duotone: of.Duotone
    dt: of.Duotone
    extend: of.Extend
    ex: of.Extend
    extend_aspect_ratio: of.Aspect
    exar: of.Aspect
    extend_ar: of.Aspect
    flip: of.Flip
    fl: of.Flip
    gradient: of.Gradient
    gr: of.Gradient
    monochrome: of.Monochrome
    mc: of.Monochrome
    negate: of.Negate
    neg: of.Negate
    normalize: of.Normalize
    norm: of.Normalize
    normalise: of.Normalize
    padding: of.Padding
    pd: of.Padding
    rotate: of.Rotate
    rot: of.Rotate
    sharpen: of.Sharpen
    sh: of.Sharpen
    zoom: of.Zoom
    z: of.Zoom
    watermark: of.Watermark
    wm: of.Watermark
    watermark_position: of.WatermarkPosition
    wmp: of.WatermarkPosition
    watermark_offset: of.WatermarkPosition
    watermark_rotate: of.Rotate
    wmr: of.Rotate
    wm_rot: of.Rotate
    watermark_shadow: of.WatermarkShadow
    wmsh: of.WatermarkShadow
    watermark_size: of.WatermarkSize
    wms: of.WatermarkSize
    watermark_text: of.WatermarkText
    wmt: of.WatermarkText
    watermark_url: str
    wmu: str
