"""The package's logger, and what the environment may ask of it. Loaded with the first client: logging is a tenth of what naming the class would cost."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from typing import Any

from imgwire_async.redaction import escape_unprintable

logger: logging.Logger = logging.getLogger("imgwire_async")
logger.addHandler(logging.NullHandler())


def _escape_arguments(record: logging.LogRecord) -> bool:
    """Make what a line quotes (a file's name, the service's words) safe for terminals and logs, whatever handler writes it."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            escape_unprintable(str(value)) if isinstance(value, str | BaseException) else value
            for value in record.args
        )
    return True


logger.addFilter(_escape_arguments)


def configure_from_env(level: str) -> None:
    """`IMGWIRE_LOG=debug` (or another level's name) shows the log on stderr, once per process."""
    number = logging.getLevelNamesMapping().get(level.strip().upper())
    if number is None or any(isinstance(handler, _EnvironmentHandler) for handler in logger.handlers):
        return
    handler = _EnvironmentHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(number)


class _EnvironmentHandler(logging.StreamHandler[Any]):
    """The handler that `IMGWIRE_LOG` asked for. It leaves a line to the application's own handler for the console, if there is one.

    That is found out with each line: the application may set its logging up before the first client, or after it.
    """

    def emit(self, record: logging.LogRecord) -> None:
        if not any(_prints(handler, record) for handler in _other_handlers(self)):
            super().emit(record)


def _other_handlers(own: logging.Handler) -> Iterator[logging.Handler]:
    """Yield all other handlers that a line of this package comes to."""
    place: logging.Logger | None = logger
    while place is not None:
        yield from (handler for handler in place.handlers if handler is not own)
        place = place.parent if place.propagate else None


def _prints(handler: logging.Handler, record: logging.LogRecord) -> bool:
    """Return whether `handler` surely writes `record` to the console. Files and networks are elsewhere, so they are none."""
    # A filter may drop the line, and must not be asked twice: one that drops repeated lines would. Better twice than never.
    if record.levelno < handler.level or handler.filters:
        return False
    given: Any = handler
    if isinstance(handler, logging.StreamHandler):
        stream: object = given.stream
        consoles: tuple[object, ...] = (sys.stdout, sys.stderr, sys.__stdout__, sys.__stderr__)
        return stream is not None and any(stream is console for console in consoles)
    return hasattr(handler, "console")  # rich's, which holds a console of its own
