"""Parsed JSON -> records, strictly; and where it does not fit, the place.

Two converters share the strict hooks of `leaves`. The fast one decodes; only when it fails does the detailed one run over the
same data, to find the place. cattrs is loaded with the first answer, not with the client class: it is a third of what the class costs.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs

from imgwire_async import models
from imgwire_async.logs import logger
from imgwire_async.protocol import validators
from imgwire_async.protocol.codegen import Hook, builder
from imgwire_async.protocol.validators import TypeMismatchError, mismatch

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

_SIZES = ("width", "height", "size_bytes")
# Fields of an image that its types alone do not tell enough about.
_IMAGE_FIELDS: dict[str, Hook] = {"custom_metadata": validators.metadata, "exif_data": validators.mapping}


def structure(data: object, model: type[T]) -> T:
    """`data` (parsed JSON) as a `model`. Raises `TypeMismatchError` with the place in its notes when it does not fit."""
    try:
        return cast("T", hook_for(cast("Any", model), detailed=False)(data, model))
    except Exception:  # noqa: BLE001  # the second pass says what it was
        return cast("T", hook_for(cast("Any", model), detailed=True)(data, model))


def error_path(error: BaseException, path: str = "$") -> tuple[str, str]:
    """Where in the data the first misfit is, as a JSON path, and what is wrong there."""
    from cattrs.errors import AttributeValidationNote, IterableValidationNote

    notes: list[object] = getattr(error, "__notes__", [])
    for note in reversed(notes):  # the outermost place was noted last
        if isinstance(note, IterableValidationNote):
            path += f"[{note.index}]"
        elif isinstance(note, AttributeValidationNote):
            path += f".{note.name}"
    if isinstance(error, BaseExceptionGroup):
        return error_path(cast("BaseExceptionGroup[Exception]", error).exceptions[0], path)
    if isinstance(error, KeyError):
        return path, "the field is missing"
    return path, str(error) if isinstance(
        error, TypeMismatchError
    ) else f"unreadable ({type(error).__name__})"


@functools.cache
def hook_for(kind: Any, *, detailed: bool) -> Hook:
    """What decodes a `kind`: fast, or in detail, which is slower and leaves the place in its error's notes."""
    return _converter(detailed=detailed).get_structure_hook(kind)


@functools.cache
def _converter(*, detailed: bool) -> Converter:
    from cattrs import Converter

    conv = Converter(detailed_validation=detailed)
    plain: tuple[tuple[type, Any], ...] = (
        (str, validators.text),
        (bool, validators.boolean),
        (int, validators.integer),
        (float, validators.number),
        (datetime, validators.time),
    )
    for leaf, hook in plain:
        conv.register_structure_hook(leaf, hook)
    conv.register_structure_hook_func(lambda t: t == str | int, validators.text_or_int)
    # One by one: they are text, too, and would be taken for that.
    for enum in models.OpenEnum.__subclasses__():
        conv.register_structure_hook(enum, cast("Any", validators.enumerated))
    conv.register_structure_hook_factory(_is_list, _list_hooks(conv))
    conv.register_structure_hook_func(_is_mapping, validators.mapping)
    conv.register_structure_hook_factory(_is_record, functools.partial(_record_hook, conv))
    return conv


def _is_list(kind: Any) -> bool:
    return getattr(kind, "__origin__", None) in {list, tuple}


def _is_mapping(kind: Any) -> bool:
    return kind is dict or getattr(kind, "__origin__", None) in {dict, Mapping}


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, models.Record)


def _list_hooks(conv: Converter) -> Callable[[Any], Callable[[object, Any], Any]]:
    """Return what makes list hooks: a bare text or object where a list is due must not be walked through."""
    from cattrs.errors import IterableValidationNote

    def factory(cls: Any) -> Callable[[object, Any], Any]:
        item_type = cls.__args__[0]
        as_tuple = cls.__origin__ is tuple
        item = conv.get_structure_hook(item_type)
        detailed = conv.detailed_validation

        def hook(value: object, _: Any) -> Any:
            if type(value) is not list:
                mismatch("a list", value)
            values = cast("list[object]", value)
            if not detailed:
                items = [item(each, item_type) for each in values]
                return tuple(items) if as_tuple else items
            done: list[Any] = []
            for index, each in enumerate(values):
                try:
                    done.append(item(each, item_type))
                except Exception as error:
                    error.add_note(IterableValidationNote("at", index, item_type))
                    raise
            return tuple(done) if as_tuple else done

        return hook

    return factory


def _record_hook(conv: Converter, cls: type[models.Record]) -> Hook:
    """Return what decodes one record: its known fields strictly, the unknown ones into `extra`."""
    if conv.detailed_validation:
        hook = _detailed_hook(conv, cls)
    elif cls is models.Image:
        hook = builder(cls, conv.get_structure_hook, hooks=_IMAGE_FIELDS, or_null=_SIZES)
    else:
        hook = builder(cls, conv.get_structure_hook, hooks={}, or_null=())
    if cls is not models.Image:
        return hook

    def image_hook(data: Any, _: Any) -> Any:
        image: models.Image = hook(data, cls)
        if not (image.width and image.height and image.size_bytes):
            _require_sizes(image, data)
        return image

    return image_hook


def _detailed_hook(conv: Converter, cls: type[models.Record]) -> Hook:
    from cattrs.gen import make_dict_structure_fn, override

    names = frozenset(field.name for field in attrs.fields(cls)) - {"extra"}
    special: dict[str, Any] = {"extra": override(omit=True)}
    if cls is models.Image:
        special |= {name: override(struct_hook=validators.size) for name in _SIZES}
        special |= {name: override(struct_hook=hook) for name, hook in _IMAGE_FIELDS.items()}
    fields = make_dict_structure_fn(cls, conv, **special)
    spared = _spared_fields(conv, cls)

    def hook(value: Any, _: Any) -> Any:
        data = validators.mapping(value, None)
        odd = _odd_fields(data, spared, cls.__name__)
        fitting = {name: each for name, each in data.items() if name not in odd} | odd if odd else data
        record: models.Record = fields(fitting, cls)
        if odd or not names.issuperset(data):
            extra = {name: data[name] for name in data if name not in names or name in odd}
            object.__setattr__(record, "extra", extra)
        return record

    return hook


def _require_sizes(image: models.Image, data: Mapping[str, Any]) -> None:
    """0 may stand for null or nothing, which only an unfinished image may have."""
    if image.status != models.ImageStatus.READY:
        return
    from cattrs.errors import AttributeValidationNote

    for name in _SIZES:
        if data.get(name) is None:
            error = TypeMismatchError("expected an integer once the status is READY, got null")
            error.add_note(AttributeValidationNote("at", name, int))
            raise error


# --- odd values in fields that nobody relies on -----------------------------------------------------------------------


def _spared_fields(conv: Converter, cls: type[models.Record]) -> dict[str, tuple[Any, Hook, Hook]]:
    """Fields of a record that may be odd without spoiling it, each with its type, its hook, and what stands for an odd value.

    They are those that may be null anyway, and what users and cameras wrote. A secret is not among them: it must not end
    up where it would be shown.
    """
    spared: dict[str, tuple[Any, Hook, Hook]] = {}
    for field in attrs.fields(attrs.resolve_types(cls)):
        if field.default is None and field.repr is True:
            spared[field.name] = field.type, conv.get_structure_hook(field.type), _nothing
    if cls is models.Image:
        spared["custom_metadata"] = dict, validators.metadata, validators.fitting_metadata
        spared["exif_data"] = dict, validators.mapping, validators.fitting_metadata
    return spared


def _nothing(value: object, _: object) -> None:
    return None


def _odd_fields(
    data: Mapping[str, Any], spared: Mapping[str, tuple[Any, Hook, Hook]], record: str
) -> dict[str, Any]:
    """Return what stands for each odd value among the spared fields of one record."""
    odd: dict[str, Any] = {}
    for name, (kind, hook, instead) in spared.items():
        if name not in data:
            continue
        try:
            hook(data[name], kind)
        except TypeMismatchError as error:
            odd[name] = instead(data[name], kind)
            _tell_odd(record, name, str(error))
    return odd


_told_odd: set[tuple[str, str]] = set()


def _tell_odd(record: str, name: str, reason: str) -> None:
    if (record, name) in _told_odd:  # once for each, not for each record of a listing
        return
    _told_odd.add((record, name))
    logger.warning(
        "%s.%s does not fit the contract: %s. It stands in .extra as it came. This is told once.",
        record,
        name,
        reason,
    )
