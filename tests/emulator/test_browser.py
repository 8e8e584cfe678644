"""Uploads from a page of another origin, in a real browser."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import ImgwireClient
from imgwire_async.emulator import Emulator

pytestmark = pytest.mark.slow

PAGES = Path(__file__).parent / "pages"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
# The browser must run as root, and must not connect to the hosts of its vendor at each start.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serve the folder `pages` without logging."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def page_server() -> Iterator[str]:
    """Run a server for the pages, and yield its host and port."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Pages, directory=str(PAGES)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="a browser is driven with playwright")
    path = next((candidate for candidate in map(shutil.which, BROWSERS) if candidate is not None), None)
    if path is None:
        pytest.skip(f"none of {', '.join(BROWSERS)} is installed")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@contextmanager
def open_page(browser: Any, address: str) -> Iterator[Any]:
    """Open the page in a new browser profile."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"http://{address}/upload.html")
        yield page
    finally:
        context.close()


def settings(emulator: Emulator) -> dict[str, str]:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        token = client.images.create_upload_token().token
    return {"api": emulator.base_url, "key": emulator.client_key, "token": token}


def test_a_page_uploads_shows_the_picture_and_reads_errors(browser: Any, emulator: Emulator) -> None:
    with page_server() as address, open_page(browser, address) as page:
        with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            client.cors_origins.create(address)
        result = page.evaluate("settings => upload(settings)", settings(emulator))
    assert emulator.images[result["id"]].status == "READY"
    assert (result["put"], result["shown"], result["same"], result["missing"]) == (200, [40, 30], True, 404)
    assert (result["wrong"]["status"], "SignatureDoesNotMatch" in result["wrong"]["body"]) == (403, True)
    assert (result["usedToken"]["status"], json.loads(result["usedToken"]["body"])["error_type"]) == (
        401, "InvalidTokenError",
    )  # fmt: skip
    preflights = [record.host for record in emulator.requests if record.method == "OPTIONS"]
    assert set(preflights) == {"api", "storage"}


def test_a_page_reads_a_planned_fault(browser: Any, emulator: Emulator) -> None:
    emulator.faults.add(
        "*", "/api/v1/images/standard_upload", status=503, headers={"Retry-After": "7"}, body="busy"
    )
    page_settings = {"api": emulator.base_url, "key": "any", "token": "any"}
    with page_server() as address, open_page(browser, address) as page:
        result = page.evaluate("settings => createOnly(settings)", page_settings)
    assert result == {"status": 503, "body": "busy", "retryAfter": "7"}


def test_a_page_of_an_origin_without_a_pattern_reads_nothing(browser: Any, emulator: Emulator) -> None:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        client.cors_origins.create("app.example.com")
    caught = "settings => upload(settings).catch(error => error.name)"
    with page_server() as address, open_page(browser, address) as page:
        assert page.evaluate(caught, settings(emulator)) == "TypeError"
    # The browser never sent the request after the preflight.
    assert [record.method for record in emulator.requests][-1] == "OPTIONS"
    assert len(emulator.images) == 0
