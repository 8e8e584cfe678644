"""The table of the 49 transformation rules: the name of each rule, the type of its value, and its aliases.

To add a rule, add a `Rule` to the table and the type of its value to `types.py`. The checks, the
documentation and the tests read this table.

[rules 8]
"""

from __future__ import annotations

import attrs

from imgwire_async.urls import structured
from imgwire_async.urls.colors import COLOR
from imgwire_async.urls.literals import (
    CHROMA_SUBSAMPLINGS,
    COLOR_PROFILES,
    OUTPUT_FORMATS,
    RESIZING_ALGORITHMS,
    RESIZING_ALIASES,
    RESIZING_TYPES,
)
from imgwire_async.urls.scalars import (
    BOOLEAN,
    GRAVITY_OR_SMART,
    ValueType,
    boolean_or,
    enum,
    integer,
    number,
    one_of,
)


@attrs.frozen(eq=False)
class Rule:
    """A transformation rule.

    `name` is its name in the URL. `aliases` are other names that callers may use. `always_text` matters when
    a URL is parsed: the value stays text even if it consists of digits. An example is the id of a watermark.
    """

    name: str
    value_type: ValueType
    aliases: tuple[str, ...] = ()
    always_text: bool = False


_FACTOR = number(0.01, 10)
_AUTO = enum(["auto"])

RULE_TABLE = (
    Rule("width", structured.SIZE, ("w",)),
    Rule("height", structured.SIZE, ("h",)),
    Rule("min-width", structured.SIZE, ("mw", "min_width")),
    Rule("min-height", structured.SIZE, ("mh", "min_height")),
    Rule("dpi", integer(1, 600)),
    Rule("dpr", number(0.01, 8)),
    Rule("pixelate", integer(2, 256), ("pix",)),
    Rule("quality", one_of(integer(1, 100), _AUTO), ("q",)),
    Rule("progressive", one_of(BOOLEAN, _AUTO)),
    Rule("chroma_subsampling", enum(CHROMA_SUBSAMPLINGS)),
    # The CDN accepts `jpg` and `jpeg`. This package writes `jpg`, like the official Python and Node SDKs.
    # [rules 8.1]
    Rule(
        "format",
        enum([name for name in OUTPUT_FORMATS if name != "jpeg"], {"jpeg": "jpg"}),
        ("f", "ext", "extension"),
    ),
    Rule("color_profile", enum(COLOR_PROFILES), ("cp", "icc")),
    Rule("resizing_algorithm", enum(RESIZING_ALGORITHMS), ("ra",)),
    Rule("resizing_type", enum(RESIZING_TYPES, RESIZING_ALIASES)),
    Rule("gravity", GRAVITY_OR_SMART, ("g",)),
    Rule("enlarge", BOOLEAN, ("el",)),
    Rule("keep_copyright", BOOLEAN, ("kcr",)),
    Rule("strip_color_profile", BOOLEAN, ("scp",)),
    Rule("strip_metadata", BOOLEAN, ("sm",)),
    Rule("brightness", _FACTOR, ("br",)),
    Rule("lightness", _FACTOR, ("l",)),
    Rule("saturation", _FACTOR, ("sa",)),
    Rule("background_alpha", number(0, 1), ("bga",)),
    Rule("hue", number(), ("hu",)),
    Rule("background", COLOR, ("bg",)),
    Rule("colorize", COLOR, ("col",)),
    Rule("blur", boolean_or(number(0.3, 100)), ("bl",)),
    Rule("adjust", structured.ADJUST, ("a",)),
    Rule("contrast", structured.CONTRAST, ("co",)),
    Rule("crop", structured.CROP, ("c",)),
    Rule("duotone", structured.DUOTONE, ("dt",)),
    Rule("extend", structured.EXTEND, ("ex",)),
    Rule("extend_aspect_ratio", structured.EXTEND_ASPECT_RATIO, ("exar", "extend_ar")),
    Rule("flip", structured.FLIP, ("fl",)),
    Rule("gradient", structured.GRADIENT, ("gr",)),
    Rule("monochrome", structured.MONOCHROME, ("mc",)),
    Rule("negate", structured.NEGATE, ("neg",)),
    Rule("normalize", structured.NORMALIZE, ("norm", "normalise")),
    Rule("padding", structured.PADDING, ("pd",)),
    Rule("rotate", structured.ROTATE, ("rot",)),
    Rule("sharpen", structured.SHARPEN, ("sh",)),
    Rule("zoom", structured.ZOOM, ("z",)),
    Rule("watermark", structured.WATERMARK, ("wm",), always_text=True),
    Rule("watermark_position", structured.WATERMARK_POSITION, ("wmp", "watermark_offset")),
    Rule("watermark_rotate", structured.ROTATE, ("wmr", "wm_rot")),
    Rule("watermark_shadow", structured.WATERMARK_SHADOW, ("wmsh",)),
    Rule("watermark_size", structured.WATERMARK_SIZE, ("wms",)),
    Rule("watermark_text", structured.WATERMARK_TEXT, ("wmt",), always_text=True),
    Rule("watermark_url", structured.WATERMARK_URL, ("wmu",)),
)

# The names of all rules, as they are written in URLs.
RULES: tuple[str, ...] = tuple(rule.name for rule in RULE_TABLE)

# Maps each name and each alias to its rule.
RULE_BY_NAME = {name: rule for rule in RULE_TABLE for name in (rule.name, *rule.aliases)}

# The rules that add a watermark (an image or a text), and the rules that have no effect without one of them.
# [rules 9 C1, C2]
SOURCE_RULES = ("watermark", "watermark_text", "watermark_url")
RULES_NEEDING_SOURCE = frozenset(
    {"watermark_position", "watermark_rotate", "watermark_shadow", "watermark_size"}
)

# Maps names of rules in other SDKs and services to the names here. The search for similar names does not find
# them. [rules 9]
SUGGESTED_NAMES = {
    "fm": "format",
    "strip": "strip_metadata",
    "fit": "resizing_type",
    "resize": "resizing_type",
}
