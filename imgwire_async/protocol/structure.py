"""Decode parsed JSON to models, and find the JSON path of a value that does not fit.

Two cattrs converters use the hooks of `validators`. The fast converter decodes the data. When it fails, the
slower, detailed converter decodes the same data again, to find the path. cattrs is imported when the first
response is decoded. An earlier import would make the import of the client class a third slower.
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
from imgwire_async.protocol.codegen import Hook, generate_decoder
from imgwire_async.protocol.validators import TypeMismatchError, mismatch

if TYPE_CHECKING:
    from cattrs import Converter

T = TypeVar("T")

_SIZES = ("width", "height", "size_bytes")
# Maps fields of an image to the hooks that are used in place of the hooks for their types.
_IMAGE_FIELDS: dict[str, Hook] = {"custom_metadata": validators.metadata, "exif_data": validators.mapping}


def structure(data: object, model: type[T]) -> T:
    """Convert parsed JSON to an object of the type `model`.

    When the data does not fit, raises `TypeMismatchError` or an exception group. `error_path` reads the JSON
    path of the value that does not fit from the notes of these exceptions.
    """
    try:
        return cast("T", hook_for(cast("Any", model), detailed=False)(data, model))
    except Exception:  # noqa: BLE001  # the detailed converter raises an error that has the path
        return cast("T", hook_for(cast("Any", model), detailed=True)(data, model))


def error_path(error: BaseException, path: str = "$") -> tuple[str, str]:
    """Return the JSON path of the first value that does not fit, and the reason.

    `error` is an error of `structure`. `path` is the path of the list or object in which it was raised.
    """
    from cattrs.errors import AttributeValidationNote, IterableValidationNote

    notes: list[object] = getattr(error, "__notes__", [])
    # The notes are read backwards, because the outermost list or object has added its note last.
    for note in reversed(notes):
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
    """Return the cattrs hook that decodes values of the type `kind`.

    When a value does not fit, a detailed hook adds its path to the notes of the error. Detailed hooks are
    slower.
    """
    return _converter(detailed=detailed).get_structure_hook(kind)


@functools.cache
def _converter(*, detailed: bool) -> Converter:
    """Create the fast or the detailed converter, and register all hooks."""
    from cattrs import Converter

    converter = Converter(detailed_validation=detailed)
    plain: tuple[tuple[type, Any], ...] = (
        (str, validators.text),
        (bool, validators.boolean),
        (int, validators.integer),
        (float, validators.number),
        (datetime, validators.time),
    )
    for plain_type, hook in plain:
        converter.register_structure_hook(plain_type, hook)
    converter.register_structure_hook_func(lambda t: t == str | int, validators.text_or_int)
    # Each enum gets its own hook. Otherwise cattrs would use the hook of its base class `str`.
    for enum in models.OpenEnum.__subclasses__():
        converter.register_structure_hook(enum, cast("Any", validators.enum_member))
    converter.register_structure_hook_factory(_is_list, _list_hook_factory(converter))
    converter.register_structure_hook_func(_is_mapping, validators.mapping)
    converter.register_structure_hook_factory(_is_record, functools.partial(_record_hook, converter))
    return converter


def _is_list(kind: Any) -> bool:
    """Return whether a type is `list[...]` or `tuple[...]`."""
    return getattr(kind, "__origin__", None) in {list, tuple}


def _is_mapping(kind: Any) -> bool:
    """Return whether a type is `dict`, `dict[...]` or `Mapping[...]`."""
    return kind is dict or getattr(kind, "__origin__", None) in {dict, Mapping}


def _is_record(kind: Any) -> bool:
    """Return whether a type is a model class."""
    return isinstance(kind, type) and issubclass(kind, models.Record)


def _list_hook_factory(converter: Converter) -> Callable[[Any], Callable[[object, Any], Any]]:
    """Return a function that creates the hook for a `list[...]` or `tuple[...]` type.

    The hook accepts lists only. The hooks of cattrs would accept text, too, and return a list of its
    characters.
    """
    from cattrs.errors import IterableValidationNote

    def factory(cls: Any) -> Callable[[object, Any], Any]:
        item_type = cls.__args__[0]
        as_tuple = cls.__origin__ is tuple
        decode_item = converter.get_structure_hook(item_type)
        detailed = converter.detailed_validation

        def hook(value: object, _: Any) -> Any:
            if type(value) is not list:
                mismatch("a list", value)
            values = cast("list[object]", value)
            if not detailed:
                items = [decode_item(item, item_type) for item in values]
                return tuple(items) if as_tuple else items
            done: list[Any] = []
            for index, item in enumerate(values):
                try:
                    done.append(decode_item(item, item_type))
                except Exception as error:
                    error.add_note(IterableValidationNote("at", index, item_type))
                    raise
            return tuple(done) if as_tuple else done

        return hook

    return factory


def _record_hook(converter: Converter, cls: type[models.Record]) -> Hook:
    """Return the hook that decodes an object to the model `cls`. Unknown fields are stored in `extra`."""
    if converter.detailed_validation:
        hook = _detailed_hook(converter, cls)
    elif cls is models.Image:
        hook = generate_decoder(
            cls, converter.get_structure_hook, hooks=_IMAGE_FIELDS, nullable_fields=_SIZES
        )
    else:
        hook = generate_decoder(cls, converter.get_structure_hook, hooks={}, nullable_fields=())
    if cls is not models.Image:
        return hook

    def image_hook(data: Any, _: Any) -> Any:
        image: models.Image = hook(data, cls)
        if not (image.width and image.height and image.size_bytes):
            _require_sizes(image, data)
        return image

    return image_hook


def _detailed_hook(converter: Converter, cls: type[models.Record]) -> Hook:
    """Return the slower hook for the model `cls`. It adds the path of a value that does not fit to the error.

    In a lenient field (see `_lenient_fields`), a value that does not fit is replaced, and the original value
    is stored in `extra`.
    """
    from cattrs.gen import make_dict_structure_fn, override

    names = frozenset(field.name for field in attrs.fields(cls)) - {"extra"}
    overrides: dict[str, Any] = {"extra": override(omit=True)}
    if cls is models.Image:
        overrides |= {name: override(struct_hook=validators.size) for name in _SIZES}
        overrides |= {name: override(struct_hook=hook) for name, hook in _IMAGE_FIELDS.items()}
    fields = make_dict_structure_fn(cls, converter, **overrides)
    lenient = _lenient_fields(converter, cls)

    def hook(value: Any, _: Any) -> Any:
        data = validators.mapping(value, None)
        replaced = _replacements(data, lenient, cls.__name__)
        valid = {**data, **replaced} if replaced else data
        record: models.Record = fields(valid, cls)
        if replaced or not names.issuperset(data):
            extra = {name: data[name] for name in data if name not in names or name in replaced}
            object.__setattr__(record, "extra", extra)
        return record

    return hook


def _require_sizes(image: models.Image, data: Mapping[str, Any]) -> None:
    """Raise `TypeMismatchError` for a READY image without width, height or size in bytes.

    `data` is the parsed JSON of the image. In images that are not READY, a size may be unknown and is 0.
    """
    if image.status != models.ImageStatus.READY:
        return
    from cattrs.errors import AttributeValidationNote

    for name in _SIZES:
        if data.get(name) is None:
            error = TypeMismatchError("expected an integer once the status is READY, got null")
            error.add_note(AttributeValidationNote("at", name, int))
            raise error


# --- lenient fields -----------------------------------------------------------------------------------------


def _lenient_fields(converter: Converter, cls: type[models.Record]) -> dict[str, tuple[Any, Hook, Hook]]:
    """Return the lenient fields of a model, in which a value that does not fit is replaced without an error.

    The lenient fields are the fields that may be null, and the fields whose content users and cameras write.
    A field with a secret is not lenient: its original value would be stored in `extra`, which is not hidden.

    The result maps each name to the type of the field, its hook, and a function that returns the replacement.
    """
    lenient: dict[str, tuple[Any, Hook, Hook]] = {}
    for field in attrs.fields(attrs.resolve_types(cls)):
        if field.default is None and field.repr is True:
            lenient[field.name] = field.type, converter.get_structure_hook(field.type), _replace_by_none
    if cls is models.Image:
        lenient["custom_metadata"] = dict, validators.metadata, validators.valid_metadata_entries
        lenient["exif_data"] = dict, validators.mapping, validators.valid_metadata_entries
    return lenient


def _replace_by_none(value: object, _: object) -> None:
    """Return None, which replaces a value of the wrong type in a field that may be null."""
    return


def _replacements(
    data: Mapping[str, Any], lenient: Mapping[str, tuple[Any, Hook, Hook]], record: str
) -> dict[str, Any]:
    """Find the values in lenient fields that do not fit, and map each field name to the replacement.

    A warning is logged for each replaced value. `record` is the name of the model.
    """
    replaced: dict[str, Any] = {}
    for name, (kind, hook, replacement) in lenient.items():
        if name not in data:
            continue
        try:
            hook(data[name], kind)
        except TypeMismatchError as error:
            replaced[name] = replacement(data[name], kind)
            _warn_once(record, name, str(error))
    return replaced


_warned: set[tuple[str, str]] = set()


def _warn_once(record: str, name: str, reason: str) -> None:
    """Log a warning about a value that does not fit, once per process for each field of a model."""
    if (record, name) in _warned:
        return
    _warned.add((record, name))
    logger.warning(
        "%s.%s does not fit the contract: %s. The original value is in .extra. This warning is logged once.",
        record,
        name,
        reason,
    )
