"""The structured values, rule by rule. [rules 8.2]"""

from __future__ import annotations

import re
from binascii import Error as NotBase64
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping

import attrs

from imgwire_async.urls.colors import COLOR, HEX, JSON_COLOR
from imgwire_async.urls.forms import (
    Empty,
    Field,
    colon,
    fields,
    forms,
    join,
    json_object,
    mapping_of,
    part,
    pattern,
    pieces,
    quoted,
    structured,
)
from imgwire_async.urls.literals import CROP_MODES, FLIPS
from imgwire_async.urls.scalars import (
    BOOLEAN,
    GRAVITY,
    PART_TEXT,
    TEXT,
    Kind,
    Refused,
    as_text,
    flag_or,
    integer,
    is_list,
    number,
    real,
    refuse,
    truth,
    words,
)

SIZE = integer(1, 8192)
_EDGE = integer(0, 8192)
_ANY_INTEGER = integer()
_FACTOR = number(0.01, 10)
_GRAVITY = attrs.evolve(GRAVITY, says="a gravity word")
_NO_LESS_THAN_0 = number(0)

# --- fields that several rules share ----------------------------------------------------------------------------------

GRAVITY_FIELD = Field("gravity", _GRAVITY, quoted(_GRAVITY))
BACKGROUND = Field("background", HEX, JSON_COLOR, others=("bg",))
BLUR = Field("blur", number(0.3, 100))
WIDTH, HEIGHT = Field("width", SIZE), Field("height", SIZE)
X, Y, LEFT, TOP = (Field(name, _ANY_INTEGER) for name in ("x", "y", "left", "top"))
OPACITY = Field("opacity", number(0, 1))
BLEND = Field("blend", PART_TEXT, quoted(TEXT))


def _text(name: str) -> Field:
    return Field(name, TEXT, quoted(TEXT))


# --- the picture itself -----------------------------------------------------------------------------------------------

ADJUST = structured(
    Field("brightness", _FACTOR), Field("saturation", _FACTOR), Field("color", _FACTOR), empty=Empty.STAY
)
CONTRAST = structured(Field("multiplier", _FACTOR, needed=True), Field("pivot", number(0, 255)))
DUOTONE = structured(
    Field("shadowColor", HEX, JSON_COLOR, others=("shadow_color",), needed=True),
    Field("highlightColor", HEX, JSON_COLOR, others=("highlight_color",), needed=True),
    least=2,
)
EXTEND = structured(*(Field(edge, _EDGE) for edge in ("top", "right", "bottom", "left")), BACKGROUND)
ROTATE = structured(Field("angle", _ANY_INTEGER, needed=True), BACKGROUND)
ZOOM = forms(
    colon(Field("factor", number(1, 10)), Field("gravity", _GRAVITY)),
    fields(Field("factor", number(1, 10), needed=True), Field("gravity", _GRAVITY)),
    lambda found: ":".join(found.values()),
)

# The numbers are the sharpening filter's own: none makes sense below 0. [rules 9 O14]
SHARPEN = flag_or(
    forms(
        number(above=0),
        fields(*(Field(name, _NO_LESS_THAN_0) for name in ("sigma", "m1", "m2", "x1", "y2", "y3"))),
    )
)

_CROP = (WIDTH, HEIGHT, GRAVITY_FIELD)
_CROP_AT = (Field("x", integer(0)), Field("y", integer(0)), *_CROP)
_CROP_MODE = words(CROP_MODES)
_CROP_FIELDS = fields(
    attrs.evolve(WIDTH, needed=True),
    attrs.evolve(HEIGHT, needed=True),
    GRAVITY_FIELD,
    *_CROP_AT[:2],
    Field("mode", _CROP_MODE, quoted(_CROP_MODE)),
)


def _crop_text(value: object) -> str:
    given = pieces(value)
    if not 2 <= len(given) <= 5:
        raise refuse(value, _CROP_TEXT.says)
    if len(given) == 2:
        return f"{join(given, _CROP)}:ce"  # as the official Python writes it [rules 9 S3]
    return join(given, _CROP if len(given) == 3 else _CROP_AT)


def _crop_object(found: Mapping[str, str]) -> str:
    placed = [name for name in ("x", "y") if name in found]
    if len(placed) == 1 or (not placed and found.get("mode") == '"extract"'):
        raise Refused("x and y are needed together, and by the mode extract")
    if placed and "mode" not in found:
        found = dict(sorted([*found.items(), ("mode", '"extract"')]))  # [rules 9 O10]
    return json_object(found)


_CROP_TEXT = Kind(f"{pattern(_CROP, 2)} or {pattern(_CROP_AT, 4)}", _crop_text)
CROP = forms(_CROP_TEXT, _CROP_FIELDS, _crop_object)


_SIDE = number(1, 8192)
_SIDES = colon(Field("w", _SIDE), Field("h", _SIDE), least=2)
_RATIO_NUMBER = number(0.01, 8192)


def _ratio(value: object) -> str:
    return _SIDES.text(value) if real(value) is None else _RATIO_NUMBER.text(value)


def _ratio_object(found: Mapping[str, str]) -> str:
    if "width" not in found and "height" not in found:
        return found["ratio"]
    if len(found.keys() & {"width", "height"}) == 1:
        raise Refused("width and height are needed together")
    return json_object({"height": found["height"], "width": found["width"]})  # [rules 9 O3]


_RATIO = Kind(f"{_RATIO_NUMBER.says}, w:h (each {_SIDE.says})", _ratio)
EXTEND_ASPECT_RATIO = forms(
    _RATIO,
    fields(
        Field(
            "ratio", attrs.evolve(_RATIO, says="what the text holds"), others=("aspectRatio", "aspect_ratio")
        ),
        Field("width", _SIDE),
        Field("height", _SIDE),
    ),
    _ratio_object,
)


_FLIP_WORD = words(FLIPS)
_FLIP_FIELDS = fields(Field("horizontal", BOOLEAN), Field("vertical", BOOLEAN))
_FLIP_OF = {
    ("true", "true"): "both",
    ("true", "false"): "horizontal",
    ("false", "true"): "vertical",
    ("false", "false"): None,  # valid, and nothing to do
}


def _flip(value: object) -> str | None:
    given = pieces(value)
    if len(given) != 2:
        return _FLIP_WORD.check(value)
    horizontal, vertical = (
        part(field.name, BOOLEAN, piece) for field, piece in zip(_FLIP_FIELDS, given, strict=True)
    )
    return _FLIP_OF[horizontal, vertical]


FLIP = forms(
    Kind(f"{_FLIP_WORD.says}, or horizontal:vertical as booleans", _flip),
    _FLIP_FIELDS,
    lambda found: _FLIP_OF[found.get("horizontal", "false"), found.get("vertical", "false")],
)


def _comma_colors(value: object) -> str:
    colors = [color for color in as_text(value).split(",") if color.strip()]
    if not colors:
        raise refuse(value, "a list of colours")
    return ",".join([HEX.text(color) for color in colors])


def _color_list(value: object) -> str:
    if not is_list(value) or not value:
        raise refuse(value, "a list of colours")
    return f"[{','.join([JSON_COLOR.text(color) for color in value])}]"


GRADIENT = structured(
    Field(
        "colors",
        Kind("hex colours joined by commas", _comma_colors),
        Kind("a list", _color_list),
        needed=True,
    ),
    Field("angle", number(-360, 360)),
    OPACITY,
    BLEND,
    empty=Empty.INSIDE,
)


def _monochrome(value: object) -> str:
    given = mapping_of(value)
    tint = None if given is None else given.get("tint")
    return COLOR.text(value if tint is None else tint)


MONOCHROME = flag_or(Kind(f"{COLOR.says}, or {{tint}} with a colour", _monochrome))


def _alpha_flag(value: object) -> str:
    given = pieces(value)
    flag = truth(given[1]) if len(given) == 2 and given[0] == "alpha" else None
    if flag is None:
        raise refuse(value, "alpha:true or alpha:false")
    return f"alpha:{'true' if flag else 'false'}"


# Never JSON: the CDN reads text here, and in `normalize` below. [rules 8.2, 9 O1]
NEGATE = flag_or(
    forms(
        Kind("alpha:true or alpha:false", _alpha_flag),
        fields(Field("alpha", BOOLEAN)),
        lambda found: f"alpha:{found['alpha']}",
    )
)


def _rising(text: str) -> str:
    lower, upper = text.split(":")
    if float(lower) >= float(upper):
        raise Refused(f"lower ({lower}) is not below upper ({upper})")
    return text


_BOUNDS = colon(Field("lower", number(0, 100)), Field("upper", number(0, 100)), least=2)
NORMALIZE = flag_or(
    forms(
        Kind(_BOUNDS.says, lambda value: _rising(_BOUNDS.text(value))),
        fields(Field("lower", number(0, 100), needed=True), Field("upper", number(0, 100), needed=True)),
        lambda found: _rising(f"{found['lower']}:{found['upper']}"),
    ),
    off="false",
)


_PADDING = tuple(Field(edge, _EDGE) for edge in ("all", "x", "y", "top", "right", "bottom", "left"))
_PADDING_TEXT = Kind(
    "all, x:y, top:x:bottom or top:right:bottom:left",
    colon(*(Field(f"part {position}", _EDGE) for position in (1, 2, 3, 4))).check,
)
_PADDING_FORMS = forms(_PADDING_TEXT, fields(*_PADDING))


def _padding(value: object) -> str | None:
    given = mapping_of(value)
    if given is not None and (given.get("background") is not None or given.get("bg") is not None):
        raise Refused("padding has no colour of its own, the rule `background` gives it")  # [rules 9 O11]
    return _PADDING_FORMS.check(value if given is None else given)


PADDING = Kind(_PADDING_FORMS.says, _padding)

# --- watermarks -------------------------------------------------------------------------------------------------------


def _image_id(value: object) -> str:
    text = PART_TEXT.text(value)
    if "/" in text:
        raise refuse(value, "an image id")
    return text


_ID = Kind("an image id", _image_id)
WATERMARK = structured(
    Field("imageId", _ID, quoted(_ID), others=("image_id",), needed=True),
    GRAVITY_FIELD,
    X,
    Y,
    more=(OPACITY, BLEND, LEFT, TOP),
    empty=Empty.CUT,
)
WATERMARK_POSITION = structured(GRAVITY_FIELD, X, Y, OPACITY, BLEND, more=(LEFT, TOP), empty=Empty.CUT)
WATERMARK_SHADOW = flag_or(structured(Field("color", HEX, JSON_COLOR), BLUR, X, Y, empty=Empty.CUT))
WATERMARK_SIZE = structured(WIDTH, HEIGHT, Field("scale", _FACTOR), empty=Empty.ANY)


def _mark(value: object) -> str:
    text = TEXT.text(value)
    if (
        len(text.encode("utf-16-le")) > 2 * 2048
    ):  # in units, the smaller of the two ways to count [rules 9 V11]
        raise Refused("a text of more than 2048 UTF-16 units is too long")
    return text


_MARK = Kind("text of up to 2048 characters", _mark)
WATERMARK_TEXT = forms(
    _MARK,
    fields(
        Field("text", _MARK, quoted(_MARK), needed=True),
        _text("font"),
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
        _text("blend"),
        _text("align"),
    ),
)

# What follows the scheme: perhaps user info, a host without blanks, perhaps a port; the rest is free.
_is_host_and_more = re.compile(
    r"(?:[^\s/?#\\@]*@)?"
    r"(?:\[[0-9A-Fa-f:.]+\]|[^\s\x00-\x20\x7f/?#\\@:\[\]<>^|%]+)"
    r"(?::([0-9]{0,5}))?"
    r"(?:[/?#].*)?",
    re.DOTALL,
).fullmatch


def _https(text: str) -> bool:
    match = _is_host_and_more(text, 8) if text[:8].lower() == "https://" else None
    return match is not None and int(match[1] or 0) <= 65_535


def _watermark_url(value: object) -> str:
    text = as_text(value)
    if _https(text):
        return b2a_base64(text.encode(), newline=False).decode()
    try:
        inner = a2b_base64(text, strict_mode=True).decode()
    except (NotBase64, ValueError):
        inner = ""
    if not _https(inner):
        raise refuse(value, WATERMARK_URL.says)
    return text


WATERMARK_URL = Kind("an https:// URL, or one in standard, padded base64", _watermark_url)
