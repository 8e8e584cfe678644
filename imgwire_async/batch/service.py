"""What a batch run needs of a client."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from imgwire_async.batch.keys import fingerprint
from imgwire_async.client import AsyncImgwireClient
from imgwire_async.protocol.request import Transport
from imgwire_async.resources.images import AsyncImages
from imgwire_async.transport.shared_state import SharedState


@attrs.frozen
class Service:
    """The operations and settings of a client that a batch run uses.

    `images` is the `client.images` of the asynchronous client, also in the blocking form.
    """

    images: AsyncImages
    shared: SharedState = attrs.field(repr=False)
    # The transport of the client. The first call imports aiohttp.
    new_transport: Callable[[], Transport] = attrs.field(repr=False)

    @property
    def transport(self) -> Transport:
        """The transport of the client. Raises `RuntimeError` when the client is closed."""
        transport = self.new_transport()
        transport.require_usable()
        return transport

    @property
    def base_url(self) -> str:
        """The URL of the API."""
        return self.shared.config.base_url

    @property
    def environment_id(self) -> str | None:
        """The environment in the settings of the client, None if it is not set."""
        return self.transport.options.environment_id

    @property
    def stall(self) -> float | None:
        """The longest time without progress in seconds, from the settings of the client. None: no limit."""
        return self.new_transport().options.timeout.stall

    async def fingerprint(self) -> str:
        """Return the fingerprint of the current API key. Call the key callable of the user if necessary."""
        return fingerprint(await self.shared.key_provider.get())

    @property
    def known_fingerprint(self) -> str | None:
        """The fingerprint of the API key, without a call of user code. None if the key is not known yet."""
        key = self.shared.key_provider.cached
        return None if key is None else fingerprint(key)


def service_of(client: AsyncImgwireClient) -> Service:
    """Return the operations and settings of a client."""
    return Service(client.images, client._shared, client._transport)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # of the package
