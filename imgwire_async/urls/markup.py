"""Build HTML tags from text that may be untrusted. The text is escaped."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import TypeAlias

from imgwire_async.formatting import quoted

Attribute: TypeAlias = "str | int | float | bool | None"

_is_name = re.compile(r"[a-z][a-z0-9:.-]*").fullmatch
# Matches characters that HTML documents cannot contain.
_forbidden = re.compile("[\x00\ud800-\udfff]")


class Html(str):
    """A string of escaped HTML. Its method `__html__` keeps Jinja and Django from escaping it again."""

    __slots__ = ()

    def __html__(self) -> str:
        return str.__str__(self)


def attribute_name(keyword: str) -> str:
    """Convert a keyword argument to an HTML attribute: `class_` to `class`, `data_id` to `data-id`.

    Raises `ValueError` for a keyword that is not a valid attribute name.
    """
    name = keyword.rstrip("_").replace("_", "-").lower()
    if not _is_name(name):
        raise ValueError(f"{quoted(keyword)} is not a valid attribute name")
    return name


def tag(name: str, attributes: Mapping[str, Attribute]) -> str:
    """Return an HTML start tag.

    An attribute whose value is True is written without a value. If the value is None or False, the attribute
    is left out.
    """
    parts = [name]
    for key, value in attributes.items():
        if value is True:
            parts.append(key)
        elif value is not None and value is not False:
            parts.append(f'{key}="{escape(clean(value))}"')
    return f"<{' '.join(parts)}>"


def clean(value: object) -> str:
    """Convert `value` to text, and replace characters that HTML documents cannot contain by U+FFFD.

    The result is not escaped.
    """
    return _forbidden.sub("\N{REPLACEMENT CHARACTER}", str(value))
