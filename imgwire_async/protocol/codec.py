"""Models <-> JSON.

Two converters share the same strict leaf hooks. The fast one decodes; only when it fails does the detailed one run over the
same data, to find the place. Nothing is converted silently: null is never the text "None", 1 is never True.
"""

from __future__ import annotations

import functools
import json as _json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, NoReturn, TypeVar, cast

import attrs
from cattrs import Converter
from cattrs.errors import AttributeValidationNote, IterableValidationNote
from cattrs.gen import make_dict_structure_fn, override

from imgwire_async import errors, models
from imgwire_async.exchange import excerpt, redact
from imgwire_async.protocol.request import Reply

T = TypeVar("T")


def _installed_orjson() -> Any:
    """The module, when the extra `speed` is installed, else None."""
    try:
        import orjson
    except ImportError:
        return None
    return orjson


KEPT_BODY = 10_000  # characters of a body that an error keeps; messages show 300
_DEEPEST = 1024  # orjson's own limit


class MisfitError(ValueError):
    """A value is not what the contract says. Tells types only: the value may be a secret."""


_NAMES = {
    type(None): "null",
    str: "text",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    list: "a list",
    dict: "an object",
}


def _kind(value: Any) -> str:
    return next((name for kind, name in _NAMES.items() if type(value) is kind), "something else")


def _misfit(expected: str, value: object) -> NoReturn:
    raise MisfitError(f"expected {expected}, got {_kind(value)}")


def _text(value: object, _: object) -> str:
    return value if type(value) is str else _misfit("text", value)


def _bool(value: object, _: object) -> bool:
    return value if type(value) is bool else _misfit("a boolean", value)


def _int(value: object, _: object) -> int:
    return value if type(value) is int else _misfit("an integer", value)


def _number(value: object, _: object) -> float:
    # An integer stays one, so that what came in goes out the same.
    return value if type(value) is float or type(value) is int else _misfit("a number", value)


def _size(value: object, _: object) -> int:
    """Like an integer, but null counts as 0: the service may not know sizes before READY."""
    if type(value) is int:
        return value
    return 0 if value is None else _misfit("an integer", value)


def _time(value: object, _: object) -> datetime:
    if type(value) is not str:
        _misfit("a time as text", value)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        raise MisfitError("expected an RFC 3339 time, got other text") from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)


def _object(value: object, _: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        _misfit("an object", value)
    return cast("dict[str, Any]", value)


def _metadata(value: object, _: object) -> dict[str, Any]:
    for name, item in _object(value, None).items():
        if not isinstance(item, str | int | float):
            raise MisfitError(f"expected text, a number or a boolean under {name[:60]!r}, got {_kind(item)}")
    return cast("dict[str, Any]", value)


def _text_or_int(value: object, _: object) -> str | int:
    return value if type(value) is str or type(value) is int else _misfit("text or an integer", value)


def _enum(value: object, cls: type[models.OpenEnum]) -> models.OpenEnum:
    if type(value) is not str:
        _misfit("text", value)
    known = cls._value2member_map_.get(value)  # pyright: ignore[reportPrivateUsage]  # a call of the class costs 5 x
    return cast("models.OpenEnum", known) if known is not None else cls(value)


def _as_tuple(values: list[Any]) -> Any:
    return tuple(values)


def _itself(values: list[Any]) -> list[Any]:
    return values


def _list_hooks(conv: Converter) -> Callable[[Any], Callable[[object, Any], Any]]:
    """A list hook: a bare text or object where a list is due must not be walked through."""

    def factory(cls: Any) -> Callable[[object, Any], Any]:
        item_type = cls.__args__[0]
        build: Callable[[list[Any]], Any] = _as_tuple if cls.__origin__ is tuple else _itself
        item = conv.get_structure_hook(item_type)
        detailed = conv.detailed_validation

        def hook(value: object, _: Any) -> Any:
            if type(value) is not list:
                _misfit("a list", value)
            values = cast("list[object]", value)
            if not detailed:
                return build([item(each, item_type) for each in values])
            done: list[Any] = []
            for index, each in enumerate(values):
                try:
                    done.append(item(each, item_type))
                except Exception as error:
                    error.add_note(IterableValidationNote("at", index, item_type))
                    raise
            return build(done)

        return hook

    return factory


_SIZES = ("width", "height", "size_bytes")
_Hook = Callable[[Any, Any], Any]


def _record_hook(conv: Converter, cls: type[models.Record]) -> _Hook:
    """Decode one record: its known fields strictly, the unknown ones into `extra`."""
    names = frozenset(field.name for field in attrs.fields(cls)) - {"extra"}
    special: dict[str, Any] = {"extra": override(omit=True)}
    if cls is models.Image:
        special |= {name: override(struct_hook=_size) for name in _SIZES}
        special |= {
            "custom_metadata": override(struct_hook=_metadata),
            "exif_data": override(struct_hook=_object),
        }
    fields = make_dict_structure_fn(cls, conv, **special)

    def hook(value: Any, _: Any) -> Any:
        data = _object(value, None)
        record: models.Record = fields(data, cls)
        if not names.issuperset(data):
            object.__setattr__(record, "extra", {name: data[name] for name in data if name not in names})
        return record

    if cls is not models.Image:
        return hook

    def image_hook(data: Any, _: Any) -> Any:
        image: models.Image = hook(data, cls)
        # 0 may stand for null or nothing, which only an unfinished image may have.
        if (
            not (image.width and image.height and image.size_bytes)
            and image.status == models.ImageStatus.READY
        ):
            for name in _SIZES:
                if data.get(name) is None:
                    error = MisfitError("expected an integer once the status is READY, got null")
                    error.add_note(AttributeValidationNote("at", name, int))
                    raise error
        return image

    return image_hook


def _converter(*, detailed: bool) -> Converter:
    conv = Converter(detailed_validation=detailed)
    for leaf, hook in ((str, _text), (bool, _bool), (int, _int), (float, _number), (datetime, _time)):
        conv.register_structure_hook(cast("Any", leaf), cast("Any", hook))
    conv.register_structure_hook_func(lambda t: t == str | int, _text_or_int)
    for (
        enum
    ) in models.OpenEnum.__subclasses__():  # one by one: they are text, too, and would be taken for that
        conv.register_structure_hook(enum, cast("Any", _enum))
    conv.register_structure_hook_factory(_is_list, _list_hooks(conv))
    conv.register_structure_hook_func(_is_mapping, _object)

    def record_hook(cls: type[models.Record]) -> _Hook:
        return _record_hook(conv, cls)

    conv.register_structure_hook_factory(
        lambda t: isinstance(t, type) and issubclass(t, models.Record), record_hook
    )
    return conv


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) in {list, tuple}


def _is_mapping(kind: Any) -> bool:
    return kind is dict or getattr(kind, "__origin__", None) in {dict, Mapping}


@functools.cache
def _hook_for(kind: Any, *, detailed: bool) -> _Hook:
    return _shared_converter(detailed=detailed).get_structure_hook(kind)


@functools.cache
def _shared_converter(*, detailed: bool) -> Converter:
    return _converter(detailed=detailed)


def structure(data: object, model: type[T]) -> T:
    """`data` (parsed JSON) as a `model`. Raises `MisfitError` with the place in its notes when it does not fit."""
    try:
        return cast("T", _hook_for(cast("Any", model), detailed=False)(data, model))
    except Exception:  # noqa: BLE001  # the second pass says what it was
        return cast("T", _hook_for(cast("Any", model), detailed=True)(data, model))


def place(error: BaseException, path: str = "$") -> tuple[str, str]:
    """Where in the data the first misfit is, as a JSON path, and what is wrong there."""
    notes: list[object] = getattr(error, "__notes__", [])
    for note in reversed(notes):  # the outermost place was noted last
        if isinstance(note, IterableValidationNote):
            path += f"[{note.index}]"
        elif isinstance(note, AttributeValidationNote):
            path += f".{note.name}"
    if isinstance(error, BaseExceptionGroup):
        return place(cast("BaseExceptionGroup[Exception]", error).exceptions[0], path)
    if isinstance(error, KeyError):
        return path, "the field is missing"
    return path, str(error) if isinstance(error, MisfitError) else f"unreadable ({type(error).__name__})"


def json_reader(orjson: Any) -> Callable[[bytes], Any]:
    """What parses JSON: the faster module when there is one, else the standard library. Both give and refuse the same."""
    return _loads_plainly if orjson is None else orjson.loads


def _loads_plainly(body: bytes) -> Any:
    try:
        data = _PLAIN.decode(body.decode("utf-8"))
        # The standard library is more patient in these two: half a surrogate pair is no text, a tower of brackets no answer.
        if b"\\ud" in body or b"\\uD" in body:
            _ENCODER.encode(data).encode()
        if body.count(b"[") + body.count(b"{") > _DEEPEST:
            _require_shallow(data)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return data


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _bounded_int(digits: str) -> int | float:
    if len(digits) < 19:
        return int(digits)
    return number if len(digits) < 21 and -(2**63) <= (number := int(digits)) < 2**64 else _finite(digits)


def _require_shallow(data: object) -> None:
    level = list(_containers([data]))
    for _ in range(_DEEPEST):
        level = [inner for each in level for inner in _containers(each)]
    if level:
        raise ValueError("nested too deeply")


def _containers(value: Any) -> Iterator[object]:
    inside: Iterable[object] = cast("dict[str, object]", value).values() if isinstance(value, dict) else value
    for each in inside:
        if isinstance(each, list | dict):
            yield cast("object", each)


_PLAIN = _json.JSONDecoder(parse_constant=_no_constant, parse_int=_bounded_int, parse_float=_finite)
# Requests are small, and one encoder for everybody refuses the same things with and without orjson (which writes NaN as null).
_ENCODER = _json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_loads = json_reader(_installed_orjson())


def loads(body: bytes) -> Any:
    """Parsed JSON. Raises `ValueError` for what is no JSON."""
    return _loads(body)


def dumps(data: object) -> bytes:
    """`data` as compact JSON in UTF-8. Raises `TypeError` or `ValueError` for what JSON cannot say."""
    return _ENCODER.encode(data).encode()


def parse(reply: Reply) -> Any:
    """The body of a successful answer as parsed JSON, or a `DecodeError`."""
    try:
        return loads(reply.body)
    except ValueError as error:
        what = "an empty body" if not reply.body.strip() else f"a body that is no JSON ({_position(error)})"
        raise _decode_error(reply, "$", what) from None


def _position(error: ValueError) -> str:
    text = str(error)  # may quote the offending text in neither library
    return excerpt(text, 120)


def decode(reply: Reply, model: type[T]) -> T:
    """The body of a successful answer as a `model`, or a `DecodeError` that names the place."""
    data = parse(reply)
    try:
        return structure(data, model)
    except Exception as error:  # noqa: BLE001  # cattrs raises groups of anything; all of it means "does not fit"
        path, reason = place(error)
        raise _decode_error(reply, path, reason) from None


def kept(body: bytes, *secrets: str) -> str:
    """The part of a body that an error keeps, as text. Cut only after the secrets are out: half of one is still one."""
    return redact(body[: KEPT_BODY * 4].decode("utf-8", "replace"), *secrets)[:KEPT_BODY]


def _decode_error(reply: Reply, path: str, reason: str) -> errors.DecodeError:
    exchange = reply.exchange
    carried_out = (
        " The service carried the call out, only its answer is unreadable: look before you repeat it."
        if exchange.method not in {"GET", "HEAD"}
        else ""
    )
    return errors.DecodeError(
        f"{exchange}: HTTP {reply.status}, but the answer does not fit: {path}: {reason}.{carried_out} "
        "If this goes on, a newer version of imgwire-async may know the new form.",
        path=path,
        body=kept(reply.body),
        exchange=exchange,
    )


# --- models -> JSON ---------------------------------------------------------------------------------------------------


def to_dict(model: models.Record) -> dict[str, Any]:
    """`model` as JSON-ready data, equal to what came in: unknown fields included, times in RFC 3339, absent nulls as null."""
    if not isinstance(model, models.Record):  # pyright: ignore[reportUnnecessaryIsInstance]  # not everybody checks types
        raise TypeError(f"to_dict takes a record of the service (an Image, ...), not {type(model).__name__}")
    fields = {
        field.name: _plain(getattr(model, field.name))
        for field in attrs.fields(type(model))
        if field.name != "extra"
    }
    extra: dict[str, Any] = _plain(model.extra)
    return fields | extra


def _plain(value: object) -> Any:
    if isinstance(value, models.Record):
        return to_dict(value)
    if isinstance(value, datetime):
        text = value.isoformat()
        return f"{text[:-6]}Z" if text.endswith("+00:00") else text
    if isinstance(value, models.OpenEnum):
        return value.value
    if isinstance(value, tuple | list):
        return [_plain(item) for item in cast("tuple[object, ...]", value)]
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in cast("dict[str, object]", value).items()}
    return value
