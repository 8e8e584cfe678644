"""Build and parse image URLs with transformation rules, and build HTML for responsive images.

Nothing here uses the network. `rules.py` contains the table of rules, and `types.py` their types for type
checkers. `check.py` converts the options of a call to encoded (name, value) pairs, and `build.py` builds a
URL from them. `parse.py` and `read.py` parse a URL. `responsive.py` builds `srcset` attributes and HTML.
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

_NAMES_BY_MODULE = {
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
    # A module is imported when one of its names is first used, so a program that only builds URLs does not
    # import the modules for HTML and for value classes.
    for module, names in _NAMES_BY_MODULE.items():
        if name in names:
            from importlib import import_module

            value = getattr(import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
