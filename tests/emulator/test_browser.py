"""A page of another origin, in a real browser."""

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
# As root, and on machines whose network is closed: without these, it looks up its maker's hosts at every start.
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves the folder `pages`, silently."""

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served() -> Iterator[str]:
    """The host and port of a server of the pages."""
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
    path = next((found for found in map(shutil.which, BROWSERS) if found is not None), None)
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
def opened(browser: Any, where: str) -> Iterator[Any]:
    """The page, in a profile of its own."""
    context = browser.new_context()
    try:
        page = context.new_page()
        page.goto(f"http://{where}/upload.html")
        yield page
    finally:
        context.close()


def settings(emulator: Emulator) -> dict[str, str]:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        token = client.images.create_upload_token().token
    return {"api": emulator.base_url, "key": emulator.client_key, "token": token}


def test_a_page_uploads_waits_shows_and_reads_what_went_wrong(browser: Any, emulator: Emulator) -> None:
    with served() as where, opened(browser, where) as page:
        with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            client.cors_origins.create(where)
        seen = page.evaluate("settings => upload(settings)", settings(emulator))
    assert emulator.images[seen["id"]].status == "READY"
    assert (seen["put"], seen["shown"], seen["same"], seen["missing"]) == (200, [40, 30], True, 404)
    assert (seen["wrong"]["status"], "SignatureDoesNotMatch" in seen["wrong"]["body"]) == (403, True)
    assert (seen["usedToken"]["status"], json.loads(seen["usedToken"]["body"])["error_type"]) == (
        401, "InvalidTokenError",
    )  # fmt: skip
    preflights = [record.host for record in emulator.requests if record.method == "OPTIONS"]
    assert set(preflights) == {"api", "storage"}


def test_a_page_reads_a_planned_fault(browser: Any, emulator: Emulator) -> None:
    emulator.faults.add(
        "*", "/api/v1/images/standard_upload", status=503, headers={"Retry-After": "7"}, body="busy"
    )
    given = {"api": emulator.base_url, "key": "any", "token": "any"}
    with served() as where, opened(browser, where) as page:
        told = page.evaluate("settings => refused(settings)", given)
    assert told == {"status": 503, "body": "busy", "retryAfter": "7"}


def test_a_page_of_an_origin_that_no_pattern_names_reads_nothing(browser: Any, emulator: Emulator) -> None:
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        client.cors_origins.create("app.example.com")
    caught = "settings => upload(settings).catch(error => error.name)"
    with served() as where, opened(browser, where) as page:
        assert page.evaluate(caught, settings(emulator)) == "TypeError"
    assert [record.method for record in emulator.requests][
        -1
    ] == "OPTIONS"  # what it asked for was never sent
    assert len(emulator.images) == 0
