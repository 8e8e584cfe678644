"""Show the default of an attrs field in the reference, not the call that declares the field."""

from __future__ import annotations

from typing import Any

import griffe


class FieldDefaults(griffe.Extension):
    """A griffe extension that replaces the value of each attribute that `attrs.field(...)` declares.

    `attrs.field(default=60.0, validator=...)` is shown as `60.0`, a factory as its call, and a field without
    default without a value.
    """

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Replace the value of `attr`. Griffe calls this method for each attribute that it finds."""
        value = attr.value
        if not isinstance(value, griffe.ExprCall) or value.canonical_path != "attrs.field":
            return
        given = {
            keyword.name: keyword.value
            for keyword in value.arguments
            if isinstance(keyword, griffe.ExprKeyword)
        }
        attr.value = f"{given['factory']}()" if "factory" in given else given.get("default")
