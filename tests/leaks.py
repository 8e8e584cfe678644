"""Looks for secrets where none may be: in errors with all that hangs on them, in log records, in what reached which host.

The emulator's secrets have shapes that nothing else has, so whoever looks need not be told which were in use.
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
    found = leaks_at_birth(error)
    return found + [
        f"traceback: {secret}" for secret in secrets_in("".join(traceback.format_exception(error)))
    ]


def leaks_at_birth(error: BaseException) -> list[str]:
    """The same without the traceback, which grows as the error travels."""
    found: list[str] = []
    for each in chain(error):
        told = {
            "str": str(each),
            "repr": repr(each),
            "attributes": _shown.repr(vars(each)),
            "notes": repr(getattr(each, "__notes__", "")),
        }
        if isinstance(each, ImgwireError):
            told["exchange"] = f"{each.exchange!r} {each.exchange}"
            told["pickle"] = pickle.dumps(each).decode("latin-1")
        for where, text in told.items():
            found += [f"{where} of {type(each).__name__}: {secret}" for secret in secrets_in(text)]
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


_SERVERS = frozenset(
    {"aiohttp.access", "aiohttp.server", "aiohttp.web"}
)  # those that tests run: they saw a request, we sent it


class LogWatch(logging.Handler):
    """Reads along whatever is logged, and adds the secrets in it to `found`."""

    def __init__(self, found: list[str]) -> None:
        super().__init__(logging.DEBUG)
        self._found = found
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.name in _SERVERS:
            return
        told = f"{self.format(record)} {record.args!r}"
        self._found += [f"log of {record.name}: {secret}" for secret in secrets_in(told)]


# --- all of it, over a whole session ----------------------------------------------------------------------------------


class Session:
    """Looks at every `ImgwireError` as it is raised and as it reaches a test, and at every log record.

    Errors are seen through `sys.monitoring`, which Python has since 3.12; nothing of the package is replaced. Started and
    stopped by `conftest.py`; may be asked from any thread.
    """

    _TOOL = 4  # one of the numbers that nobody has claimed

    def __init__(self) -> None:
        self._found: list[str] = []
        self._born: weakref.WeakSet[ImgwireError] = weakref.WeakSet()
        self._arrived: weakref.WeakSet[ImgwireError] = weakref.WeakSet()
        self._ways: set[int] = set()  # frames are looked at once for each way that an error came
        self._looking = threading.local()
        self._log = LogWatch(self._found)
        self.errors: int = 0

    def start(self) -> None:
        logging.getLogger().addHandler(self._log)
        if sys.version_info >= (3, 12):
            sys.monitoring.use_tool_id(self._TOOL, "tests.leaks")
            events = sys.monitoring.events
            sys.monitoring.register_callback(self._TOOL, events.RAISE, self._raised)
            sys.monitoring.register_callback(self._TOOL, events.RERAISE, self._raised_again)
            sys.monitoring.set_events(self._TOOL, events.RAISE | events.RERAISE)

    def stop(self) -> None:
        logging.getLogger().removeHandler(self._log)
        if sys.version_info >= (3, 12):
            sys.monitoring.set_events(self._TOOL, 0)
            sys.monitoring.free_tool_id(self._TOOL)

    def take(self) -> list[str]:
        """What was found since the last time one asked."""
        found = sorted(set(self._found))
        self._found.clear()
        return found

    def _raised_again(self, code: CodeType, offset: int, error: BaseException) -> None:
        if isinstance(error, ImgwireError):
            self._found += [f"note: {secret}" for secret in secrets_in(repr(getattr(error, "__notes__", "")))]

    def _raised(self, code: CodeType, offset: int, error: BaseException) -> None:
        # A TransformationError quotes what the caller typed, tests raise a hundred thousand of them, and pure code knows no key.
        if not isinstance(error, ImgwireError) or isinstance(error, TransformationError):
            return
        if getattr(self._looking, "now", False):
            return
        self._looking.now = True
        try:
            if error not in self._born:
                self._born.add(error)
                self.errors += 1
                self._found += leaks_at_birth(error)
            if code.co_filename.startswith(_TESTS) and error not in self._arrived:
                self._arrived.add(error)
                way = hash(
                    tuple((frame.f_code, line) for frame, line in traceback.walk_tb(error.__traceback__))
                )
                if way not in self._ways:
                    self._ways.add(way)
                    self._found += leaks_of(error) + leaks_in_frames_of(error)
        finally:
            self._looking.now = False


session = Session()


@contextlib.contextmanager
def talkative() -> Iterator[None]:
    """The package and what it stands on log all they can, so that it is looked at."""
    loggers = [logging.getLogger(name) for name in ("imgwire_async", "aiohttp", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.DEBUG)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
