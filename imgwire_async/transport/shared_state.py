"""The state that a client shares with all its `with_options` clones. This module imports no HTTP library."""

from __future__ import annotations

from imgwire_async.config import Config
from imgwire_async.protocol.signed_urls import without_query
from imgwire_async.transport.key_provider import KeyProvider
from imgwire_async.transport.rate_gate import RateGate
from imgwire_async.transport.sessions import Sessions


class SharedState:
    """The connections, slots, rate gate and API key of a client.

    A client and its clones have the same object. `client.capture()` collects the exchanges of all clients
    that have this object.
    """

    def __init__(self, config: Config) -> None:
        self.config: Config = config
        self.sessions: Sessions = Sessions(config)
        self.key_provider: KeyProvider = KeyProvider(config.api_key)
        self.rate_gate: RateGate = RateGate()
        self.host: str = without_query(config.base_url).partition("/")[0]

    @property
    def closed(self) -> bool:
        """Whether the client was closed, so that no new call may start."""
        return self.sessions.closed
