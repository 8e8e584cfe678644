"""The option `ssl` applies to all hosts: API, storage and CDN."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import attrs
import pytest
from aiohttp import web
from samples import data

from imgwire_async import APIConnectionError, AsyncImgwireClient, StandardUpload

from .pictures import png

LOOPBACK = Path(__file__).parents[1] / "data" / "loopback.pem"


@attrs.define
class Company:
    """API, storage and CDN with a certificate that a company's own CA has signed."""

    requests: list[str] = attrs.field(factory=list)
    origin: str = ""

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        self.requests.append(f"{request.method} {request.path}")
        await request.read()
        if request.method == "POST":
            upload = data(StandardUpload, upload_url=f"{self.origin}/storage")
            upload["image"]["cdn_url"] = f"{self.origin}/cdn"
            return web.json_response(upload)
        return web.Response(body=b"GIF89a 123" if request.path == "/cdn" else b"")


@pytest.fixture
async def company() -> AsyncIterator[Company]:
    async with _serving() as company:
        yield company


@asynccontextmanager
async def _serving() -> AsyncIterator[Company]:
    company = Company()
    identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    identity.load_cert_chain(LOOPBACK)
    runner = web.ServerRunner(web.Server(company, access_log=None))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=identity).start()
        company.origin = f"https://127.0.0.1:{runner.addresses[0][1]}"
        yield company
    finally:
        await runner.cleanup()


@pytest.mark.parametrize("how", ["path", "text", "context"])
async def test_a_ca_bundle_is_trusted_for_api_storage_and_cdn(company: Company, how: str) -> None:
    trust = {"path": LOOPBACK, "text": str(LOOPBACK), "context": ssl.create_default_context(cafile=LOOPBACK)}[
        how
    ]
    async with AsyncImgwireClient("sk_x", base_url=company.origin, ssl=trust, retries=0) as client:
        image = await client.images.upload(png())
        assert await client.images.read(image) == b"GIF89a 123"
    assert company.requests == ["POST /api/v1/images/standard_upload", "PUT /storage", "GET /cdn"]


async def test_a_host_is_not_trusted_without_its_ca_bundle(company: Company) -> None:
    async with AsyncImgwireClient("sk_x", base_url=company.origin, retries=0) as client:
        with pytest.raises(APIConnectionError, match="no trusted TLS connection"):
            await client.images.upload(png())
    assert company.requests == []
