"""What a client and all its `with_options` clones have in common. Loads no HTTP library."""

from __future__ import annotations

from imgwire_async.config import Config
from imgwire_async.protocol.signed_urls import without_query
from imgwire_async.transport.key_provider import KeyProvider
from imgwire_async.transport.rate_gate import RateGate
from imgwire_async.transport.sessions import Sessions


class SharedState:
    """Connections, slots, rate gate and key of a client. Who captures names the client by it."""

    def __init__(self, config: Config) -> None:
        self.config: Config = config
        self.sessions: Sessions = Sessions(config)
        self.key_provider: KeyProvider = KeyProvider(config.api_key)
        self.rate_gate: RateGate = RateGate()
        self.host: str = without_query(config.base_url).partition("/")[0]

    @property
    def closed(self) -> bool:
        """Whether the client was closed: no call begins any more."""
        return self.sessions.closed
