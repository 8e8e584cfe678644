"""Check the columns and the values of a manifest. Pure functions.

A row is a mapping from names of columns to values, without the columns that are empty in this row.
"""

from __future__ import annotations

import functools
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeGuard, cast

import attrs

from imgwire_async import checks
from imgwire_async.batch.items import RemoteFile
from imgwire_async.batch.keys import key_bytes, url_key
from imgwire_async.batch.sources.base import MAX_KEY
from imgwire_async.formatting import quoted
from imgwire_async.resources import arguments
from imgwire_async.uploads.item import UploadItem
from imgwire_async.urls.conversions import nearest

COLUMNS = ("path", "url", "key", "file_name", "mime_type", "purpose", "hash_sha256", "custom_metadata")
METADATA = "metadata."

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_NOT_UTF8 = re.compile("[\udc80-\udcff]")
_SHA256 = re.compile("[0-9a-fA-F]{64}")


class BadRow(NamedTuple):
    """A row that cannot be split into columns, and its last line."""

    text: str
    last: int


class CheckedRow(NamedTuple):
    """One file of a manifest. `path` is absolute, None for a URL."""

    key: str
    path: str | None
    item: UploadItem | str


@attrs.frozen
class Mistake:
    """A mistake in a manifest: the lines or the row, the column if it is known, and the reason."""

    where: str
    column: str | None
    text: str

    def __str__(self) -> str:
        column = "" if self.column is None else f", column {shown(self.column)}"
        return f"{self.where}{column}: {self.text}"


@attrs.frozen
class RejectedRow:
    """A row that cannot be uploaded: the key by which the journal knows it, and its mistakes."""

    key: str
    mistakes: list[Mistake]


def shown(text: str) -> str:
    """Return a name or value for messages, without URLs, because their queries may be secrets."""
    return "a text with a URL" if "://" in text else quoted(text)


def column_mistake(name: str) -> str | None:
    """Return why a column cannot be used, None for a known one."""
    if name in COLUMNS or (name.startswith(METADATA) and len(name) > len(METADATA)):
        return None
    near = METADATA + "NAME" if name.startswith("metadata") else nearest(name.strip(), COLUMNS)
    return "it is unknown" + (f" (did you mean {near!r}?)" if near else "")


def without_repeated_names(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object as a dict. Raises `ValueError` if a name comes twice."""
    pairs = list(pairs)
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"it has the name {shown(next(iter(repeated([name for name, _ in pairs]))))} twice")
    return found


def repeated(names: Iterable[str]) -> list[str]:
    """Return the names that come more than once, in their order. There may be many thousands."""
    return [name for name, count in Counter(names).items() if count > 1]


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def load_json(text: str) -> object:
    """Return the value of a JSON text. Raises `ValueError` whose message does not contain the text."""
    try:
        return json.loads(text, object_pairs_hook=without_repeated_names, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ValueError(f"it is no JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _is_plain(value: object) -> TypeGuard[str]:
    """Return whether a value is a text that every column accepts. This is the fast check of most values."""
    return type(value) is str and value.isascii() and value.isprintable() and 0 < len(value) <= 255


# --- values -------------------------------------------------------------------------------------------------


def _text(value: object, max_length: int | None = None) -> str:
    if _is_plain(value):
        return value
    if isinstance(value, str):
        if _NOT_UTF8.search(value):
            raise ValueError("it is not UTF-8; save the manifest as UTF-8")
        if "\0" in value:
            raise ValueError("it must not contain a NUL character")
    return checks.nonempty_text("it", value, max_length=max_length)


def _hash(value: object) -> str | bool:
    if isinstance(value, bool):
        return value
    text = _text(value)
    if _SHA256.fullmatch(text) is None:
        raise ValueError(f"it must be 64 hexadecimal digits, not {shown(text)}")
    return text


def _mime_type(value: object) -> str:
    return checks.printable_ascii("it", _text(value)) or ""


# How to check the columns that become arguments of an upload.
_ARGUMENTS: dict[str, Callable[[Any], Any]] = {
    "file_name": _text,
    "mime_type": _mime_type,
    "purpose": lambda value: _text(value, 255),
    "hash_sha256": _hash,
}


def _metadata_object(value: object) -> dict[str, Any]:
    if isinstance(value, str):
        value = load_json(value)
    if not isinstance(value, Mapping):
        raise checks.wrong_type("it", "a JSON object with names and values", value)
    return dict(cast("Mapping[str, Any]", value))


def _metadata(values: Mapping[str, Any]) -> dict[str, str | int | float | bool] | None:
    """Return the metadata of a row from `custom_metadata` and the columns `metadata.NAME`."""
    given = values.get("custom_metadata")
    found: dict[str, Any] = {} if given is None else _metadata_object(given)
    for column, value in values.items():
        if column.startswith(METADATA):
            name = column[len(METADATA) :]
            if name in found:
                raise ValueError(f"the name {shown(name)} is in custom_metadata, too; write it only once")
            found[name] = value
    if all(map(_is_plain, found.values())) and all(map(_is_plain, found)):
        return found or None
    for text in (*found, *found.values()):
        if isinstance(text, str) and _NOT_UTF8.search(text):
            raise ValueError("it is not UTF-8; save the manifest as UTF-8")
    return arguments.metadata(found) if found else None


# --- rows ---------------------------------------------------------------------------------------------------


@attrs.frozen
class RowChecker:
    """What turns the rows of a manifest into files.

    Relative paths are relative to `root`, and stay in it. With `is_fence`, absolute paths stay in it, too.
    """

    root: str
    is_fence: bool
    prefix: str

    def check(self, values: Mapping[str, Any]) -> CheckedRow | list[tuple[str | None, str]]:
        """Return the file of a row, or its mistakes: the column if it is known, and the reason."""
        try:
            return self._checked(values)
        except (TypeError, ValueError):
            return self._mistakes(values)

    def _checked(self, values: Mapping[str, Any]) -> CheckedRow:
        path, url = values.get("path"), values.get("url")
        _check_file(values)
        absolute = None if path is None else self._absolute(path)
        key = self._key(values)
        if absolute is not None and len(values) == 1 + ("key" in values):
            return CheckedRow(key, absolute, absolute)
        found = {name: check(values[name]) for name, check in _ARGUMENTS.items() if name in values}
        file: Any = RemoteFile(_url(url)) if absolute is None else absolute
        return CheckedRow(key, absolute, UploadItem(file, custom_metadata=_metadata(values), **found))

    def _mistakes(self, values: Mapping[str, Any]) -> list[tuple[str | None, str]]:
        """Return all mistakes of a row."""
        tries: list[tuple[str | None, Callable[[], object]]] = [(None, lambda: _check_file(values))]
        tries += [("path", lambda: self._absolute(values["path"]))] if "path" in values else []
        tries += [("url", lambda: _url(values["url"]))] if "url" in values else []
        found = _failures(tries)
        if not found or "key" in values:
            name = next((name for name in ("key", "path", "url") if name in values), None)
            found += _failures([(name, lambda: self._key(values))])
        given = [(name, check) for name, check in _ARGUMENTS.items() if name in values]
        found += _failures([(name, functools.partial(check, values[name])) for name, check in given])
        names = [name for name in values if name == "custom_metadata" or name.startswith(METADATA)]
        return found + _failures([(names[0] if len(names) == 1 else None, lambda: _metadata(values))])

    def _absolute(self, value: object) -> str:
        text = _path(value)
        is_absolute = os.path.isabs(text)  # noqa: PTH117  # as a str
        absolute = os.path.normpath(os.path.join(self.root, text))  # noqa: PTH118  # as a str
        if is_absolute and not self.is_fence:
            return absolute
        if (is_absolute or ".." in text or os.name == "nt") and not self._is_inside(absolute):
            advice = (
                "pass a root= that contains it" if self.is_fence else "pass root=, or write an absolute path"
            )
            raise ValueError(f"{shown(text)} leads out of the folder {quoted(self.root)}; {advice}")
        return absolute

    def _is_inside(self, absolute: str) -> bool:
        root = os.path.normcase(self.root)
        return os.path.normcase(absolute).startswith(root if root.endswith(os.sep) else root + os.sep)

    def _key(self, values: Mapping[str, Any]) -> str:
        key = self.prefix + _own_key(values)
        if len(key) > MAX_KEY // 4 and len(key_bytes(key)) > MAX_KEY:
            raise ValueError(f"the key must have at most {MAX_KEY:,} bytes, not {len(key_bytes(key)):,}")
        return key

    def skip_key(self, values: Mapping[str, Any], where: str) -> str:
        """Return the key by which the journal knows a row that is skipped: its own, or its line."""
        try:
            if "path" in values and "key" not in values:
                _path(values["path"])
            return self._key(values)
        except (TypeError, ValueError, LookupError):
            return self.prefix + where


def _check_file(values: Mapping[str, Any]) -> None:
    """Raise `ValueError` unless a row has either a path or a URL, with the columns that it may have."""
    if ("path" in values) == ("url" in values):
        has = "a path and a URL; write them as two rows" if "path" in values else "neither a path nor a URL"
        raise ValueError(f"the row has {has}")
    if "url" in values and "hash_sha256" in values:
        raise ValueError("the row has a URL and hash_sha256, which only files on disk can have")


def _path(value: object) -> str:
    text = value if type(value) is str and value.isascii() else checks.path("it", checks.text("it", value))
    if not text or "\0" in text:
        raise ValueError("it must not contain a NUL character" if text else "it is empty")
    if "://" in text:
        # Its query must not get into the journal.
        scheme = _SCHEME.match(text)
        if scheme is None:
            raise ValueError("it contains a URL")
        is_http = scheme[1].lower() in {"http", "https"}
        advice = "the column for URLs is 'url'" if is_http else "write the path of the file"
        raise ValueError(f"it begins with {quoted(scheme[0])}; {advice}")
    if os.name != "nt" and _DRIVE.match(text):
        raise ValueError(f"{shown(text)} is a path of Windows; write it as a path of this system")
    return text


def _failures(tries: Iterable[tuple[str | None, Callable[[], object]]]) -> list[tuple[str | None, str]]:
    found: list[tuple[str | None, str]] = []
    for column, function in tries:
        try:
            function()
        except (TypeError, ValueError) as error:
            found.append((column, str(error)))
    return found


def _url(value: object) -> str:
    if isinstance(value, str) and not _SCHEME.match(value) and "://" not in value:
        raise ValueError("it must be an http(s) URL with its scheme, such as https://example.com/a.jpg")
    return RemoteFile(cast("str", value)).url


def _own_key(values: Mapping[str, Any]) -> str:
    """Return the key of a row, whose path is checked, without the prefix. It contains no query of a URL."""
    if (key := values.get("key")) is not None:
        text = checks.text("it", key)
        if not text:
            raise ValueError("it is empty; each file needs a key of its own")
        if "\0" in text:
            raise ValueError("it must not contain a NUL character")
        return text
    path: str | None = values.get("path")
    if path is not None:
        return path if os.sep == "/" else path.replace(os.sep, "/")
    return url_key(values["url"])
