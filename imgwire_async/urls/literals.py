"""Keywords of the URL rules: `Literal` types for type checkers, and tuples of the same keywords."""

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

# The keywords of each rule as tuples, without aliases, for the rows of `rules.py` and for users.
PRESETS: tuple[Preset, ...] = get_args(Preset)
MODES: tuple[OnInvalid, ...] = get_args(OnInvalid)
OUTPUT_FORMATS: tuple[FormatName, ...] = get_args(FormatName)
CHROMA_SUBSAMPLINGS: tuple[SubsamplingName, ...] = get_args(SubsamplingName)
COLOR_PROFILES: tuple[ProfileName, ...] = get_args(ProfileName)
RESIZING_ALGORITHMS: tuple[AlgorithmName, ...] = get_args(AlgorithmName)
RESIZING_TYPES: tuple[ResizingName, ...] = get_args(ResizingName)
FLIPS: tuple[FlipName, ...] = get_args(FlipName)
CROP_MODES: tuple[CropMode, ...] = get_args(CropMode)
GRAVITIES: tuple[GravityName, ...] = get_args(GravityName)

# Aliases are replaced by the keyword. `ce` and `center` are both keywords, so neither replaces the other.
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
