"""For the reference: the default of an attrs field is what its reader wants to see, not the call that declares it."""

from __future__ import annotations

from typing import Any

import griffe


class FieldDefaults(griffe.Extension):
    """Shows `attrs.field(default=60.0, validator=...)` as `60.0`, a factory as its call, and no default as none."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        """Called by griffe for each attribute that it finds."""
        value = attr.value
        if not isinstance(value, griffe.ExprCall) or value.canonical_path != "attrs.field":
            return
        given = {each.name: each.value for each in value.arguments if isinstance(each, griffe.ExprKeyword)}
        attr.value = f"{given['factory']}()" if "factory" in given else given.get("default")
