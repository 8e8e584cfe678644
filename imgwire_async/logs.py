"""The logger of the package, and its configuration by the environment variable `IMGWIRE_LOG`.

This module is imported with the first client, because the import of `logging` would slow down the import of
the client class by a tenth.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from imgwire_async.redaction import escape_unprintable

logger: logging.Logger = logging.getLogger("imgwire_async")
logger.addHandler(logging.NullHandler())


def _escape_arguments(record: logging.LogRecord) -> bool:
    """Escape control characters in the arguments of a log record, such as file names.

    This is a filter of the logger, so it takes effect for all handlers.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(
            escape_unprintable(str(value)) if isinstance(value, str | BaseException) else value
            for value in record.args
        )
    return True


logger.addFilter(_escape_arguments)


def configure_from_env(level: str) -> None:
    """Write the log to stderr from this level on. `level` is the value of `IMGWIRE_LOG`, such as "debug".

    An unknown level is ignored. Only the first call in a process has an effect.
    """
    number = logging.getLevelNamesMapping().get(level.strip().upper())
    if number is None or any(isinstance(handler, _EnvironmentHandler) for handler in logger.handlers):
        return
    handler = _EnvironmentHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(number)


class _EnvironmentHandler(logging.StreamHandler[Any]):
    """The handler for `IMGWIRE_LOG`.

    It skips a record that a handler of the application writes to the console.

    This is checked for each record, because the application may configure logging before or after the first
    client.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if not any(_prints(handler, record) for handler in _other_handlers(self)):
            super().emit(record)


def _other_handlers(own: logging.Handler) -> Iterator[logging.Handler]:
    """Yield the handlers other than `own` that receive records of this package."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from (handler for handler in current.handlers if handler is not own)
        current = current.parent if current.propagate else None


def _prints(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Return whether `handler` certainly writes `record` to the console."""
    # A filter may drop the record. The filter is not called here, because filters that drop repeated records
    # have a state. So the record may appear twice, but it is never lost.
    if record.levelno < handler.level or handler.filters:
        return False
    untyped: Any = handler
    if isinstance(handler, logging.StreamHandler):
        stream: object = untyped.stream
        consoles: tuple[object, ...] = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        return stream is not None and any(stream is console for console in consoles)
    # The handler of rich has no `stream` but a `console`.
    return hasattr(handler, "console")
