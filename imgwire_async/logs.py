"""The package's logger, and what the environment may ask of it. Loaded with the first client: logging is a tenth of what naming the class would cost."""

from __future__ import annotations

import logging
from typing import Any

from imgwire_async.exchange import escape_unprintable

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


def show_as_told(level: str) -> None:
    """`IMGWIRE_LOG=debug` (or another level's name) shows the log on stderr, once per process."""
    number = logging.getLevelNamesMapping().get(level.strip().upper())
    if number is None or any(isinstance(handler, _EnvironmentHandler) for handler in logger.handlers):
        return
    handler = _EnvironmentHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s %(levelname)s %(message)s"))
    logger.addHandler(handler)
    logger.setLevel(number)


class _EnvironmentHandler(logging.StreamHandler[Any]):
    """The handler that `IMGWIRE_LOG` asked for."""
