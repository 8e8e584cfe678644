"""Tests that a value class has the same result as the mapping that it replaces."""

from __future__ import annotations

import copy
import pickle
from typing import Any
from uuid import UUID

import attrs
import pytest

from imgwire_async.errors import TransformationError
from imgwire_async.urls import (
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
    Transformation,
    Watermark,
    WatermarkPosition,
    WatermarkShadow,
    WatermarkSize,
    WatermarkText,
    Zoom,
    values,
)
from imgwire_async.urls.scalars import Value

BLACK = {"r": 0, "g": 0, "b": 0}
PAIRS: list[tuple[str, Value, object]] = [
    ("adjust", Adjust(1.5, color=2), {"brightness": 1.5, "color": 2}),
    ("background", Color(1, 2, 3, 0.5), {"r": 1, "g": 2, "b": 3, "alpha": 0.5}),
    ("contrast", Contrast(1.5, 100), {"multiplier": 1.5, "pivot": 100}),
    ("crop", Crop(4, 3, x=1, y=2), {"width": 4, "height": 3, "x": 1, "y": 2}),
    ("crop", Crop(4, 3, gravity="ne", mode="attention"), {"width": 4, "height": 3, "gravity": "ne", "mode": "attention"}),
    ("duotone", Duotone("#fff", Color(0, 0, 0)), {"shadowColor": "#fff", "highlightColor": BLACK}),
    ("extend", Extend(top=1, background="fff"), {"top": 1, "background": "fff"}),
    ("gradient", Gradient(["#fff", Color(0, 0, 0)], 45, blend="over"), {"colors": ["#fff", BLACK], "angle": 45, "blend": "over"}),
    ("monochrome", Color(0, 0, 0), BLACK),
    ("normalize", Normalize(1, 99), {"lower": 1, "upper": 99}),
    ("padding", Padding(x=1, bottom=2), {"x": 1, "bottom": 2}),
    ("rotate", Rotate(45, "fff"), {"angle": 45, "background": "fff"}),
    ("sharpen", Sharpen(sigma=1, m1=2), {"sigma": 1, "m1": 2}),
    ("watermark", Watermark(UUID(int=7), "se", x=1, opacity=0.5), {"image_id": str(UUID(int=7)), "gravity": "se", "x": 1, "opacity": 0.5}),
    ("watermark_position", WatermarkPosition("se", left=3), {"gravity": "se", "left": 3}),
    ("watermark_rotate", Rotate(45), {"angle": 45}),
    ("watermark_shadow", WatermarkShadow("000", 2, 1), {"color": "000", "blur": 2, "x": 1}),
    ("watermark_size", WatermarkSize(scale=0.5), {"scale": 0.5}),
    ("watermark_text", WatermarkText("hi", font="Inter", color=Color(0, 0, 0), align="center"), {"text": "hi", "font": "Inter", "color": BLACK, "align": "center"}),
    ("zoom", Zoom(2, "n"), {"factor": 2, "gravity": "n"}),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "value", "mapping"), PAIRS)
def test_a_value_class_has_the_result_of_its_mapping(rule: str, value: Value, mapping: object) -> None:
    assert Transformation({rule: value}) == Transformation({rule: mapping})


def test_every_value_class_is_tested() -> None:
    classes = {
        name
        for name, value in vars(values).items()
        if isinstance(value, type) and issubclass(value, Value) and name[0] not in "_V"
    }
    assert {type(value).__name__ for _, value, _ in PAIRS} == classes


@pytest.mark.parametrize("value", [value for _, value, _ in PAIRS])
def test_values_are_frozen_hashable_and_can_be_pickled(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == copy.deepcopy(value) == value
    assert len({value, copy.copy(value)}) == 1
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, attrs.fields(type(value))[0].name, 1)


def test_values_are_checked_when_they_are_used() -> None:
    with pytest.raises(TransformationError, match="crop: width: 0 is not a whole number"):
        Transformation(crop=Crop(0, 5))
