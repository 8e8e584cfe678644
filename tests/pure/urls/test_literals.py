"""Tests of the public tuples of keywords, such as `OUTPUT_FORMATS`."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest

from imgwire_async import urls
from imgwire_async.urls import build_url
from imgwire_async.urls.rules import RULE_BY_NAME

URL = "https://cdn.example/a"
LISTS = {
    "format": urls.OUTPUT_FORMATS,
    "gravity": urls.GRAVITIES,
    "resizing_type": urls.RESIZING_TYPES,
    "resizing_algorithm": urls.RESIZING_ALGORITHMS,
    "color_profile": urls.COLOR_PROFILES,
    "chroma_subsampling": urls.CHROMA_SUBSAMPLINGS,
    "flip": urls.FLIPS,
}


@pytest.mark.parametrize("rule", LISTS)
def test_every_keyword_of_a_tuple_is_accepted_by_its_rule(rule: str) -> None:
    options: Any
    for keyword in LISTS[rule]:
        options = {rule: keyword}
        assert build_url(URL, options).startswith(f"{URL}?{rule}=")
    options = {rule: "no such keyword"}
    with pytest.raises(ValueError, match=LISTS[rule][-1]):
        build_url(URL, options)


def test_every_preset_and_every_crop_mode_is_accepted() -> None:
    for preset in urls.PRESETS:
        assert build_url(URL, preset=preset) == f"{URL}@{preset}"
    for mode in urls.CROP_MODES:
        assert mode in build_url(URL, {"crop": {"x": 0, "y": 0, "width": 5, "height": 5, "mode": mode}})


def test_rules_has_the_49_canonical_names() -> None:
    assert len(set(urls.RULES)) == 49
    assert {"width", "min-width", "watermark_url"} <= set(urls.RULES)
    assert {rule.name for rule in RULE_BY_NAME.values()} == set(urls.RULES)
    keys = typing.cast("set[str]", urls.Rules.__optional_keys__)
    assert {name.replace("-", "_") for name in urls.RULES} <= keys


def test_every_list_of_keywords_is_an_exported_tuple_of_texts() -> None:
    lists = [name for name in urls.__all__ if name.isupper()]
    assert len(lists) == 10
    for name in lists:
        value = getattr(urls, name)
        assert type(value) is tuple
        assert {type(item) for item in value} == {str}
    assert set(urls.__all__) <= set(dir(urls))
    assert set(lists) <= {name for name, _ in inspect.getmembers(urls)}
