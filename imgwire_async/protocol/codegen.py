"""Builders of records: for each class the function that one would write by hand, written by this module instead.

Decoding is all the work that the client adds to an answer, so it is done in straight lines: no call per field, none of the
frozen class's own constructor (which takes longer than all checks together). A builder only has to be right about what
fits. Whatever it raises makes `structure` decode the same data once more, slowly, to say what does not fit, and where.

`builder(CorsOrigin, ...)` writes and compiles:

    def build(data, _):
        if type(data) is not dict: refuse()
        new, get, known = Raw(), data.get, 5
        v = data['id']
        if type(v) is not str: refuse()
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

# What is checked on the spot; any other kind has a hook to call.
_ON_THE_SPOT: dict[object, tuple[str, ...]] = {
    str: ("if type(v) is not str: refuse()",),
    bool: ("if type(v) is not bool: refuse()",),
    int: ("if type(v) is not int: refuse()",),
    datetime: (
        "if type(v) is not str: refuse()",
        "v = parse_time(v)",
        "if v.tzinfo is None: v = v.replace(tzinfo=UTC)",
    ),
}


def builder(
    cls: type[models.Record],
    hook_for: Callable[[Any], Hook],
    *,
    hooks: dict[str, Hook],
    or_null: Collection[str],
) -> Hook:
    """A function of parsed JSON (and of a type, which it ignores) that returns a `cls`, or raises anything at all.

    `hook_for` gives the hook of a type, `hooks` those of single fields by name. In the fields `or_null`, null stands for the
    default.
    """
    fields = [field for field in attrs.fields(attrs.resolve_types(cls)) if field.name != "extra"]
    names = frozenset(field.name for field in fields)
    space: dict[str, Any] = {
        "Record": cls,
        "Raw": _raw(cls),
        "names": names,
        "refuse": _refuse,
        "parse_time": datetime.fromisoformat,
        "UTC": UTC,
    }
    lines = ["if type(data) is not dict: refuse()", f"new, get, known = Raw(), data.get, {len(fields)}"]
    for field in fields:
        kind, nullable = _plain_kind(field.type)
        check = _check(field.name, kind, hooks.get(field.name), hook_for, space)
        lines += _taken(field, check, space, nullable=nullable or field.name in or_null)
    lines += [
        "new.extra = {} if len(data) == known else {k: data[k] for k in data if k not in names}",
        "new.__class__ = Record",
        "return new",
    ]
    text = "\n    ".join(["def build(data, _):", *lines])
    exec(compile(text, f"<builder of {cls.__name__}>", "exec"), space)  # noqa: S102  # holds names of our own fields only
    return cast("Hook", space["build"])


def _taken(
    field: attrs.Attribute[Any], check: Collection[str], space: dict[str, Any], *, nullable: bool
) -> list[str]:
    """The lines that take one field: as it must be, as it may be, or its default."""
    name = field.name
    if field.default is attrs.NOTHING:
        return [f"v = data[{name!r}]", *check, f"new.{name} = v"]
    space[f"default_{name}"] = field.default
    checked = [f"    {line}" for line in check]
    if nullable:
        absent = [f"    known -= {name!r} not in data", f"    v = default_{name}"]
        return [f"v = get({name!r})", "if v is None:", *absent, "else:", *checked, f"new.{name} = v"]
    absent = ["    known -= 1", f"    v = default_{name}"]
    return [f"if {name!r} in data:", f"    v = data[{name!r}]", *checked, "else:", *absent, f"new.{name} = v"]


def _check(
    name: str, kind: Any, own: Hook | None, hook_for: Callable[[Any], Hook], space: dict[str, Any]
) -> Collection[str]:
    """The lines that check, and perhaps convert, the value `v` of one field."""
    if own is None and kind in _ON_THE_SPOT:
        return _ON_THE_SPOT[kind]
    space[f"hook_{name}"] = own or hook_for(kind)
    space[f"kind_{name}"] = kind
    if own is None and isinstance(kind, type) and issubclass(kind, models.OpenEnum):
        space[f"member_{name}"] = {member.value: member for member in kind}.get
        return (f"v = member_{name}(v) or hook_{name}(v, kind_{name})",)
    return (f"v = hook_{name}(v, kind_{name})",)


def _plain_kind(kind: Any) -> tuple[Any, bool]:
    """A type without its None, and whether it had one."""
    inner = [each for each in get_args(kind) if each is not type(None)]
    nullable = get_origin(kind) in {Union, types.UnionType} and len(inner) < len(get_args(kind))
    return (Union[tuple(inner)], True) if nullable else (kind, False)  # noqa: UP007  # as many as there are


def _raw(cls: type[models.Record]) -> type[models.Record]:
    """The class in the making: the same slots, but nothing frozen and no constructor. Its instances become `cls` at the end."""
    thawed = {
        "__slots__": (),
        "__init__": object.__init__,
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    return cast("type[models.Record]", type(f"Raw{cls.__name__}", (cls,), thawed))


def _refuse() -> NoReturn:
    raise TypeMismatchError
