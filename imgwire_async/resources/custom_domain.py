"""The custom domain: a host name of the user under which the CDN serves images. There is at most one.

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
    """`client.custom_domain`: create, retrieve, check and delete the custom domain of the environment."""

    async def retrieve(self) -> CustomDomain:
        """Return the custom domain of the environment.

        Raises `NotFoundError` when the environment has no custom domain. [GET /custom_domain/]
        """
        return await self._call(Request("GET", "/custom_domain/", CustomDomain))

    async def create(self, hostname: str) -> CustomDomain:
        """Claim a subdomain, and return the domain with the two CNAME records that its DNS needs.

        `hostname` is a host name without scheme, port and path, such as `img.example.com`. Raises
        `ConflictError` when the name is claimed already, or when the environment has a domain already. Raises
        `PaymentRequiredError` when the plan does not include a custom domain. [POST /custom_domain/]
        """
        reject_mapping(hostname, 'custom_domain.create("img.example.com")')
        body = {"hostname": checks.nonempty_text("hostname", hostname, max_length=None)}
        return await self._call(Request("POST", "/custom_domain/", CustomDomain, json=body))

    async def delete(self) -> Mapping[str, object]:
        """Delete the custom domain, and return the body of the response.

        The service does not document the body. Raises `NotFoundError` when there is no domain.
        [DELETE /custom_domain/]
        """
        return await self._call(Request("DELETE", "/custom_domain/", UNDOCUMENTED_BODY))

    async def test_connection(self) -> CustomDomain:
        """Make the service check the DNS records now, and return the domain.

        Raises `NotFoundError` when there is no domain. [POST /custom_domain/test_connection]
        """
        # This POST changes nothing, so it may be sent again after a lost response. [contract 5]
        return await self._call(
            Request("POST", "/custom_domain/test_connection", CustomDomain, repeatable=True)
        )

    async def wait_until_connected(
        self, *, timeout: float = 600.0, on_update: Callable[[CustomDomain], object] | None = None
    ) -> CustomDomain:
        """Wait until the domain's status is CONNECTED and its certificate ACTIVE, and return the domain.

        The first request is sent at once. The delays between later requests grow from 5 to 60 seconds.
        `timeout` is the maximum time to wait, in seconds. After this time, `WaitTimeoutError` is raised.
        `on_update` is called with the domain from each response. Raises `CustomDomainFailedError` when the
        status is FAILED. [POST /custom_domain/test_connection]
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
