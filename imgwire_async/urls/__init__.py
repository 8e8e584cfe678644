"""Image URLs: transformation rules, typed and checked, and responsive images. Pure text, no network.

`rules.py` has one row per rule, `types.py` the same for type checkers. `check.py` turns options into pairs of name and
text, `build.py` pairs into URLs; `read.py` and `parse.py` go the other way. `responsive.py` makes `srcset`s and HTML.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from imgwire_async.urls.build import build_url
    from imgwire_async.urls.literals import (
        CHROMA_SUBSAMPLINGS,
        COLOR_PROFILES,
        CROP_MODES,
        FLIPS,
        GRAVITIES,
        OUTPUT_FORMATS,
        PRESETS,
        RESIZING_ALGORITHMS,
        RESIZING_TYPES,
        OnInvalid,
        Preset,
    )
    from imgwire_async.urls.parse import ParsedUrl, parse_url
    from imgwire_async.urls.responsive import Breakpoint, ResponsiveImage, responsive_image, srcset
    from imgwire_async.urls.rules import RULES
    from imgwire_async.urls.transformation import Transformation
    from imgwire_async.urls.types import Options, Rules
    from imgwire_async.urls.values import (
        Adjust,
        Color,
        Contrast,
        Crop,
        Duotone,
        Extend,
        Gradient,
        Normalize,
        Padding,
        Rotate,
        Sharpen,
        Watermark,
        WatermarkPosition,
        WatermarkShadow,
        WatermarkSize,
        WatermarkText,
        Zoom,
    )

_HOME = {
    "build": ("build_url",),
    "parse": ("ParsedUrl", "parse_url"),
    "responsive": ("Breakpoint", "ResponsiveImage", "responsive_image", "srcset"),
    "rules": ("RULES",),
    "transformation": ("Transformation",),
    "types": ("Options", "Rules"),
    "values": (
        "Adjust",
        "Color",
        "Contrast",
        "Crop",
        "Duotone",
        "Extend",
        "Gradient",
        "Normalize",
        "Padding",
        "Rotate",
        "Sharpen",
        "Watermark",
        "WatermarkPosition",
        "WatermarkShadow",
        "WatermarkSize",
        "WatermarkText",
        "Zoom",
    ),
    "literals": (
        "CHROMA_SUBSAMPLINGS",
        "COLOR_PROFILES",
        "CROP_MODES",
        "FLIPS",
        "GRAVITIES",
        "OUTPUT_FORMATS",
        "PRESETS",
        "RESIZING_ALGORITHMS",
        "RESIZING_TYPES",
        "OnInvalid",
        "Preset",
    ),
}

__all__ = [
    "CHROMA_SUBSAMPLINGS",
    "COLOR_PROFILES",
    "CROP_MODES",
    "FLIPS",
    "GRAVITIES",
    "OUTPUT_FORMATS",
    "PRESETS",
    "RESIZING_ALGORITHMS",
    "RESIZING_TYPES",
    "RULES",
    "Adjust",
    "Breakpoint",
    "Color",
    "Contrast",
    "Crop",
    "Duotone",
    "Extend",
    "Gradient",
    "Normalize",
    "OnInvalid",
    "Options",
    "Padding",
    "ParsedUrl",
    "Preset",
    "ResponsiveImage",
    "Rotate",
    "Rules",
    "Sharpen",
    "Transformation",
    "Watermark",
    "WatermarkPosition",
    "WatermarkShadow",
    "WatermarkSize",
    "WatermarkText",
    "Zoom",
    "build_url",
    "parse_url",
    "responsive_image",
    "srcset",
]


def __getattr__(name: str) -> object:
    # Loaded on first use: whoever builds URLs does not pay for HTML and value classes.
    for module, names in _HOME.items():
        if name in names:
            from importlib import import_module

            found = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = found
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
