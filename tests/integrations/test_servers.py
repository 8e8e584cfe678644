"""The example applications on their real servers, used over HTTP like by a browser."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from imgwire_async.emulator import Emulator

from .serving import GIF, Site, needs, serving, until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

MIB = 2**20
UVICORN = ["-m", "uvicorn", "--host", "127.0.0.1", "--port", "{port}", "--log-level", "warning"]
GUNICORN = ["-m", "gunicorn", "--bind", "127.0.0.1:{port}", "--workers", "2", "--log-level", "error"]
THREADS = ["--worker-class", "gthread", "--threads", "4"]
# uWSGI loads the application, with its client, before it forks, and Python's fork hooks do not run.
UWSGI = ["-c", "import pyuwsgi; pyuwsgi.run()", "--http-socket", "127.0.0.1:{port}", "--disable-logging"]
WORKERS = [
    "--master",
    "--processes",
    "2",
    "--enable-threads",
    "--threads",
    "4",
    "--need-app",
    "--die-on-term",
]
SERVERS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "fastapi": (("fastapi", "uvicorn", "python_multipart"), [*UVICORN, "fastapi_app:app"]),
    "starlette": (("starlette", "uvicorn", "python_multipart"), [*UVICORN, "starlette_app:app"]),
    "litestar": (("litestar", "uvicorn"), [*UVICORN, "litestar_app:app"]),
    "quart": (("quart",), ["-m", "hypercorn", "--bind", "127.0.0.1:{port}", "quart_app:app"]),
    "aiohttp": (("aiohttp",), ["-m", "aiohttp_app", "{port}"]),
    "django-wsgi": (("django", "gunicorn"), [*GUNICORN, *THREADS, "--preload", "django_site.wsgi"]),
    "django-asgi": (("django", "uvicorn"), [*UVICORN, "django_site.asgi:application"]),
    "flask": (("flask", "gunicorn"), [*GUNICORN, *THREADS, "--preload", "flask_app:app"]),
    "flask-uwsgi": (("flask", "pyuwsgi"), [*UWSGI, *WORKERS, "--module", "flask_app:app"]),
    "django-uwsgi": (("django", "pyuwsgi"), [*UWSGI, *WORKERS, "--module", "django_site.wsgi"]),
}
# These servers write the whole body to a temporary file before the view starts, so that no upload can be
# interrupted.
BUFFERING = {"django-asgi"}
# This server keeps all bytes in memory that the application has not read yet, without a limit.
UNLIMITED_MEMORY = {"quart"}


@pytest.fixture(scope="module", params=SERVERS)
def framework(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def running(framework: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    modules, command = SERVERS[framework]
    needs(*modules)
    with (
        Emulator() as emulator,
        serving(command, emulator, tmp_path_factory.mktemp(framework)) as site,
    ):
        yield site


@pytest.fixture
def site(running: Site) -> Site:
    running.emulator.reset()
    return running


def puts(site: Site) -> list[tuple[int | None, int]]:
    """Return the status and the body length of each PUT.

    The status is None until the body is complete, and stays None for an interrupted upload.
    """
    return [
        (request.status, request.body_length) for request in site.emulator.requests if request.method == "PUT"
    ]


def test_a_picture_in_the_body_arrives_under_its_name(site: Site) -> None:
    response = site.upload(name="Zoë & <b>.gif")
    assert response.status == 201, response.text
    image = site.emulator.images[response.json["id"]]
    assert image.original_filename == "Zoë & <b>.gif"
    assert puts(site) == [(200, len(GIF))]
    assert response.json["url"] == f"{image.cdn_url}@thumbnail"


def test_a_picture_in_a_form_arrives_under_its_name(site: Site) -> None:
    response = site.send_form(name="hero.gif")
    assert response.status == 201, response.text
    assert site.emulator.images[response.json["id"]].original_filename == "hero.gif"
    assert puts(site) == [(200, len(GIF))]


def test_a_token_has_the_form_that_the_browser_package_expects(site: Site) -> None:
    response = site.request("POST", "/upload-token", b"")
    assert response.status == 200, response.text
    assert list(response.json) == ["uploadToken"]
    assert response.json["uploadToken"]


def test_a_page_shows_a_responsive_picture_with_an_escaped_name(site: Site) -> None:
    image_id = site.upload(name="<script>alert(1)</script>.gif").json["id"]
    response = site.request("GET", f"/pictures/{image_id}")
    assert response.status == 200, response.text
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.count("<img ") == 1
    assert "srcset=" in response.text
    assert "<script>" not in response.text
    assert "&lt;script&gt;" in response.text
    # Escaped once, not twice.
    assert "&amp;lt;" not in response.text


@pytest.mark.parametrize("odd", ["a%20b", "..", "%2e%2e", "a%2Fb", "hero.jpg"])
def test_an_invalid_id_in_the_url_is_a_client_error_without_an_api_request(site: Site, odd: str) -> None:
    assert site.request("GET", f"/pictures/{odd}").status in {404, 422}
    assert list(site.emulator.requests) == []


def test_an_upload_ends_when_the_browser_disconnects_and_the_next_one_works(
    site: Site, framework: str
) -> None:
    with socket.create_connection((site.host, site.port), timeout=30) as browser:
        head = (
            f"POST /pictures?name=big.gif HTTP/1.1\r\nHost: {site.host}\r\nContent-Length: {50 * MIB}\r\n\r\n"
        )
        browser.sendall(head.encode() + GIF + bytes(4 * MIB))
        if framework not in BUFFERING:
            until(lambda: puts(site), "an upload begins")
            assert puts(site)[0][0] is None
    if framework not in BUFFERING:
        # The log has no body length before the upload has ended.
        until(lambda: puts(site)[0][1] > 0, "the storage sees the upload end")
        assert puts(site)[0][0] is None
        assert puts(site)[0][1] < 50 * MIB
    assert site.upload().status == 201
    assert site.process.poll() is None
    assert len(puts(site)) == (1 if framework in BUFFERING else 2)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_200_megabytes_are_not_kept_in_memory(site: Site, framework: str) -> None:
    site.emulator.keep_bodies = False
    block, count = bytes(MIB), 200
    body = [GIF, *[block] * count]
    size = {"Content-Length": str(len(GIF) + count * MIB)}
    assert site.upload([GIF, *[block] * 8], headers={"Content-Length": str(len(GIF) + 8 * MIB)}).status == 201
    with site.growth() as growth:
        assert site.upload(body, headers=size, timeout=90).status == 201
    assert puts(site)[-1] == (200, len(GIF) + count * MIB)
    digest = hashlib.sha256(b"".join(body)).hexdigest()
    digests = [request.body_sha256 for request in site.emulator.requests if request.method == "PUT"]
    assert digests[-1] == digest
    print(json.dumps({"growth MiB": [round(size / MIB, 1) for size in growth]}))
    # Quart accepts all bytes; how many of them wait in memory depends on which side is faster.
    assert framework in UNLIMITED_MEMORY or max(growth) < 40 * MIB


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_a_stalled_storage_stops_the_browser_and_fills_no_memory(site: Site, framework: str) -> None:
    if framework in BUFFERING | UNLIMITED_MEMORY:
        pytest.skip(f"{framework} takes the body at its own pace")
    site.emulator.faults.add("PUT", "/uploads/*", stall=4)
    with (
        site.growth() as growth,
        socket.create_connection((site.host, site.port), timeout=2) as browser,
        pytest.raises(TimeoutError),
    ):
        head = f"POST /pictures?name=big.gif HTTP/1.1\r\nHost: {site.host}\r\nContent-Length: {200 * MIB}\r\n\r\n"
        browser.sendall(head.encode() + GIF)
        for _ in range(100):
            browser.sendall(bytes(MIB))
    assert max(growth) < 40 * MIB


def test_an_error_becomes_the_matching_response(site: Site) -> None:
    faults, upload = site.emulator.faults, "/api/v1/images/standard_upload"
    responses = {"missing": site.request("GET", "/pictures/00000000-0000-0000-0000-000000000000")}
    responses["text"] = site.upload(b"plain text, no picture")
    faults.add("POST", upload, status=413, body={"detail": "too large"})
    responses["large"] = site.upload()
    faults.add("POST", upload, status=401, body={"detail": "bad key", "error_type": "InvalidTokenError"})
    responses["refused"] = site.upload()
    faults.add("POST", upload, status=429, headers={"Retry-After": "3600"})
    # The last request, because the application's client delays its calls after a 429.
    responses["busy"] = site.upload()
    assert {name: (response.status, response.json["code"]) for name, response in responses.items()} == {
        "missing": (404, "not_found"),
        "text": (415, "unsupported_image"),
        "large": (413, "too_large"),
        "busy": (503, "busy"),
        "refused": (502, "service_failed"),
    }
    assert {response.headers["content-type"] for response in responses.values()} == {
        "application/problem+json"
    }
    assert responses["busy"].headers["retry-after"] == "3600"
    assert "key" not in responses["refused"].text


@pytest.mark.parametrize("threads", [["--enable-threads"], []], ids=["threads", "no threads"])
def test_uwsgi_workers_upload_in_parallel_with_a_client_made_before_the_fork(
    tmp_path: Path, threads: list[str]
) -> None:
    needs("flask", "pyuwsgi")
    workers = ["--master", "--processes", "2", *threads, "--need-app", "--die-on-term"]
    command = [*UWSGI, *workers, "--module", "flask_app:app"]
    with (
        Emulator() as emulator,
        serving(command, emulator, tmp_path) as site,
        concurrent.futures.ThreadPoolExecutor(1) as browser,
    ):
        # A worker handles one request at a time, so the other worker gets the second request.
        for _ in range(3):
            emulator.requests.clear()
            emulator.faults.add("PUT", "/uploads/*", stall=3)
            slow = browser.submit(site.upload)
            until(lambda: puts(site), "the first upload begins")
            assert site.upload().status == 201
            assert not slow.done()
            assert slow.result(30).status == 201
