"""Capture the exchanges of a client.

Importing the client also imports this module, and has to be fast. So this module imports very little.
"""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType

from imgwire_async.exchange import Exchange

# The active captures of the current `contextvars` context. Each capture is a pair: the `SharedState` of the
# captured client, and the list to which the exchanges of this client are appended.
active_captures: ContextVar[tuple[tuple[object, list[Exchange]], ...]] = ContextVar(
    "imgwire_async.active_captures", default=()
)


class Capture:
    """The context manager that `client.capture()` returns.

    `with` returns a list. Every exchange of this client in the current `contextvars` context is appended to
    the list.
    """

    def __init__(self, owner: object) -> None:
        self._owner = owner

    def __enter__(self) -> list[Exchange]:
        exchanges: list[Exchange] = []
        self._token = active_captures.set((*active_captures.get(), (self._owner, exchanges)))
        return exchanges

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        active_captures.reset(self._token)
