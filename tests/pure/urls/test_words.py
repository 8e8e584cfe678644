"""The lists of allowed words that users may loop over: each word is taken, and nothing is missing."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import pytest

from imgwire_async import urls
from imgwire_async.urls import build_url
from imgwire_async.urls.rules import BY_NAME

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
def test_each_word_of_a_list_is_taken_by_its_rule(rule: str) -> None:
    options: Any
    for word in LISTS[rule]:
        options = {rule: word}
        assert build_url(URL, options).startswith(f"{URL}?{rule}=")
    options = {rule: "no such word"}
    with pytest.raises(ValueError, match=LISTS[rule][-1]):
        build_url(URL, options)


def test_each_preset_and_each_crop_mode_is_taken() -> None:
    for preset in urls.PRESETS:
        assert build_url(URL, preset=preset) == f"{URL}@{preset}"
    for mode in urls.CROP_MODES:
        assert mode in build_url(URL, {"crop": {"x": 0, "y": 0, "width": 5, "height": 5, "mode": mode}})


def test_the_rules_are_the_49_names_that_stand_in_urls() -> None:
    assert len(set(urls.RULES)) == 49
    assert {"width", "min-width", "watermark_url"} <= set(urls.RULES)
    assert {rule.name for rule in BY_NAME.values()} == set(urls.RULES)
    keys = typing.cast("set[str]", urls.Rules.__optional_keys__)
    assert {name.replace("-", "_") for name in urls.RULES} <= keys


def test_every_list_is_a_tuple_of_texts_and_listed_with_the_package() -> None:
    lists = [name for name in urls.__all__ if name.isupper()]
    assert len(lists) == 10
    for name in lists:
        value = getattr(urls, name)
        assert type(value) is tuple
        assert {type(word) for word in value} == {str}
    assert set(urls.__all__) <= set(dir(urls))
    assert set(lists) <= {name for name, _ in inspect.getmembers(urls)}
