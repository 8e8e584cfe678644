"""The errors for web pages, certificates, wrong schemes and too long headers say what to do."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from samples import data
from worlds import World

from imgwire_async import (
    APIConnectionError,
    AsyncImgwireClient,
    DecodeError,
    DownloadError,
    ImgwireError,
    StandardUpload,
    UploadConnectionError,
)
from imgwire_async.emulator import Emulator

from .conftest import http, raw_server, respond_with, send_raw
from .pictures import png

PAGE = b"<!-- portal -->\n<!DOCTYPE html><html><head><title>Log in to Wi-Fi</title></head></html>"
ODD_PAGE = b"Please log in"

trustme = pytest.importorskip("trustme")


async def call_error(base_url: str, **settings: Any) -> ImgwireError:
    async with AsyncImgwireClient("sk_x", base_url=base_url, retries=0, **settings) as client:
        with pytest.raises(ImgwireError) as caught:
            await client.images.list()
    return caught.value


def missing(error: BaseException, *words: str) -> list[str]:
    return [word for word in words if word not in str(error)]


# --- web pages ----------------------------------------------------------------------------------------------


@pytest.mark.world
@pytest.mark.parametrize("page", [PAGE, ODD_PAGE, b"\xef\xbb\xbf" + PAGE])
async def test_a_web_page_never_counts_as_a_response_of_the_api(page: bytes, world: World) -> None:
    handler = respond_with(http("200 OK", page, "Content-Type: text/html; charset=utf-8"))
    async with raw_server(handler) as origin, world.client("sk_x", origin, retries=0) as client:
        calls = {
            "GET": client.images.list(),
            "POST": client.cors_origins.create("app.example.com"),
            "DELETE": client.images.delete("a"),
            "PATCH": client.cors_origins.update("a", "app.example.com"),
        }
        for method, call in calls.items():
            with pytest.raises(DecodeError) as caught:
                await call
            error = caught.value
            assert not error.from_api
            assert missing(error, "a web page, not the API", "base_url", "captive portal") == []
            assert "carried out this call, but" not in str(error)
            assert ("may have carried out" in str(error)) == (method != "GET")


@pytest.mark.parametrize("words", [b"Access denied by policy", b"OK", b"<Error/>"])
async def test_text_instead_of_json_never_counts_as_a_response_of_the_api(words: bytes) -> None:
    async with raw_server(respond_with(http("200 OK", words, "Content-Type: text/plain"))) as origin:
        async with AsyncImgwireClient("sk_x", base_url=origin, retries=0) as client:
            with pytest.raises(DecodeError) as caught:
                await client.images.create_upload_token()
            result = await client.images.bulk_delete(["a"])
    assert not caught.value.from_api
    assert missing(caught.value, "not JSON", "may have carried out", "base_url", "proxy") == []
    assert (result.deleted, result.unknown) == ((), ("a",))


async def test_bulk_delete_reports_ids_as_unknown_after_a_web_page() -> None:
    async with raw_server(respond_with(http("200 OK", PAGE))) as origin:
        async with AsyncImgwireClient("sk_x", base_url=origin, retries=0) as client:
            result = await client.images.bulk_delete(["a", "b"])
    assert (result.deleted, result.unknown) == ((), ("a", "b"))


@pytest.mark.parametrize("status", ["401 U", "403 F", "404 N", "418 T", "500 S", "502 B"])
async def test_the_error_for_a_web_page_with_an_error_status_blames_neither_key_nor_id(status: str) -> None:
    async with raw_server(respond_with(http(status, PAGE))) as origin:
        error = await call_error(origin)
    assert missing(error, "web page", "Log in to Wi-Fi", "proxy") == []
    assert not [word for word in ("This key", "Check the key", "Check the id") if word in str(error)]


async def test_the_error_for_a_login_page_names_the_captive_portal() -> None:
    async with raw_server(respond_with(http("511 Network Authentication Required", PAGE))) as origin:
        assert missing(await call_error(origin), "HTML page", "captive portal") == []
    async with raw_server(respond_with(http("302 Found", b"", "Location: http://login.example/"))) as origin:
        assert missing(await call_error(origin), "another origin", "captive portal") == []


async def test_a_web_page_instead_of_the_storages_response_is_an_error(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    emulator.faults.add("PUT", "/uploads/*", times=None, status=200, body=PAGE)
    with pytest.raises(UploadConnectionError, match="a web page came in place of the response"):
        await client.with_options(retries=0).images.upload(png())


@pytest.mark.parametrize("body", [b"", b"null", b" \n"])
@pytest.mark.parametrize("status", ["200 OK", "204 No Content"])
async def test_a_delete_with_an_empty_response_succeeds(status: str, body: bytes) -> None:
    """Some frameworks send an empty body with the content type HTML."""
    if status.startswith("204"):
        body = b""
    async with raw_server(respond_with(http(status, body, "Content-Type: text/html"))) as origin:
        async with AsyncImgwireClient("sk_x", base_url=origin, retries=0) as client:
            assert await client.images.delete("a") == {}
            assert await client.cors_origins.delete("a") == {}
            assert await client.custom_domain.delete() == {}
            result = await client.images.bulk_delete(["a"])
    assert (result.deleted, result.replies) == (("a",), ({},))


# --- certificates -------------------------------------------------------------------------------------------


@asynccontextmanager
async def tls_server(certificate: Any) -> AsyncIterator[str]:
    """Start a server with this certificate of trustme, and provide its origin."""
    identity = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(identity)

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        writer.close()

    server = await asyncio.start_server(handler, "127.0.0.1", 0, ssl=identity)
    try:
        yield f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


def trusting(authority: Any) -> ssl.SSLContext:
    return ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())


AUTHORITY = trustme.CA()
GENERAL = ("Check base_url, DNS",)


async def test_the_error_for_an_unknown_ca_names_ssl_and_the_environment_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"):
        monkeypatch.delenv(name, raising=False)
    async with tls_server(AUTHORITY.issue_cert("127.0.0.1")) as origin:
        error = await call_error(origin)
        assert missing(error, "no trusted TLS connection", "ssl=", "SSL_CERT_FILE", "CA bundle") == []
        assert missing(error, *GENERAL) == list(GENERAL)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/x")
        assert (
            missing(await call_error(origin), "REQUESTS_CA_BUNDLE is set, but this library does not read it")
            == []
        )
        monkeypatch.setenv("SSL_CERT_FILE", "/nowhere/bundle.pem")
        assert missing(await call_error(origin), "names a file that does not exist") == []
        other = trusting(trustme.CA())
        assert missing(await call_error(origin, ssl=other), "The CA that signed it is not in ssl=") == []


async def test_the_error_for_a_self_signed_certificate_names_ssl() -> None:
    lone = Path(__file__).parents[1] / "data" / "loopback.pem"

    class SelfSigned:
        @staticmethod
        def configure_cert(context: ssl.SSLContext) -> None:
            context.load_cert_chain(lone)

    async with tls_server(SelfSigned) as origin:
        assert missing(await call_error(origin), "self-signed", "ssl=", "SSL_CERT_FILE") == []


async def test_the_error_for_a_certificate_of_another_host_says_so() -> None:
    async with tls_server(AUTHORITY.issue_cert("other.example")) as origin:
        error = await call_error(origin, ssl=trusting(AUTHORITY))
    assert missing(error, "another host name", "base_url") == []


async def test_the_error_for_an_expired_certificate_says_so() -> None:
    expired = AUTHORITY.issue_cert("127.0.0.1", not_after=dt.datetime(2020, 1, 1))  # noqa: DTZ001  # trustme requires a naive datetime
    async with tls_server(expired) as origin:
        error = await call_error(origin, ssl=trusting(AUTHORITY))
    assert missing(error, "expired", "clock", "renewed") == []


async def test_the_error_of_strict_certificate_checks_names_the_flag() -> None:
    """The certificates of an old CA lack an extension. Python 3.12 accepts them, and 3.13 does not."""
    certificate, authority = old_fashioned()
    trust = ssl.create_default_context(cadata=authority)
    assert bool(trust.verify_flags & ssl.VERIFY_X509_STRICT) == (sys.version_info >= (3, 13))
    trust.verify_flags |= ssl.VERIFY_X509_STRICT
    async with tls_server(certificate) as origin:
        error = await call_error(origin, ssl=trust)
        assert missing(error, "VERIFY_X509_STRICT", "ssl=", "Python 3.13") == []
        trust.verify_flags &= ~ssl.VERIFY_X509_STRICT
        assert "TLS" not in str(await call_error(origin, ssl=trust))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
async def test_the_error_of_a_server_that_requires_a_client_certificate_says_so(
    version: ssl.TLSVersion,
) -> None:
    """From TLS 1.3 on, the server reports this after the handshake, when the request has been sent."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    AUTHORITY.issue_cert("127.0.0.1").configure_cert(context)
    context.verify_mode = ssl.CERT_REQUIRED
    AUTHORITY.configure_trust(context)
    context.minimum_version = context.maximum_version = version

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # asyncio's own servers close the connection without the alert.
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        handshake = context.wrap_bio(received, sent, server_side=True)
        while True:
            try:
                handshake.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(sent.read())
                received.write(await reader.read(65536))
            except ssl.SSLError:
                writer.write(sent.read())
                await reader.read()
                return

    async with raw_server(refuse) as origin:
        origin = origin.replace("http:", "https:")
        async with AsyncImgwireClient("sk_x", base_url=origin, retries=0, ssl=trusting(AUTHORITY)) as client:
            with pytest.raises(APIConnectionError) as caught:
                await client.images.create_upload_token()
    if version is ssl.TLSVersion.TLSv1_3:
        assert missing(caught.value, "certificate", "load_cert_chain") == []
    assert not caught.value.sent
    assert "may have carried out this call" not in str(caught.value)


class OldFashioned:
    def __init__(self, pem: bytes) -> None:
        self._pem = pem

    def configure_cert(self, context: ssl.SSLContext) -> None:
        with tempfile.NamedTemporaryFile(suffix=".pem") as file:
            file.write(self._pem)
            file.flush()
            context.load_cert_chain(file.name)


def old_fashioned() -> tuple[OldFashioned, str]:
    """A certificate without an Authority Key Identifier, and the CA that signed it."""
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("Old CA", "host")]
    now = dt.datetime.now(dt.UTC)

    def builder(place: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(names[place])
            .issuer_name(names[0])
            .public_key(keys[place].public_key())
            .serial_number(place + 1)
            .not_valid_before(now - dt.timedelta(days=1))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=place == 0, path_length=None), critical=True)
        )

    authority = builder(0).sign(keys[0], hashes.SHA256())
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    leaf = builder(1).add_extension(host, critical=False).sign(keys[0], hashes.SHA256())
    key = keys[1].private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = [certificate.public_bytes(serialization.Encoding.PEM) for certificate in (leaf, authority)]
    return OldFashioned(key + pem[0]), pem[1].decode()


async def test_errors_for_an_untrusted_storage_and_cdn_name_ssl() -> None:
    async with tls_server(AUTHORITY.issue_cert("127.0.0.1")) as storage:
        upload = data(StandardUpload, upload_url=f"{storage}/k")
        upload["image"]["cdn_url"] = f"{storage}/o/e/i"
        async with (
            raw_server(respond_with(http("200 OK", json.dumps(upload).encode()))) as origin,
            AsyncImgwireClient("sk_x", base_url=origin, retries=0) as client,
        ):
            with pytest.raises(UploadConnectionError, match=r"ssl=.*SSL_CERT_FILE"):
                await client.images.upload(png())
            image = (await client.images.create(file_name="a.png")).image
            with pytest.raises(DownloadError, match=r"ssl=.*SSL_CERT_FILE"):
                await client.images.read(image)


# --- the wrong scheme ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [http("400 Bad Request"), http("200 OK", b"[]"), b"SSH-2.0-x\r\n"])
async def test_the_error_for_https_to_a_plain_port_says_so(raw: bytes) -> None:
    async with raw_server(send_raw(raw)) as origin:
        error = await call_error(origin.replace("http:", "https:"))
    assert missing(error, "does not speak TLS at that port", "http://") == []
    assert missing(error, *GENERAL) == list(GENERAL)


async def test_the_error_for_a_connection_closed_during_the_handshake_says_so() -> None:
    async with raw_server(lambda reader, writer: reader.read(1)) as origin:
        error = await call_error(origin.replace("http:", "https:"))
    assert missing(error, "https at that port") == []


REFUSES_HTTP = b"<html><body>400 The plain HTTP request was sent to HTTPS port</body></html>"


@pytest.mark.parametrize(
    "raw",
    [
        b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n",  # a TLS alert, as some servers send it
        http("400 Bad Request", REFUSES_HTTP),  # nginx
        b"",
    ],
    ids=["alert", "page", "silence"],
)
async def test_the_error_for_http_to_a_tls_port_says_so(raw: bytes) -> None:
    async with raw_server(respond_with(raw)) as origin:
        assert (
            missing(
                await call_error(origin), "https at that port" if raw[:1] != b"\x15" else "TLS", "https://"
            )
            == []
        )


async def test_the_error_for_http_to_a_real_tls_server_says_so() -> None:
    async with tls_server(AUTHORITY.issue_cert("127.0.0.1")) as origin:
        assert missing(await call_error(origin.replace("https:", "http:")), "https://") == []


@pytest.mark.parametrize("status", ["403 Forbidden", "413 Too Large", "503 Service Unavailable"])
async def test_the_error_for_a_web_page_in_a_transfer_names_proxy_and_captive_portal(status: str) -> None:
    for body, count in ((PAGE, 0), (b"<Error><Code>AccessDenied</Code></Error>", 3)):
        async with raw_server(respond_with(http(status, body))) as storage:
            upload = data(StandardUpload, upload_url=f"{storage}/k")
            upload["image"]["cdn_url"] = f"{storage}/o/e/i"
            async with (
                raw_server(respond_with(http("200 OK", json.dumps(upload).encode()))) as origin,
                AsyncImgwireClient("sk_x", base_url=origin, retries=0) as client,
            ):
                image = (await client.images.create(file_name="a.png")).image
                for call in (client.images.upload(png()), client.images.read(image)):
                    with pytest.raises(ImgwireError) as caught:
                        await call
                    assert len(missing(caught.value, "proxy", "captive portal", "in place of")) == count


# --- headers that are too long ------------------------------------------------------------------------------

LONG = "x" * 9000


@pytest.mark.world
@pytest.mark.parametrize("header", [f"X-Policy: {LONG}", f"{LONG}: x"])
async def test_the_error_for_a_too_long_response_header_says_so(header: str, world: World) -> None:
    sent = respond_with(http("200 OK", b"[]", header))
    async with raw_server(sent) as storage:
        upload = data(StandardUpload, upload_url=f"{storage}/k")
        upload["image"]["cdn_url"] = f"{storage}/o/e/i"
        async with (
            raw_server(respond_with(http("200 OK", json.dumps(upload).encode()))) as origin,
            world.client("sk_x", origin, retries=0) as client,
            world.client("sk_x", storage, retries=0) as other,
        ):
            image = (await client.images.create(file_name="a.png")).image
            for call, kind in (
                (other.images.list(), APIConnectionError),
                (client.images.upload(png()), UploadConnectionError),
                (client.images.read(image), DownloadError),
            ):
                with pytest.raises(kind, match=r"header too long.*8,190 bytes"):
                    await call


async def test_the_error_for_a_too_long_default_header_names_it(
    emulator: Emulator, client: AsyncImgwireClient
) -> None:
    long = client.with_options(default_headers={"X-Baggage": LONG}, retries=0)
    with pytest.raises(ImgwireError, match=r"X-Baggage.*too long"):
        await long.images.list()
    async with raw_server(respond_with(http("431 Request Header Fields Too Large"))) as origin:
        assert missing(await call_error(origin), "header", "default_headers") == []
