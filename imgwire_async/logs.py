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

    The function is a filter of the logger, so it takes effect for all handlers. It keeps all records.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(
            escape_unprintable(str(value)) if isinstance(value, str | BaseException) else value
            for value in record.args
        )
    return True


logger.addFilter(_escape_arguments)


def configure_from_env(level: str) -> None:
    """Add a handler that writes log records of `level` and higher levels to stderr.

    `level` is the value of `IMGWIRE_LOG`, such as "debug". An unknown level is ignored. The handler is added
    only once in a process.
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

    It skips a record if a handler of the application writes the record to the console. It checks this for
    each record, because the application may configure logging before or after it creates a client.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if not any(_writes_to_console(handler, record) for handler in _other_handlers(self)):
            super().emit(record)


def _other_handlers(own: logging.Handler) -> Iterator[logging.Handler]:
    """Yield the handlers other than `own` that receive records of this package."""
    current: logging.Logger | None = logger
    while current is not None:
        yield from (handler for handler in current.handlers if handler is not own)
        current = current.parent if current.propagate else None


def _writes_to_console(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Return whether `handler` certainly writes `record` to the console."""
    # A handler with filters may drop the record. Its filters are not called here, because a filter that drops
    # repeated records has a state. So the record may appear twice, but it is never lost.
    if record.levelno < handler.level or handler.filters:
        return False
    untyped: Any = handler
    if isinstance(handler, logging.StreamHandler):
        stream: object = untyped.stream
        consoles: tuple[object, ...] = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        return stream is not None and any(stream is console for console in consoles)
    # The handler of rich has no `stream` but a `console`.
    return hasattr(handler, "console")
