"""Generate a decoder function for each model, and compile it.

Decoding is most of the work that the client adds to a response. A generated decoder therefore calls no
function per field, and avoids the constructor of the frozen class, which takes longer than all checks
together. A decoder has to be right only about data that fits. After any exception, `structure` decodes the
same data again in detail, and reports what does not fit.

`generate_decoder(CorsOrigin, ...)` writes and compiles:

    def decode(data, _):
        if type(data) is not dict: reject()
        new, get, known = Raw(), data.get, 5
        v = data['id']
        if type(v) is not str: reject()
        new.id = v
        ...
        new.extra = {} if len(data) == known else {k: data[k] for k in data if k not in names}
        new.__class__ = Record
        return new
"""

from __future__ import annotations

import types
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, NoReturn, Union, cast, get_args, get_origin

import attrs

from imgwire_async import models
from imgwire_async.protocol.validators import TypeMismatchError

Hook = Callable[[Any, Any], Any]

# Types whose checks are inlined. Values of other types are passed to a hook.
_INLINE_CHECKS: dict[object, tuple[str, ...]] = {
    str: ("if type(v) is not str: reject()",),
    bool: ("if type(v) is not bool: reject()",),
    int: ("if type(v) is not int: reject()",),
    datetime: (
        "if type(v) is not str: reject()",
        "v = parse_time(v)",
        "if v.tzinfo is None: v = v.replace(tzinfo=UTC)",
    ),
}


def generate_decoder(
    cls: type[models.Record],
    hook_for: Callable[[Any], Hook],
    *,
    hooks: dict[str, Hook],
    or_null: Collection[str],
) -> Hook:
    """Return a decoder: a function of parsed JSON, and of a type that it ignores, that returns a `cls`.

    It raises any exception for data that does not fit. `hook_for` returns the hook of a type, and `hooks`
    holds the hooks of single fields by name. In the fields named by `or_null`, null means the default.
    """
    fields = [field for field in attrs.fields(attrs.resolve_types(cls)) if field.name != "extra"]
    names = frozenset(field.name for field in fields)
    namespace: dict[str, Any] = {
        "Record": cls,
        "Raw": _unfrozen_subclass(cls),
        "names": names,
        "reject": _reject,
        "parse_time": datetime.fromisoformat,
        "UTC": UTC,
    }
    lines = ["if type(data) is not dict: reject()", f"new, get, known = Raw(), data.get, {len(fields)}"]
    for field in fields:
        kind, nullable = _plain_kind(field.type)
        check = _check_lines(field.name, kind, hooks.get(field.name), hook_for, namespace)
        lines += _field_lines(field, check, namespace, nullable=nullable or field.name in or_null)
    lines += [
        "new.extra = {} if len(data) == known else {k: data[k] for k in data if k not in names}",
        "new.__class__ = Record",
        "return new",
    ]
    text = "\n    ".join(["def decode(data, _):", *lines])
    exec(compile(text, f"<decoder of {cls.__name__}>", "exec"), namespace)  # noqa: S102  # holds names of our own fields only
    return cast("Hook", namespace["decode"])


def _field_lines(
    field: attrs.Attribute[Any], check: Collection[str], namespace: dict[str, Any], *, nullable: bool
) -> list[str]:
    """Return the lines that set one field, or its default when the field is absent."""
    name = field.name
    if field.default is attrs.NOTHING:
        return [f"v = data[{name!r}]", *check, f"new.{name} = v"]
    namespace[f"default_{name}"] = field.default
    checked = [f"    {line}" for line in check]
    if nullable:
        absent = [f"    known -= {name!r} not in data", f"    v = default_{name}"]
        return [f"v = get({name!r})", "if v is None:", *absent, "else:", *checked, f"new.{name} = v"]
    absent = ["    known -= 1", f"    v = default_{name}"]
    return [f"if {name!r} in data:", f"    v = data[{name!r}]", *checked, "else:", *absent, f"new.{name} = v"]


def _check_lines(
    name: str, kind: Any, own: Hook | None, hook_for: Callable[[Any], Hook], namespace: dict[str, Any]
) -> Collection[str]:
    """Return the lines that check, and perhaps convert, the value `v` of one field."""
    if own is None and kind in _INLINE_CHECKS:
        return _INLINE_CHECKS[kind]
    namespace[f"hook_{name}"] = own or hook_for(kind)
    namespace[f"kind_{name}"] = kind
    if own is None and isinstance(kind, type) and issubclass(kind, models.OpenEnum):
        namespace[f"member_{name}"] = {member.value: member for member in kind}.get
        return (f"v = member_{name}(v) or hook_{name}(v, kind_{name})",)
    return (f"v = hook_{name}(v, kind_{name})",)


def _plain_kind(kind: Any) -> tuple[Any, bool]:
    """Return a type without None, and whether the type included None."""
    inner = [member for member in get_args(kind) if member is not type(None)]
    nullable = get_origin(kind) in {Union, types.UnionType} and len(inner) < len(get_args(kind))
    return (Union[tuple(inner)], True) if nullable else (kind, False)  # noqa: UP007  # the number of members varies


def _unfrozen_subclass(cls: type[models.Record]) -> type[models.Record]:
    """Return a subclass of `cls` with the same slots, but without constructor and not frozen.

    A decoder creates an object of it, sets the fields, and then changes the object's class to `cls`.
    """
    members = {
        "__slots__": (),
        "__init__": object.__init__,
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    return cast("type[models.Record]", type(f"Raw{cls.__name__}", (cls,), members))


def _reject() -> NoReturn:
    """Raise an error without a message. The detailed pass then raises one that explains the failure."""
    raise TypeMismatchError
