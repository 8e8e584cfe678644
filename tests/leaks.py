"""Find secrets in errors, in log records, and in requests to other hosts.

The secrets of the emulator have unique formats. So this module finds them without a list of the secrets in
use.
"""

from __future__ import annotations

import contextlib
import logging
import pickle
import re
import reprlib
import sys
import threading
import traceback
import weakref
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import CodeType

import imgwire_async
from imgwire_async import ImgwireError, TransformationError
from imgwire_async.emulator import RequestRecord

_SECRET = re.compile(
    r"\b[sc]k_[0-9a-f]{32}\b"  # keys
    r"|X-Amz-(?:Signature=[0-9a-f]{6}|Credential=|Security-Token=)[^\s\"'&]*"  # the query of a presigned URL
    r"|\but_[A-Za-z0-9_-]{30,}"  # upload tokens
)
_PACKAGE = str(Path(imgwire_async.__file__).parent)
_EMULATOR = f"{_PACKAGE}/emulator"
_TESTS = str(Path(__file__).parent)

# The limits are high enough to find secrets, and low enough that the bytes of files do not slow the tests
# down.
_repr = reprlib.Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = 5_000
_repr.maxdict = _repr.maxlist = _repr.maxtuple = _repr.maxset = _repr.maxfrozenset = _repr.maxdeque = 50


def secrets_in(text: str) -> list[str]:
    """Return the secrets in a text, shortened so that a test report does not show them."""
    return [f"{match[0][:18]}..." for match in _SECRET.finditer(text)]


# --- errors -------------------------------------------------------------------------------------------------


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its causes, its contexts and the errors of its groups, each of them once."""
    visited: set[int] = set()
    pending = [error]
    while pending:
        current = pending.pop()
        if current is not None and id(current) not in visited:
            visited.add(id(current))
            yield current
            pending += [current.__cause__, current.__context__]
            pending += current.exceptions if isinstance(current, BaseExceptionGroup) else []


def leaks_of(error: BaseException) -> list[str]:
    """Find the secrets in text, repr, notes, attributes, pickle and traceback of an error and its cause."""
    found = leaks_when_raised(error)
    return found + [
        f"traceback: {secret}" for secret in secrets_in("".join(traceback.format_exception(error)))
    ]


def leaks_when_raised(error: BaseException) -> list[str]:
    """Return the same without the traceback, which is not complete yet when the error is raised."""
    found: list[str] = []
    for current in chain(error):
        texts = {
            "str": str(current),
            "repr": repr(current),
            "attributes": _repr.repr(vars(current)),
            "notes": repr(getattr(current, "__notes__", "")),
        }
        if isinstance(current, ImgwireError):
            texts["exchange"] = f"{current.exchange!r} {current.exchange}"
            texts["pickle"] = pickle.dumps(current).decode("latin-1")
        for where, text in texts.items():
            found += [f"{where} of {type(current).__name__}: {secret}" for secret in secrets_in(text)]
    return found


def leaks_in_frames_of(error: BaseException) -> list[str]:
    """Return the secrets in the local variables of frames, as error trackers store them.

    Frames of tests and of the emulator are not checked.
    """
    found: list[str] = []
    for current in chain(error):
        for frame, line in traceback.walk_tb(current.__traceback__):
            file = frame.f_code.co_filename
            if file.startswith((_TESTS, _EMULATOR)):
                continue
            for name, value in list(frame.f_locals.items()):
                found += [
                    f"{Path(file).name}:{line} in {frame.f_code.co_name}: {name}: {secret}"
                    for secret in secrets_in(_repr.repr(value))
                ]
    return found


# --- hosts and logs -----------------------------------------------------------------------------------------


_CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-environment-id"})


def leaks_to_hosts(records: Iterable[RequestRecord]) -> list[str]:
    """Return the requests that sent a secret to a host that must not get it."""
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


# Loggers of servers that tests run. They log the requests that they received.
_SERVERS = frozenset({"aiohttp.access", "aiohttp.server", "aiohttp.web"})


class LogWatch(logging.Handler):
    """Adds the secrets in all log records to `found`."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._found = found
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in _SERVERS:
            return
        text = f"{self.format(record)} {record.args!r}"
        self._found += [f"log of {record.name}: {secret}" for secret in secrets_in(text)]


# --- a whole test session -----------------------------------------------------------------------------------


class Session:
    """Checks every `ImgwireError` when it is raised and when it reaches a test, and every log record.

    It uses `sys.monitoring` (Python 3.12 and later), so no code of the package is patched. `conftest.py`
    starts and stops it. It is thread-safe.
    """

    # A tool id that no other tool uses.
    _TOOL = 4

    def __init__(self) -> None:
        self._found: list[str] = []
        self._raised_errors: weakref.WeakSet[ImgwireError] = weakref.WeakSet()
        self._reached_tests: weakref.WeakSet[ImgwireError] = weakref.WeakSet()
        # Hashes of the tracebacks whose frames were checked.
        self._tracebacks: set[int] = set()
        self._checking = threading.local()
        self._log = LogWatch(self._found)
        self.errors: int = 0

    def start(self) -> None:
        logging.getLogger().addHandler(self._log)
        if sys.version_info >= (3, 12):
            sys.monitoring.use_tool_id(self._TOOL, "tests.leaks")
            events = sys.monitoring.events
            sys.monitoring.register_callback(self._TOOL, events.RAISE, self._on_raise)
            sys.monitoring.register_callback(self._TOOL, events.RERAISE, self._on_reraise)
            sys.monitoring.set_events(self._TOOL, events.RAISE | events.RERAISE)

    def stop(self) -> None:
        logging.getLogger().removeHandler(self._log)
        if sys.version_info >= (3, 12):
            sys.monitoring.set_events(self._TOOL, 0)
            sys.monitoring.free_tool_id(self._TOOL)

    def take(self) -> list[str]:
        """Return the secrets found since the last call."""
        found = sorted(set(self._found))
        self._found.clear()
        return found

    def _on_reraise(self, code: CodeType, offset: int, error: BaseException) -> None:
        if isinstance(error, ImgwireError):
            self._found += [f"note: {secret}" for secret in secrets_in(repr(getattr(error, "__notes__", "")))]

    def _on_raise(self, code: CodeType, offset: int, error: BaseException) -> None:
        # A TransformationError only quotes arguments of pure functions, and tests raise a hundred thousand of
        # them.
        if not isinstance(error, ImgwireError) or isinstance(error, TransformationError):
            return
        if getattr(self._checking, "now", False):
            return
        self._checking.now = True
        try:
            if error not in self._raised_errors:
                self._raised_errors.add(error)
                self.errors += 1
                self._found += leaks_when_raised(error)
            if code.co_filename.startswith(_TESTS) and error not in self._reached_tests:
                self._reached_tests.add(error)
                key = hash(
                    tuple((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
                )
                if key not in self._tracebacks:
                    self._tracebacks.add(key)
                    self._found += leaks_of(error) + leaks_in_frames_of(error)
        finally:
            self._checking.now = False


session = Session()


@contextlib.contextmanager
def debug_logging() -> Iterator[None]:
    """Let the package, aiohttp and asyncio log at level DEBUG, so that all records are checked."""
    loggers = [logging.getLogger(name) for name in ("imgwire_async", "aiohttp", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
