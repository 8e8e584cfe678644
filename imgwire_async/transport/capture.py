"""Who collects the records of calls. Loaded with the client class, so it imports next to nothing."""

from __future__ import annotations

from contextvars import ContextVar
from types import TracebackType

from imgwire_async.exchange import Exchange

# Who is capturing in this context: pairs of the client (by its shared state) and the list that grows.
capturing: ContextVar[tuple[tuple[object, list[Exchange]], ...]] = ContextVar(
    "imgwire_async.capturing", default=()
)


class Capture:
    """`with client.capture() as exchanges:` a list that grows with every exchange of this client and context."""

    def __init__(self, owner: object) -> None:
        self._owner = owner

    def __enter__(self) -> list[Exchange]:
        exchanges: list[Exchange] = []
        self._token = capturing.set((*capturing.get(), (self._owner, exchanges)))
        return exchanges

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        capturing.reset(self._token)
