"""The closed word lists of the URL language: `Literal`s for type checkers, and their words for the rows of `rules.py`."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

Preset: TypeAlias = Literal["thumbnail", "small", "medium", "large"]
OnInvalid: TypeAlias = Literal["raise", "warn", "omit"]

FormatWord: TypeAlias = Literal["auto", "jpg", "jpeg", "png", "webp", "avif", "gif", "tiff"]
SubsamplingWord: TypeAlias = Literal["4:4:4", "4:2:2", "auto"]
ProfileWord: TypeAlias = Literal["srgb", "rgb16", "cmyk", "keep", "preserve"]
AlgorithmWord: TypeAlias = Literal["nearest", "cubic", "mitchell", "lanczos2", "lanczos3"]
ResizingWord: TypeAlias = Literal["cover", "contain", "fill", "inside", "outside"]
ResizingAlias: TypeAlias = Literal["fit", "fill-down", "auto", "force"]
FlipWord: TypeAlias = Literal["vertical", "horizontal", "both"]
CropMode: TypeAlias = Literal["cover", "extract", "attention", "entropy"]
GravityWord: TypeAlias = Literal[
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

# The same lists as tuples, for the rows of `rules.py` and for users: the words that a rule takes, without short forms.
PRESETS: tuple[Preset, ...] = get_args(Preset)
MODES: tuple[OnInvalid, ...] = get_args(OnInvalid)
OUTPUT_FORMATS: tuple[FormatWord, ...] = get_args(FormatWord)
CHROMA_SUBSAMPLINGS: tuple[SubsamplingWord, ...] = get_args(SubsamplingWord)
COLOR_PROFILES: tuple[ProfileWord, ...] = get_args(ProfileWord)
RESIZING_ALGORITHMS: tuple[AlgorithmWord, ...] = get_args(AlgorithmWord)
RESIZING_TYPES: tuple[ResizingWord, ...] = get_args(ResizingWord)
FLIPS: tuple[FlipWord, ...] = get_args(FlipWord)
CROP_MODES: tuple[CropMode, ...] = get_args(CropMode)
GRAVITIES: tuple[GravityWord, ...] = get_args(GravityWord)

# Short forms are expanded; `ce` and `center` are both final and stay apart. [rules 5]
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
