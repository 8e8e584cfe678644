"""The keywords that rules accept as values: as `Literal` types for type checkers, and as tuples."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Preset: TypeAlias = Literal["thumbnail", "small", "medium", "large"]
OnInvalid: TypeAlias = Literal["raise", "warn", "omit"]

FormatName: TypeAlias = Literal["auto", "jpg", "jpeg", "png", "webp", "avif", "gif", "tiff"]
SubsamplingName: TypeAlias = Literal["4:4:4", "4:2:2", "auto"]
ProfileName: TypeAlias = Literal["srgb", "rgb16", "cmyk", "keep", "preserve"]
AlgorithmName: TypeAlias = Literal["nearest", "cubic", "mitchell", "lanczos2", "lanczos3"]
ResizingName: TypeAlias = Literal["cover", "contain", "fill", "inside", "outside"]
ResizingAlias: TypeAlias = Literal["fit", "fill-down", "auto", "force"]
FlipName: TypeAlias = Literal["vertical", "horizontal", "both"]
CropMode: TypeAlias = Literal["cover", "extract", "attention", "entropy"]
GravityName: TypeAlias = Literal[
    "ce",
    "center",
    "north",
    "south",
    "east",
    "west",
    "northeast",
    "northwest",
    "southeast",
    "southwest",
    "attention",
    "entropy",
]
GravityAlias: TypeAlias = Literal[
    "n", "no", "s", "so", "e", "ea", "w", "we", "ne", "noea", "nw", "nowe", "se", "soea", "sw", "sowe"
]

# The same keywords as tuples, without aliases. The checks use them, and programs can show them as choices.
PRESETS: tuple[Preset, ...] = get_args(Preset)
ON_INVALID_MODES: tuple[OnInvalid, ...] = get_args(OnInvalid)
OUTPUT_FORMATS: tuple[FormatName, ...] = get_args(FormatName)
CHROMA_SUBSAMPLINGS: tuple[SubsamplingName, ...] = get_args(SubsamplingName)
COLOR_PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)
RESIZING_ALGORITHMS: tuple[AlgorithmName, ...] = get_args(AlgorithmName)
RESIZING_TYPES: tuple[ResizingName, ...] = get_args(ResizingName)
FLIPS: tuple[FlipName, ...] = get_args(FlipName)
CROP_MODES: tuple[CropMode, ...] = get_args(CropMode)
GRAVITIES: tuple[GravityName, ...] = get_args(GravityName)

# Maps each alias to the keyword that is written in the URL. `ce` is not an alias of `center`: the CDN accepts
# both, and both are written as given.
# [rules 5]
GRAVITY_ALIASES = {
    "n": "north",
    "no": "north",
    "s": "south",
    "so": "south",
    "e": "east",
    "ea": "east",
    "w": "west",
    "we": "west",
    "ne": "northeast",
    "noea": "northeast",
    "nw": "northwest",
    "nowe": "northwest",
    "se": "southeast",
    "soea": "southeast",
    "sw": "southwest",
    "sowe": "southwest",
}
RESIZING_ALIASES = {"fit": "inside", "fill-down": "inside", "auto": "inside", "force": "fill"}
