"""Generate the source code of a decoder function for each model, and compile it.

Decoding is most of the work that the client adds to a response, so it has to be fast. A generated decoder
checks most fields without a function call. It avoids the constructor of the frozen class, which takes longer
than all checks together. A decoder does not explain its errors. After any exception, `structure` decodes the
same data again with a slower decoder, which reports the value that does not fit.

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

# A cattrs hook: it takes a value of parsed JSON and the expected type, and returns the decoded value.
Hook = Callable[[Any, Any], Any]

# Maps a type to the lines that check its value `v`. Values of other types are passed to a hook.
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
    nullable_fields: Collection[str],
) -> Hook:
    """Generate the function `decode(data, _)`, which converts parsed JSON to an object of the class `cls`.

    `decode` raises any exception for data that does not fit. It ignores its second argument, which cattrs
    passes to every hook. `hook_for` returns the hook for a type. `hooks` maps the name of a field to a hook
    that is used in place of the hook for its type. `nullable_fields` are the names of the fields that get
    their default when the data has null.
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
        kind, nullable = _without_none(field.type)
        check = _check_lines(field.name, kind, hooks.get(field.name), hook_for, namespace)
        lines += _field_lines(field, check, namespace, nullable=nullable or field.name in nullable_fields)
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
    """Return the lines of code that set one field of the new object.

    If the data does not have the field, these lines set its default, or raise an error if it has no default.
    """
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
    name: str, kind: Any, field_hook: Hook | None, hook_for: Callable[[Any], Hook], namespace: dict[str, Any]
) -> Collection[str]:
    """Return the lines of code that check and convert the value `v` of one field.

    `kind` is the type of the field. `field_hook` is used in place of the hook for this type. The names that
    the lines use are added to `namespace`.
    """
    if field_hook is None and kind in _INLINE_CHECKS:
        return _INLINE_CHECKS[kind]
    namespace[f"hook_{name}"] = field_hook or hook_for(kind)
    namespace[f"kind_{name}"] = kind
    if field_hook is None and isinstance(kind, type) and issubclass(kind, models.OpenEnum):
        namespace[f"member_{name}"] = {member.value: member for member in kind}.get
        return (f"v = member_{name}(v) or hook_{name}(v, kind_{name})",)
    return (f"v = hook_{name}(v, kind_{name})",)


def _without_none(kind: Any) -> tuple[Any, bool]:
    """Return the type `kind` without None, and whether `kind` was a union with None."""
    inner = [member for member in get_args(kind) if member is not type(None)]
    nullable = get_origin(kind) in {Union, types.UnionType} and len(inner) < len(get_args(kind))
    return (Union[tuple(inner)], True) if nullable else (kind, False)  # noqa: UP007  # the number of members varies


def _unfrozen_subclass(cls: type[models.Record]) -> type[models.Record]:
    """Return a subclass of `cls` whose objects can be created without arguments and changed.

    A decoder creates an object of this subclass, sets the fields, and then changes the object's class to
    `cls`. Python allows the change because both classes have the same slots.
    """
    members = {
        "__slots__": (),
        "__init__": object.__init__,
        "__setattr__": object.__setattr__,
        "__delattr__": object.__delattr__,
    }
    return cast("type[models.Record]", type(f"Raw{cls.__name__}", (cls,), members))


def _reject() -> NoReturn:
    """Raise `TypeMismatchError` without a message.

    The function `structure` catches the error. It decodes the data again with a slower decoder, whose error
    explains the failure.
    """
    raise TypeMismatchError
