"""Looks for secrets where none may be: in errors with all that hangs on them, in log records, in what reached which host.

The emulator's secrets have shapes that nothing else has, so whoever looks need not be told which were in use.
"""

from __future__ import annotations

import logging
import pickle
import re
import reprlib
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path

import imgwire_async
from imgwire_async import ImgwireError
from imgwire_async.emulator import RequestRecord

_SECRET = re.compile(
    r"\b[sc]k_[0-9a-f]{32}\b"  # keys
    r"|X-Amz-(?:Signature=[0-9a-f]{6}|Credential=|Security-Token=)[^\s\"'&]*"  # what a signed URL holds
    r"|\but_[A-Za-z0-9_-]{30,}"  # upload tokens
)
_PACKAGE = str(Path(imgwire_async.__file__).parent)
_EMULATOR = f"{_PACKAGE}/emulator"
_TESTS = str(Path(__file__).parent)

# Enough of each value to find a secret in; a whole file's bytes would take too long to write out.
_shown = reprlib.Repr()
_shown.maxstring = _shown.maxother = _shown.maxlong = 5_000
_shown.maxdict = _shown.maxlist = _shown.maxtuple = _shown.maxset = _shown.maxfrozenset = _shown.maxdeque = 50


def secrets_in(text: str) -> list[str]:
    """The secrets that stand in a text, cut so that a report does not tell them once more."""
    return [f"{found[0][:18]}..." for found in _SECRET.finditer(text)]


# --- errors -----------------------------------------------------------------------------------------------------------


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what it came from, each once."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield each
            waiting += [each.__cause__, each.__context__]
            waiting += each.exceptions if isinstance(each, BaseExceptionGroup) else []


def leaks_of(error: BaseException) -> list[str]:
    """Where secrets stand in what an error tells: text, repr, notes, attributes, pickle and traceback, of it and its causes."""
    found: list[str] = []
    for each in chain(error):
        told = {
            "str": str(each),
            "repr": repr(each),
            "attributes": repr(vars(each)),
            "notes": repr(getattr(each, "__notes__", "")),
        }
        if isinstance(each, ImgwireError):
            told["exchange"] = f"{each.exchange!r} {each.exchange}"
            told["pickle"] = pickle.dumps(each).decode("latin-1")
        for where, text in told.items():
            found += [f"{where} of {type(each).__name__}: {secret}" for secret in secrets_in(text)]
    found += [f"traceback: {secret}" for secret in secrets_in("".join(traceback.format_exception(error)))]
    return found


def leaks_in_frames_of(error: BaseException) -> list[str]:
    """Where local variables show secrets, as an error tracker would store them, in frames that are not the caller's."""
    found: list[str] = []
    for each in chain(error):
        for frame, line in traceback.walk_tb(each.__traceback__):
            file = frame.f_code.co_filename
            if file.startswith((_TESTS, _EMULATOR)):
                continue
            for name, value in list(frame.f_locals.items()):
                found += [
                    f"{Path(file).name}:{line} in {frame.f_code.co_name}: {name}: {secret}"
                    for secret in secrets_in(_shown.repr(value))
                ]
    return found


# --- hosts and logs -----------------------------------------------------------------------------------------------------


_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-environment-id"})


def leaks_to_hosts(records: Iterable[RequestRecord]) -> list[str]:
    """Which request carried something to a host that it is not meant for."""
    found: list[str] = []
    for record in records:
        what = f"{record.host}: {record.method}"
        if record.host == "api":
            found += [
                f"{what} target: {secret}" for secret in secrets_in(record.target) if secret[:2] != "ut"
            ]
            found += [f"{what}: {name}" for name, _ in record.headers if name.lower() == "cookie"]
        else:
            for name, value in record.headers:
                if name.lower() in _CREDENTIALS or secrets_in(value):
                    found.append(f"{what}: {name}")
    return found


class LogWatch(logging.Handler):
    """Reads along whatever is logged, and adds the secrets in it to `found`."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._found = found
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        told = f"{self.format(record)} {record.args!r}"
        self._found += [f"log of {record.name}: {secret}" for secret in secrets_in(told)]
