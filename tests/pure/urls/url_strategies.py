"""Hypothesis strategies for valid values of every rule.

[rules 4-8]
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from imgwire_async.urls import literals
from imgwire_async.urls.rules import RULE_TABLE, RULES_NEEDING_SOURCE, SOURCE_RULES

Strategy = st.SearchStrategy[Any]


def integers(low: int, high: int) -> Strategy:
    number = st.integers(low, high)
    return st.one_of(
        number, number.map(str), number.map(float), number.map(Decimal), number.map(lambda n: f" {n:05d} ")
    )


def numbers(low: float, high: float) -> Strategy:
    number = st.floats(low, high, allow_nan=False)
    decimal = st.decimals(Decimal(str(low)), Decimal(str(high)), places=3)
    return st.one_of(number, number.map(repr), decimal, decimal.map(str))


def joined(*parts: Strategy, minimum: int = 1) -> Strategy:
    """Return colon strings and tuples with at least `minimum` of the parts."""
    tuples = st.one_of([st.tuples(*parts[:n]) for n in range(minimum, len(parts) + 1)])
    return st.one_of(tuples, tuples.map(lambda items: ":".join(map(_part, items))))


def _part(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def objects(optional: dict[str, Strategy], required: dict[str, Strategy] | None = None) -> Strategy:
    minimum = 0 if required else 1
    return st.fixed_dictionaries(required or {}, optional=optional).filter(
        lambda fields: len(fields) >= minimum
    )


def any_case(keywords: Any) -> Strategy:
    return st.sampled_from(sorted(keywords)).flatmap(
        lambda keyword: st.sampled_from([keyword, keyword.upper(), f" {keyword.title()}"])
    )


text = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda t: t.strip() != ""
)
colonless = text.filter(lambda t: ":" not in t and not t.lstrip().startswith("{"))
flags = st.sampled_from([True, False, 1, 0, 1.0, "true", "T", "1", "false", "F", "0"])
switches = st.sampled_from([True, False, "true", "t", "1", "false", "f", "0"])
hexes = st.tuples(
    st.sampled_from(["", "#"]),
    st.one_of([st.text("0123456789abcdefABCDEF", min_size=n, max_size=n) for n in (3, 6, 8)]),
).map("".join)
channels = st.tuples(*[st.integers(0, 255)] * 3)
colors = st.one_of(
    hexes,
    channels,
    channels.map(lambda items: ":".join(map(str, items))),
    channels.map(lambda items: dict(zip("rgb", items, strict=True))),
    st.tuples(channels, numbers(0, 1)).map(lambda items: (*items[0], items[1])),
)
gravities = any_case([*literals.GRAVITIES, *literals.GRAVITY_ALIASES])
size, edge, signed, factor, opacity = (
    integers(1, 8192), integers(0, 8192), integers(-9999, 9999), numbers(0.01, 10), numbers(0, 1)
)  # fmt: skip
position = {
    "gravity": gravities,
    "x": signed,
    "y": signed,
    "left": signed,
    "top": signed,
    "opacity": opacity,
    "blend": text,
}
image_ids = colonless.filter(lambda t: "/" not in t)
rotations = st.one_of(signed, joined(signed, hexes), objects({"background": colors}, {"angle": signed}))
bounds = st.tuples(numbers(0, 49), numbers(50, 100))
ratio = st.one_of(numbers(0.01, 8192), joined(numbers(1, 8192), numbers(1, 8192), minimum=2))
hosts = st.text("abcdefghij.-é", min_size=1, max_size=20)

VALUES: dict[str, Strategy] = {
    **dict.fromkeys(["width", "height", "min-width", "min-height"], size),
    **dict.fromkeys(["enlarge", "keep_copyright", "strip_color_profile", "strip_metadata"], flags),
    **dict.fromkeys(["brightness", "lightness", "saturation"], factor),
    **dict.fromkeys(["background", "colorize"], colors),
    **dict.fromkeys(["rotate", "watermark_rotate"], rotations),
    "dpi": integers(1, 600),
    "dpr": numbers(0.01, 8),
    "pixelate": integers(2, 256),
    "quality": st.one_of(integers(1, 100), any_case(["auto"])),
    "progressive": st.one_of(flags, any_case(["auto"])),
    "chroma_subsampling": any_case(literals.CHROMA_SUBSAMPLINGS),
    "format": any_case(literals.OUTPUT_FORMATS),
    "color_profile": any_case(literals.COLOR_PROFILES),
    "resizing_algorithm": any_case(literals.RESIZING_ALGORITHMS),
    "resizing_type": any_case([*literals.RESIZING_TYPES, *literals.RESIZING_ALIASES]),
    "gravity": st.one_of(gravities, colonless.map(lambda t: f"{t}:sm")),
    "background_alpha": opacity,
    "hue": st.one_of(st.integers(), st.floats(allow_nan=False, allow_infinity=False), numbers(-720, 720)),
    "blur": st.one_of(switches, numbers(0.3, 100), st.just(1)),
    "adjust": st.one_of(factor, joined(factor, st.one_of(st.just(""), factor), factor), objects({"brightness": factor, "saturation": factor, "color": factor})),
    "contrast": st.one_of(joined(factor, numbers(0, 255)), objects({"pivot": numbers(0, 255)}, {"multiplier": factor})),
    "crop": st.one_of(
        joined(size, size, gravities, minimum=2),
        joined(edge, edge, size, size, gravities, minimum=4),
        st.tuples(size, size, gravities),
        objects({"gravity": gravities, "mode": any_case(["cover", "attention", "entropy"])}, {"width": size, "height": size}),
        objects({"gravity": gravities}, {"width": size, "height": size, "x": edge, "y": edge}),
    ),
    "duotone": st.one_of(joined(hexes, hexes, minimum=2), objects({}, {"shadowColor": colors, "highlightColor": colors}), st.tuples(colors.filter(lambda c: not isinstance(c, str)), hexes)),
    "extend": st.one_of(joined(edge, edge, edge, edge, hexes), objects({"top": edge, "left": edge, "background": colors})),
    "extend_aspect_ratio": st.one_of(ratio, objects({}, {"width": numbers(1, 8192), "height": numbers(1, 8192)}), objects({}, {"ratio": ratio})),
    "flip": st.one_of(any_case(literals.FLIPS), st.tuples(flags, flags), objects({"horizontal": flags, "vertical": flags})),
    "gradient": st.one_of(
        joined(st.lists(hexes, min_size=1).map(",".join), numbers(-360, 360), opacity, colonless.map(str.strip)),
        objects({"angle": numbers(-360, 360), "opacity": opacity, "blend": text}, {"colors": st.lists(colors, min_size=1)}),
    ),
    "monochrome": st.one_of(switches, colors, colors.map(lambda c: {"tint": c})),
    "negate": st.one_of(switches, flags.map(lambda flag: {"alpha": flag}), flags.map(lambda flag: ("alpha", flag))),
    "normalize": st.one_of(switches, bounds, bounds.map(lambda two: {"lower": two[0], "upper": two[1]})),
    "padding": st.one_of(joined(edge, edge, edge, edge), objects({"all": edge, "x": edge, "top": edge})),
    "sharpen": st.one_of(switches, numbers(0.01, 1e6), objects({"sigma": numbers(0, 9), "m1": numbers(0, 9), "x1": numbers(0, 9)})),
    "zoom": st.one_of(joined(numbers(1, 10), gravities), objects({"gravity": gravities}, {"factor": numbers(1, 10)})),
    "watermark": st.one_of(joined(image_ids, gravities, signed, signed), objects(position, {"image_id": image_ids})),
    "watermark_position": st.one_of(joined(gravities, signed, signed, opacity, colonless), objects(position)),
    "watermark_shadow": st.one_of(switches, joined(hexes, numbers(0.3, 100), signed, signed), objects({"color": colors, "x": signed})),
    "watermark_size": st.one_of(joined(size, st.one_of(st.just(""), size), factor), objects({"width": size, "scale": factor})),
    "watermark_text": st.one_of(text.filter(lambda t: not t.strip().startswith("{")), numbers(0, 5), objects(position | {"size": integers(1, 512), "color": colors, "font": text}, {"text": text})),
    "watermark_url": st.tuples(hosts, text).map(lambda two: f"https://{two[0]}/{two[1]}"),
}  # fmt: skip

assert VALUES.keys() == {rule.name for rule in RULE_TABLE}


def _with_valid_watermark(rules: dict[str, Any]) -> dict[str, Any]:
    """Keep one watermark source at most, and rules that need a source only beside one."""
    sources = [name for name in SOURCE_RULES if name in rules]
    dropped = set(sources[1:]) | (set() if sources else RULES_NEEDING_SOURCE)
    return {name: value for name, value in rules.items() if name not in dropped}


rule_sets = st.fixed_dictionaries({}, optional=VALUES).map(_with_valid_watermark)
