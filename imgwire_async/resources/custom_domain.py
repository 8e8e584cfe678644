"""The environment's own CDN host name: at most one. [contract 9]"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imgwire_async import checks
from imgwire_async.models import CustomDomain
from imgwire_async.protocol.request import Request
from imgwire_async.resources import waiting
from imgwire_async.resources.arguments import reject_mapping
from imgwire_async.resources.base import OPAQUE, Resource


class AsyncCustomDomain(Resource):
    """`client.custom_domain`. There is no update: delete the domain and create another."""

    async def retrieve(self) -> CustomDomain:
        """Return the custom domain. Raises `NotFoundError` when there is none. [GET /custom_domain/]"""
        return await self._call(Request("GET", "/custom_domain/", CustomDomain))

    async def create(self, hostname: str) -> CustomDomain:
        """Claim a subdomain, as a host name only, and return the domain, which names two CNAME records to set.

        Raises `ConflictError` when the name is claimed or there is a domain already, `PaymentRequiredError` when the plan has
        none. [POST /custom_domain/]
        """
        reject_mapping(hostname, 'custom_domain.create("img.example.com")')
        body = {"hostname": checks.nonempty_text("hostname", hostname, max_length=None)}
        return await self._call(Request("POST", "/custom_domain/", CustomDomain, json=body))

    async def delete(self) -> Mapping[str, object]:
        """Give the custom domain up and return the service's words. Raises `NotFoundError` when there is none. [DELETE /custom_domain/]"""
        return await self._call(Request("DELETE", "/custom_domain/", OPAQUE))

    async def test_connection(self) -> CustomDomain:
        """Let the service check the DNS records now, and return the domain. Raises `NotFoundError` when there is none.

        [POST /custom_domain/test_connection]
        """
        # A plain check: asking twice does no harm, so it may be repeated although it is a POST. [contract 5]
        return await self._call(
            Request("POST", "/custom_domain/test_connection", CustomDomain, repeatable=True)
        )

    async def wait_until_connected(
        self, *, timeout: float = 600.0, on_update: Callable[[CustomDomain], object] | None = None
    ) -> CustomDomain:
        """Return the domain once its status is CONNECTED and its certificate ACTIVE.

        Checks at once, then after pauses rising from 5 to 60 seconds, for at most `timeout` seconds (`WaitTimeoutError`).
        FAILED raises `CustomDomainFailedError`. [POST /custom_domain/test_connection]
        """
        limit = checks.positive_seconds("timeout", timeout)
        checks.callable_("on_update", on_update)
        return await waiting.poll_until(
            self._transport_for("wait_until_connected"),
            waiting.is_connected,
            self.test_connection,
            operation="custom_domain.wait_until_connected",
            what="the custom domain",
            known=None,
            timeout=limit,
            intervals=waiting.backoff_intervals(5.0, 60.0),
            on_update=on_update,
        )
