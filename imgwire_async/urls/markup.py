"""Build HTML tags from untrusted text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import TypeAlias

from imgwire_async.formatting import quoted

Attribute: TypeAlias = "str | int | float | bool | None"

_is_name = re.compile(r"[a-z][a-z0-9:.-]*").fullmatch
# HTML documents cannot contain these characters.
_forbidden = re.compile("[\x00\ud800-\udfff]")


class Html(str):
    """Escaped HTML. Jinja, Django and MarkupSafe do not escape an object with `__html__` again."""

    __slots__ = ()

    def __html__(self) -> str:
        return str.__str__(self)


def attribute_name(keyword: str) -> str:
    """Return the HTML attribute for a keyword: `class_` -> `class`, `data_id` -> `data-id`.

    Raises `ValueError` for a keyword that is not a valid attribute name.
    """
    name = keyword.rstrip("_").replace("_", "-").lower()
    if not _is_name(name):
        raise ValueError(f"{quoted(keyword)} is not a valid attribute name")
    return name


def tag(name: str, attributes: Mapping[str, Attribute]) -> str:
    """Return a start tag. An attribute that is True has no value; None and False leave the attribute out."""
    parts = [name]
    for key, value in attributes.items():
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{escape(clean(value))}"')
    return f"<{' '.join(parts)}>"


def clean(value: object) -> str:
    """Return `value` as text, with characters that HTML forbids replaced. The text is not escaped."""
    return _forbidden.sub("\N{REPLACEMENT CHARACTER}", str(value))
