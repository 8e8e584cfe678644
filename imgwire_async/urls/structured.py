"""The types of rules whose values have several parts, such as `crop`.

[rules 8.2]
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping

import attrs

from imgwire_async.urls.colors import COLOR, HEX, JSON_COLOR
from imgwire_async.urls.combinators import (
    EmptyParts,
    Field,
    as_mapping,
    colon_separated,
    encode_part,
    join_parts,
    json_object,
    json_string_of,
    parts_or_object,
    pattern,
    sorted_fields,
    split_parts,
    text_or_object,
)
from imgwire_async.urls.conversions import (
    InvalidValue,
    as_text,
    is_list,
    mismatch,
    parse_boolean,
    parse_number,
)
from imgwire_async.urls.literals import CROP_MODES, FLIPS
from imgwire_async.urls.scalars import (
    BOOLEAN,
    GRAVITY,
    PART_TEXT,
    TEXT,
    ValueType,
    boolean_or,
    enum,
    integer,
    number,
)

SIZE = integer(1, 8192)
_EDGE = integer(0, 8192)
_ANY_INTEGER = integer()
_FACTOR = number(0.01, 10)
_GRAVITY = attrs.evolve(GRAVITY, description="a gravity keyword")
_NOT_NEGATIVE = number(0)

# --- fields that several rules share --------------------------------------------------------------------

GRAVITY_FIELD = Field("gravity", _GRAVITY, json_string_of(_GRAVITY))
BACKGROUND = Field("background", HEX, JSON_COLOR, aliases=("bg",))
BLUR = Field("blur", number(0.3, 100))
WIDTH, HEIGHT = Field("width", SIZE), Field("height", SIZE)
X, Y, LEFT, TOP = (Field(name, _ANY_INTEGER) for name in ("x", "y", "left", "top"))
OPACITY = Field("opacity", number(0, 1))
BLEND = Field("blend", PART_TEXT, json_string_of(TEXT))


def _text_field(name: str) -> Field:
    return Field(name, TEXT, json_string_of(TEXT))


# --- rules that change the picture ----------------------------------------------------------------------

ADJUST = parts_or_object(
    Field("brightness", _FACTOR),
    Field("saturation", _FACTOR),
    Field("color", _FACTOR),
    empty=EmptyParts.KEEP_TRAILING,
)
CONTRAST = parts_or_object(Field("multiplier", _FACTOR, required=True), Field("pivot", number(0, 255)))
DUOTONE = parts_or_object(
    Field("shadowColor", HEX, JSON_COLOR, aliases=("shadow_color",), required=True),
    Field("highlightColor", HEX, JSON_COLOR, aliases=("highlight_color",), required=True),
    minimum=2,
)
EXTEND = parts_or_object(*(Field(edge, _EDGE) for edge in ("top", "right", "bottom", "left")), BACKGROUND)
ROTATE = parts_or_object(Field("angle", _ANY_INTEGER, required=True), BACKGROUND)
ZOOM = text_or_object(
    colon_separated(Field("factor", number(1, 10)), Field("gravity", _GRAVITY)),
    sorted_fields(Field("factor", number(1, 10), required=True), Field("gravity", _GRAVITY)),
    lambda encoded: ":".join(encoded.values()),
)

# The official Python SDK requires fields above 0. Here a field may also be 0. [rules 9 O14]
SHARPEN = boolean_or(
    text_or_object(
        number(above=0),
        sorted_fields(*(Field(name, _NOT_NEGATIVE) for name in ("sigma", "m1", "m2", "x1", "y2", "y3"))),
    )
)

_CROP_PARTS = (WIDTH, HEIGHT, GRAVITY_FIELD)
_CROP_AT_OFFSET_PARTS = (Field("x", integer(0)), Field("y", integer(0)), *_CROP_PARTS)
_CROP_MODE = enum(CROP_MODES)
_CROP_FIELDS = sorted_fields(
    attrs.evolve(WIDTH, required=True),
    attrs.evolve(HEIGHT, required=True),
    GRAVITY_FIELD,
    *_CROP_AT_OFFSET_PARTS[:2],
    Field("mode", _CROP_MODE, json_string_of(_CROP_MODE)),
)


def _crop_text(value: object) -> str:
    given = split_parts(value)
    if not 2 <= len(given) <= 5:
        raise mismatch(value, _CROP_TEXT.description)
    if len(given) == 2:
        # The official Python SDK also adds `ce`, so both build the same URL. [rules 9 S3]
        return f"{join_parts(given, _CROP_PARTS)}:ce"
    return join_parts(given, _CROP_PARTS if len(given) == 3 else _CROP_AT_OFFSET_PARTS)


def _crop_object(encoded: Mapping[str, str]) -> str:
    offsets = [name for name in ("x", "y") if name in encoded]
    if len(offsets) == 1 or (not offsets and encoded.get("mode") == '"extract"'):
        raise InvalidValue("pass x and y together; the mode extract requires both")
    if offsets and "mode" not in encoded:
        # With x and y the default mode is extract, as in the official Node SDK. [rules 9 O10]
        encoded = dict(sorted([*encoded.items(), ("mode", '"extract"')]))
    return json_object(encoded)


_CROP_TEXT = ValueType(f"{pattern(_CROP_PARTS, 2)} or {pattern(_CROP_AT_OFFSET_PARTS, 4)}", _crop_text)
CROP = text_or_object(_CROP_TEXT, _CROP_FIELDS, _crop_object)


_SIDE = number(1, 8192)
_SIDE_RATIO = colon_separated(Field("w", _SIDE), Field("h", _SIDE), minimum=2)
_RATIO_NUMBER = number(0.01, 8192)


def _ratio(value: object) -> str:
    return _SIDE_RATIO.text(value) if parse_number(value) is None else _RATIO_NUMBER.text(value)


def _ratio_object(encoded: Mapping[str, str]) -> str:
    if "width" not in encoded and "height" not in encoded:
        return encoded["ratio"]
    if len(encoded.keys() & {"width", "height"}) == 1:
        raise InvalidValue("pass width and height together")
    # When the object has width, height and a ratio, the ratio is ignored. [rules 9 O3]
    return json_object({"height": encoded["height"], "width": encoded["width"]})


_RATIO = ValueType(f"{_RATIO_NUMBER.description}, w:h (both {_SIDE.description})", _ratio)
EXTEND_ASPECT_RATIO = text_or_object(
    _RATIO,
    sorted_fields(
        Field(
            "ratio",
            attrs.evolve(_RATIO, description="as in the text form"),
            aliases=("aspectRatio", "aspect_ratio"),
        ),
        Field("width", _SIDE),
        Field("height", _SIDE),
    ),
    _ratio_object,
)


_FLIP_KEYWORD = enum(FLIPS)
_FLIP_FIELDS = sorted_fields(Field("horizontal", BOOLEAN), Field("vertical", BOOLEAN))
# Maps (horizontal, vertical) to the keyword in the URL. None leaves the rule out of the URL.
_FLIP_BY_AXES = {
    ("true", "true"): "both",
    ("true", "false"): "horizontal",
    ("false", "true"): "vertical",
    ("false", "false"): None,
}


def _flip(value: object) -> str | None:
    given = split_parts(value)
    if len(given) != 2:
        return _FLIP_KEYWORD.check(value)
    horizontal, vertical = (
        encode_part(field.name, BOOLEAN, part) for field, part in zip(_FLIP_FIELDS, given, strict=True)
    )
    return _FLIP_BY_AXES[horizontal, vertical]


FLIP = text_or_object(
    ValueType(f"{_FLIP_KEYWORD.description}, or horizontal:vertical as booleans", _flip),
    _FLIP_FIELDS,
    lambda encoded: _FLIP_BY_AXES[encoded.get("horizontal", "false"), encoded.get("vertical", "false")],
)


def _comma_colors(value: object) -> str:
    colors = [color for color in as_text(value).split(",") if color.strip()]
    if not colors:
        raise mismatch(value, "a list of colours")
    return ",".join([HEX.text(color) for color in colors])


def _color_list(value: object) -> str:
    if not is_list(value) or not value:
        raise mismatch(value, "a list of colours")
    return f"[{','.join([JSON_COLOR.text(color) for color in value])}]"


GRADIENT = parts_or_object(
    Field(
        "colors",
        ValueType("hex colours joined by commas", _comma_colors),
        ValueType("a list", _color_list),
        required=True,
    ),
    Field("angle", number(-360, 360)),
    OPACITY,
    BLEND,
    empty=EmptyParts.INSIDE,
)


def _monochrome(value: object) -> str:
    given = as_mapping(value)
    tint = None if given is None else given.get("tint")
    return COLOR.text(value if tint is None else tint)


MONOCHROME = boolean_or(ValueType(f"{COLOR.description}, or {{tint}} with a colour", _monochrome))


def _alpha_flag(value: object) -> str:
    given = split_parts(value)
    flag = parse_boolean(given[1]) if len(given) == 2 and given[0] == "alpha" else None
    if flag is None:
        raise mismatch(value, "alpha:true or alpha:false")
    return f"alpha:{'true' if flag else 'false'}"


# An object is written as text with colons, because the CDN does not accept JSON for `negate` and `normalize`.
# [rules 8.2, 9 O1]
NEGATE = boolean_or(
    text_or_object(
        ValueType("alpha:true or alpha:false", _alpha_flag),
        sorted_fields(Field("alpha", BOOLEAN)),
        lambda encoded: f"alpha:{encoded['alpha']}",
    )
)


def _require_order(text: str) -> str:
    lower, upper = text.split(":")
    if float(lower) >= float(upper):
        raise InvalidValue(f"lower ({lower}) is not below upper ({upper})")
    return text


_BOUNDS = colon_separated(Field("lower", number(0, 100)), Field("upper", number(0, 100)), minimum=2)
NORMALIZE = boolean_or(
    text_or_object(
        ValueType(_BOUNDS.description, lambda value: _require_order(_BOUNDS.text(value))),
        sorted_fields(
            Field("lower", number(0, 100), required=True), Field("upper", number(0, 100), required=True)
        ),
        lambda encoded: _require_order(f"{encoded['lower']}:{encoded['upper']}"),
    ),
    off="false",
)


_PADDING = tuple(Field(edge, _EDGE) for edge in ("all", "x", "y", "top", "right", "bottom", "left"))
_PADDING_TEXT = ValueType(
    "all, x:y, top:x:bottom or top:right:bottom:left",
    colon_separated(*(Field(f"part {position}", _EDGE) for position in (1, 2, 3, 4))).check,
)
_PADDING_TYPE = text_or_object(_PADDING_TEXT, sorted_fields(*_PADDING))


def _padding(value: object) -> str | None:
    given = as_mapping(value)
    if given is not None and (given.get("background") is not None or given.get("bg") is not None):
        # The official Python SDK accepts this field, but the guide of the CDN does not have it. [rules 9 O11]
        raise InvalidValue("padding has no background field; use the rule `background`")
    return _PADDING_TYPE.check(value if given is None else given)


PADDING = ValueType(_PADDING_TYPE.description, _padding)

# --- watermarks -----------------------------------------------------------------------------------------


def _image_id(value: object) -> str:
    text = PART_TEXT.text(value)
    if "/" in text:
        raise mismatch(value, "an image id")
    return text


_ID = ValueType("an image id", _image_id)
WATERMARK = parts_or_object(
    Field("imageId", _ID, json_string_of(_ID), aliases=("image_id",), required=True),
    GRAVITY_FIELD,
    X,
    Y,
    more=(OPACITY, BLEND, LEFT, TOP),
    empty=EmptyParts.DROP_TRAILING,
)
WATERMARK_POSITION = parts_or_object(
    GRAVITY_FIELD, X, Y, OPACITY, BLEND, more=(LEFT, TOP), empty=EmptyParts.DROP_TRAILING
)
WATERMARK_SHADOW = boolean_or(
    parts_or_object(Field("color", HEX, JSON_COLOR), BLUR, X, Y, empty=EmptyParts.DROP_TRAILING)
)
WATERMARK_SIZE = parts_or_object(WIDTH, HEIGHT, Field("scale", _FACTOR), empty=EmptyParts.ANY)


def _watermark_text(value: object) -> str:
    text = TEXT.text(value)
    # One official SDK counts code points, another one UTF-16 code units. The limit here is in UTF-16 code
    # units, because a text never has fewer of them than code points. [rules 9 V11]
    if len(text.encode("utf-16-le")) > 2 * 2048:
        raise InvalidValue("a text of more than 2048 UTF-16 code units is too long")
    return text


_WATERMARK_TEXT = ValueType("text of up to 2048 characters", _watermark_text)
WATERMARK_TEXT = text_or_object(
    _WATERMARK_TEXT,
    sorted_fields(
        Field("text", _WATERMARK_TEXT, json_string_of(_WATERMARK_TEXT), required=True),
        _text_field("font"),
        Field("size", integer(1, 512)),
        Field("color", JSON_COLOR),
        WIDTH,
        HEIGHT,
        GRAVITY_FIELD,
        X,
        Y,
        LEFT,
        TOP,
        OPACITY,
        _text_field("blend"),
        _text_field("align"),
    ),
)

# Matches a URL after its scheme: optional user info, a host, an optional port, and optionally a path, query
# and fragment.
_match_after_scheme = re.compile(
    r"(?:[^\s/?#\\@]*@)?"
    r"(?:\[[0-9A-Fa-f:.]+\]|[^\s\x00-\x20\x7f/?#\\@:\[\]<>^|%]+)"
    r"(?::([0-9]{0,5}))?"
    r"(?:[/?#].*)?",
    re.DOTALL,
).fullmatch


def _is_https_url(text: str) -> bool:
    match = _match_after_scheme(text, 8) if text[:8].lower() == "https://" else None
    return match is not None and int(match[1] or 0) <= 65_535


def _watermark_url(value: object) -> str:
    text = as_text(value)
    if _is_https_url(text):
        return b2a_base64(text.encode(), newline=False).decode()
    try:
        inner = a2b_base64(text, strict_mode=True).decode()
    except (Base64Error, ValueError):
        inner = ""
    if not _is_https_url(inner):
        raise mismatch(value, WATERMARK_URL.description)
    return text


WATERMARK_URL = ValueType("an https:// URL, or one in standard, padded base64", _watermark_url)
