"""The environment's own host name for the CDN, at most one.

[contract 9]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from imgwire_async import checks
from imgwire_async.models import CustomDomain
from imgwire_async.protocol.request import Request
from imgwire_async.resources import waiting
from imgwire_async.resources.arguments import reject_mapping
from imgwire_async.resources.base import UNDOCUMENTED_BODY, Resource


class AsyncCustomDomain(Resource):
    """`client.custom_domain`: create, check and delete the custom domain. It has no method for changes."""

    async def retrieve(self) -> CustomDomain:
        """Return the custom domain of the environment.

        Raises `NotFoundError` when there is none. [GET /custom_domain/]
        """
        return await self._call(Request("GET", "/custom_domain/", CustomDomain))

    async def create(self, hostname: str) -> CustomDomain:
        """Claim a subdomain, and return the domain with the two CNAME records that its DNS needs.

        `hostname` is the host name alone, such as `img.example.com`. Raises `ConflictError` when the name is
        claimed already or the environment has a domain, and `PaymentRequiredError` when the plan includes
        none. [POST /custom_domain/]
        """
        reject_mapping(hostname, 'custom_domain.create("img.example.com")')
        body = {"hostname": checks.nonempty_text("hostname", hostname, max_length=None)}
        return await self._call(Request("POST", "/custom_domain/", CustomDomain, json=body))

    async def delete(self) -> Mapping[str, object]:
        """Delete the custom domain, and return the body of the response.

        The keys of the body are not documented. Raises `NotFoundError` when there is no domain.
        [DELETE /custom_domain/]
        """
        return await self._call(Request("DELETE", "/custom_domain/", UNDOCUMENTED_BODY))

    async def test_connection(self) -> CustomDomain:
        """Let the service check the DNS records now, and return the domain.

        Raises `NotFoundError` when there is no domain. [POST /custom_domain/test_connection]
        """
        # The service only checks, so this POST may be retried. [contract 5]
        return await self._call(
            Request("POST", "/custom_domain/test_connection", CustomDomain, repeatable=True)
        )

    async def wait_until_connected(
        self, *, timeout: float = 600.0, on_update: Callable[[CustomDomain], object] | None = None
    ) -> CustomDomain:
        """Wait until the domain's status is CONNECTED and its certificate ACTIVE, and return the domain.

        The first request is sent at once, and others after delays that grow from 5 to 60 seconds. `timeout`
        is the maximum time to wait, in seconds; `WaitTimeoutError` is raised after it. `on_update` is called
        with each record that the service returns meanwhile. Raises `CustomDomainFailedError` when the status
        is FAILED. [POST /custom_domain/test_connection]
        """
        limit = checks.positive_seconds("timeout", timeout)
        checks.plain_callable("on_update", on_update)
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
