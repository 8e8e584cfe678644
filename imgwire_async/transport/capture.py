"""Capture the exchanges of a client. Loaded with the client class, so this module imports very little."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType

from imgwire_async.exchange import Exchange

# The captures of the current context: pairs of a client's shared state and the list of its exchanges.
active_captures: ContextVar[tuple[tuple[object, list[Exchange]], ...]] = ContextVar(
    "imgwire_async.active_captures", default=()
)


class Capture:
    """The context manager that `client.capture()` returns.

    It provides a list that grows with every exchange of this client in the current context.
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
