"""HTML tags out of untrusted text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import TypeAlias

from imgwire_async.formatting import quoted

Attribute: TypeAlias = "str | int | float | bool | None"

_is_name = re.compile(r"[a-z][a-z0-9:.-]*").fullmatch
_no_text = re.compile("[\x00\ud800-\udfff]")  # what no HTML document can hold


class Html(str):
    """Finished HTML. Jinja, Django and MarkupSafe know by `__html__` that it is not to be escaped again."""

    __slots__ = ()

    def __html__(self) -> str:
        return str.__str__(self)


def attribute_name(keyword: str) -> str:
    """`class_` -> `class`, `data_id` -> `data-id`; `ValueError` for what is no attribute name."""
    name = keyword.rstrip("_").replace("_", "-").lower()
    if not _is_name(name):
        raise ValueError(f"{quoted(keyword)} is no attribute name")
    return name


def tag(name: str, attributes: Mapping[str, Attribute]) -> str:
    """A start tag; True gives a bare attribute, None and False none."""
    parts = [name]
    for key, value in attributes.items():
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{escape(clean(value))}"')
    return f"<{' '.join(parts)}>"


def clean(value: object) -> str:
    """The value as text that an HTML document can hold; it is not escaped."""
    return _no_text.sub("\N{REPLACEMENT CHARACTER}", str(value))
