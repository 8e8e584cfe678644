"""Keys, presigned URLs and tokens are sent only to their hosts, and appear in no error, log or report."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
import leaks
import pytest

from imgwire_async import (
    AsyncImgwireClient,
    AuthenticationError,
    Image,
    ImageDownloadJob,
    ImgwireError,
    Timeouts,
    UnsafeURLError,
    to_dict,
)
from imgwire_async.emulator import Emulator

from .conftest import http, raw_server
from .pictures import png

PICTURE = png(padding=3000)
FOREVER = float("inf")
SIGNED = f"X-Amz-Signature={'a' * 64}"
TOKEN = f"ut_{'a' * 32}"
STORAGE, CDN = {"host": "storage"}, {"host": "cdn"}


# --- keys ---------------------------------------------------------------------------------------------------


async def test_a_hundred_calls_share_one_call_of_the_key_callable(emulator: Emulator) -> None:
    questions = 0

    async def key() -> str:
        nonlocal questions
        questions += 1
        await asyncio.sleep(0.01)
        return emulator.api_key

    async with AsyncImgwireClient(key, base_url=emulator.base_url) as client:
        await asyncio.gather(*(client.images.list() for _ in range(100)))
    assert questions == 1


async def test_no_call_fails_when_the_key_changes_during_many_calls(emulator: Emulator) -> None:
    """After some time the service rejects the old key.

    Each rejected call fetches the new key, and is repeated once.
    """
    valid, questions, old = True, 0, "sk_old"

    async def key() -> str:
        nonlocal questions
        questions += 1
        await asyncio.sleep(0.005)
        return old if valid else emulator.api_key

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A service that accepts the old key until `valid` is cleared, and then only the new key."""
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            sent.append(head)
            wanted = old if valid else emulator.api_key
            await asyncio.sleep(0.002)
            good = f"Authorization: Bearer {wanted}\r\n".encode() in head
            body = b"[]" if good else b'{"detail": "no"}'
            status = "200 OK" if good else "401 Unauthorized"
            writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()

    sent: list[bytes] = []
    async with raw_server(answer) as origin, AsyncImgwireClient(key, base_url=origin) as client:
        await client.images.list()
        calls = [asyncio.ensure_future(client.images.list()) for _ in range(50)]
        while len(sent) < 20:
            await asyncio.sleep(0)
        valid = False
        await asyncio.gather(*calls)
        await client.images.list()
    refused = [head for head in sent if b"Bearer sk_old" in head]
    renewed = [head for head in sent if b"Bearer sk_old" not in head]
    assert questions == 2
    assert len(sent) <= 52 + len(refused)  # no call was sent a third time
    assert renewed


async def test_a_call_is_repeated_once_after_a_401_and_only_with_another_key(emulator: Emulator) -> None:
    keys = itertools.count()
    async with AsyncImgwireClient(lambda: f"sk_{next(keys)}", base_url=emulator.base_url) as client:
        with pytest.raises(AuthenticationError):
            await client.images.list()
    assert [r.header("Authorization") for r in emulator.requests] == ["Bearer sk_0", "Bearer sk_1"]
    emulator.requests.clear()
    async with AsyncImgwireClient(lambda: "sk_same", base_url=emulator.base_url) as client:
        with pytest.raises(AuthenticationError):
            await client.images.list()
    assert len(emulator.requests) == 1


# --- hosts --------------------------------------------------------------------------------------------------


async def test_only_the_api_gets_the_key_and_no_host_gets_cookies_or_netrc_credentials(
    emulator: Emulator, client: AsyncImgwireClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "netrc").write_text("default login thief password stolen\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    emulator.faults.add(
        "GET", "*", host="api", status=503, headers={"Set-Cookie": "session=1; Path=/", "Retry-After": "0"}
    )
    emulator.faults.add(
        "GET", "*", host="cdn", status=503, headers={"Set-Cookie": "session=2; Path=/", "Retry-After": "0"}
    )
    image = await client.images.upload(PICTURE, wait=True)
    await client.images.read(image)
    job = await client.images.create_bulk_download_job([image.id])
    await client.images.download_archive(await client.images.wait_for_bulk_download(job), tmp_path / "a.zip")
    assert {record.host for record in emulator.requests} == {"api", "storage", "cdn"}
    assert leaks.leaks_to_hosts(emulator.requests) == []
    keys = {record.header("Authorization") for record in emulator.requests if record.host == "api"}
    assert keys == {f"Bearer {emulator.api_key}"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_of_the_api_is_not_followed_with_the_key(status: int) -> None:
    strangers: list[bytes] = []

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        strangers.append(await reader.readuntil(b"\r\n\r\n"))

    async with raw_server(stranger) as there:
        answer = http(f"{status} Moved", b"", f"Location: {there}/api/v1/images/")

        async def moved(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()

        async with raw_server(moved) as origin, AsyncImgwireClient("sk_x", base_url=origin) as client:
            with pytest.raises(UnsafeURLError, match="another origin"):
                await client.images.list()
    assert strangers == []


async def test_a_redirect_of_a_put_is_not_followed(emulator: Emulator, client: AsyncImgwireClient) -> None:
    emulator.faults.add(
        "PUT", "*", status=307, headers={"Location": f"{emulator.cdn_url}/elsewhere"}, times=None
    )
    with pytest.raises(ImgwireError, match="307"):
        await client.images.upload(PICTURE)
    assert [record.host for record in emulator.requests] == ["api", "storage"]


UNSAFE = {
    "user info": "http://user:pw@127.0.0.1/a?" + SIGNED,
    "another scheme": "ftp://127.0.0.1/a?" + SIGNED,
    "a file": "file:///etc/passwd?" + SIGNED,
    "no host": "http:///a?" + SIGNED,
    "a back slash": "http://127.0.0.1\\@evil.example/a?" + SIGNED,
    "a control character": "http://127.0.0.1/a\r\nX: y?" + SIGNED,
}


@pytest.fixture
async def image(client: AsyncImgwireClient) -> Image:
    return await client.images.upload(PICTURE, wait=True)


@pytest.fixture
async def job(client: AsyncImgwireClient, emulator: Emulator, image: Image) -> ImageDownloadJob:
    emulator.download_polls = 1
    made = await client.images.create_bulk_download_job([image.id])
    return await client.images.retrieve_bulk_download_job(made.id)


@pytest.mark.parametrize("what", UNSAFE)
async def test_every_operation_rejects_an_unsafe_url(
    emulator: Emulator,
    client: AsyncImgwireClient,
    image: Image,
    job: ImageDownloadJob,
    tmp_path: Path,
    what: str,
) -> None:
    url = UNSAFE[what]
    minted = to_dict(await client.images.create(file_name="a.png")) | {"upload_url": url}
    emulator.requests.clear()
    emulator.faults.add("POST", "*/standard_upload", status=200, body=minted)
    with pytest.raises(UnsafeURLError, match="upload_url"):
        await client.images.upload(PICTURE)
    with pytest.raises(UnsafeURLError, match="download_url"):
        await client.images.download_archive(attrs.evolve(job, download_url=url), tmp_path / "a.zip")
    assert [record.host for record in emulator.requests] == ["api"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("what", ["user info", "another scheme"])
async def test_an_unsafe_cdn_url_is_rejected(client: AsyncImgwireClient, image: Image, what: str) -> None:
    away = attrs.evolve(image, cdn_url=UNSAFE[what].partition("?")[0])
    with pytest.raises((UnsafeURLError, ValueError)):
        await client.images.read(away)


async def test_plain_http_to_another_machine_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    client = AsyncImgwireClient("sk_x", base_url="http://api.example")
    client.with_options(retries=0)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "clear text" in caplog.text
    caplog.clear()
    AsyncImgwireClient("sk_x", base_url="http://localhost:1")
    assert caplog.records == []


# --- errors -------------------------------------------------------------------------------------------------


@attrs.frozen
class Stage:
    client: AsyncImgwireClient
    emulator: Emulator
    image: Image
    job: ImageDownloadJob
    folder: Path


Failing = Callable[[Stage], Awaitable[object]]


def _retrieve(stage: Stage) -> Awaitable[object]:
    return stage.client.images.retrieve(stage.image.id)


def _upload(stage: Stage) -> Awaitable[object]:
    return stage.client.images.upload(PICTURE)


def _archive(stage: Stage) -> Awaitable[object]:
    return stage.client.images.download_archive(stage.job, stage.folder / "a.zip")


def _create(stage: Stage) -> Awaitable[object]:
    return stage.client.images.create(file_name="a.png", upload_token=TOKEN)


def _token(stage: Stage) -> Awaitable[object]:
    return stage.client.images.create_upload_token()


async def _limited(stage: Stage, work: Failing) -> None:
    async with asyncio.timeout(0.15):
        await work(stage)


def _fail(_: object) -> None:
    raise LookupError("the caller's own")


FAILING: dict[str, tuple[Failing, dict[str, Any]]] = {
    "401": (_retrieve, {"status": 401}),
    "500": (_retrieve, {"status": 500}),
    "reset": (_retrieve, {"reset": "before"}),
    "out of time": (_retrieve, {"stall": FOREVER}),
    "given up": (lambda stage: _limited(stage, _retrieve), {"stall": FOREVER}),
    "redirect": (_retrieve, {"status": 302, "headers": {"Location": f"http://evil.example/?{SIGNED}"}}),
    "token used": (_create, {"status": 401}),
    "token given up": (lambda stage: _limited(stage, _create), {"stall": FOREVER}),
    "unreadable URL": (_create, {"status": 200, "body": {"image": {}, "upload_url": f"http://x/?{SIGNED}"}}),
    "unreadable token": (_token, {"status": 200, "body": {"id": 7, "token": TOKEN}}),
    "cut JSON": (_create, {"status": 200, "body": f'{{"upload_url": "http://x/?{SIGNED}'}),
    "put refused": (_upload, STORAGE | {"status": 403}),
    "put reset": (_upload, STORAGE | {"reset": "before"}),
    "put stalled": (_upload, STORAGE | {"stall": FOREVER}),
    "put given up": (lambda stage: _limited(stage, _upload), STORAGE | {"stall": FOREVER}),
    "put and its answer given up": (
        lambda stage: _limited(stage, _upload),
        STORAGE | {"status": 200, "body": "x" * 9000, "cut": 5000, "stall": FOREVER},
    ),
    "a callback": (
        lambda stage: stage.client.images.upload(png(padding=900_000), on_progress=_fail),
        {"status": 500, "after": 99},
    ),
    "archive refused": (_archive, STORAGE | {"status": 403}),
    "archive reset": (_archive, STORAGE | {"reset": "before"}),
    "archive cut": (_archive, STORAGE | {"cut": 50}),
    "archive given up": (lambda stage: _limited(stage, _archive), STORAGE | {"stall": FOREVER}),
    "archive given up in the midst": (
        lambda stage: _limited(stage, _archive),
        STORAGE | {"cut": 50, "stall": FOREVER},
    ),
    "archive redirected": (
        _archive,
        STORAGE | {"status": 302, "headers": {"Location": f"ftp://127.0.0.1/?{SIGNED}"}},
    ),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, marks=pytest.mark.slow if place % 4 else ()) for place, case in enumerate(FAILING)],
)
async def test_neither_an_error_nor_the_variables_of_its_frames_show_a_secret(
    emulator: Emulator, image: Image, job: ImageDownloadJob, tmp_path: Path, case: str
) -> None:
    """Error trackers store the variables of frames.

    Those of this package and of aiohttp must hold no secret.
    """
    work, fault = FAILING[case]
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, retries=0, timeout=Timeouts(attempt=0.3, stall=0.3)
    ) as client:
        emulator.faults.add("*", "*", times=None, **fault)
        with pytest.raises((ImgwireError, TimeoutError, LookupError)) as caught:
            await work(Stage(client, emulator, image, job, tmp_path))
    assert leaks.leaks_of(caught.value) == []
    assert leaks.leaks_in_frames_of(caught.value) == []


@pytest.mark.parametrize(
    "settings",
    [
        {"base_url": "ftp://x"},
        {"retries": -1},
        {"proxy": "socks://user:sk_0123456789abcdef0123456789abcdef@x"},
        {"api_key": "sk_0123456789abcdef0123456789abcdef\0"},
    ],
    ids=str,
)
def test_an_error_of_the_constructor_shows_no_secret(
    settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = f"sk_{'0123456789abcdef' * 2}"
    for given in ({"api_key": key} | settings, settings):
        monkeypatch.setenv("IMGWIRE_API_KEY", key)
        with pytest.raises(ValueError, match=r"."):  # ConfigurationError is a ValueError
            try:
                AsyncImgwireClient(**given)
            except ValueError as error:
                found = leaks.leaks_of(error) + leaks.leaks_in_frames_of(error)
                raise
        assert found == []


async def test_the_error_for_an_invalid_result_of_the_key_callable_does_not_quote_it(
    emulator: Emulator,
) -> None:
    async with AsyncImgwireClient(lambda: f"{emulator.api_key}\nx", base_url=emulator.base_url) as client:
        with pytest.raises(ValueError, match="API key") as caught:
            await client.images.list()
    assert leaks.leaks_of(caught.value) + leaks.leaks_in_frames_of(caught.value) == []


# --- the scanner --------------------------------------------------------------------------------------------


KEY = f"sk_{'0f' * 16}"


@pytest.mark.usefixtures("intended_leaks")
@pytest.mark.parametrize("secret", [KEY, KEY.replace("sk", "ck"), f"http://x/?{SIGNED}", TOKEN])
def test_the_scanner_finds_a_secret_in_every_part_of_an_error(secret: str) -> None:
    def planted(how: str) -> BaseException:
        hidden = secret
        try:
            if how == "cause":
                raise ImgwireError("fine") from ValueError(hidden)
            if how == "context":
                try:
                    raise ValueError(hidden)
                except ValueError:
                    raise ImgwireError("fine")  # noqa: B904  # a common mistake
            if how == "group":
                raise ExceptionGroup("fine", [ValueError(hidden)])
            raise ImgwireError(hidden if how == "text" else "fine")
        except Exception as error:
            if how == "note":
                error.add_note(hidden)
            if how == "attribute":
                error.url = hidden  # type: ignore[attr-defined]
            return error

    assert leaks.leaks_of(planted("nowhere")) == []
    for how in ("text", "note", "attribute", "cause", "context", "group"):
        found = leaks.leaks_of(planted(how))
        assert found, how
        # The report must not show the secret itself.
        assert secret not in str(found)


def test_the_scanner_finds_a_secret_in_a_variable_of_a_frame() -> None:
    source = "def f(secret):\n    held = {'a': [secret]}\n    raise ValueError('fine')\n"
    library: dict[str, Any] = {}
    exec(compile(source, "/somewhere/library.py", "exec"), library)
    with pytest.raises(ValueError, match="fine") as caught:
        library["f"](KEY)
    assert [leak.split(":")[2].strip() for leak in leaks.leaks_in_frames_of(caught.value)] == [
        "secret",
        "held",
    ]


async def test_the_scanner_finds_a_key_that_was_sent_to_another_host(emulator: Emulator) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        for headers in ({"Authorization": "Basic x"}, {"Cookie": "a=b"}, {"X-Key": emulator.api_key}, {}):
            async with session.get(f"{emulator.cdn_url}/a", headers=headers):
                pass
        async with session.get(f"{emulator.base_url}/api/v1/images/?key={emulator.api_key}"):
            pass
    found = leaks.leaks_to_hosts(emulator.requests)
    assert [leak.partition(":")[0] for leak in found] == ["cdn"] * 3 + ["api"]
    # These leaks were intended.
    emulator.requests.clear()


@pytest.mark.usefixtures("intended_leaks")
def test_the_scanner_finds_a_secret_in_a_log_record() -> None:
    found: list[str] = []
    watch = leaks.LogWatch(found)
    logger = logging.getLogger("imgwire_async.planted")
    logger.propagate = False
    logger.addHandler(watch)
    logger.warning("asked %s", "nothing")
    assert found == []
    logger.warning("asked %s", KEY)
    try:
        raise ValueError(KEY)
    except ValueError:
        logger.exception("failed")
    assert len(found) >= 2


@pytest.mark.usefixtures("intended_leaks")
async def test_the_scanner_checks_logs_and_errors_of_the_whole_session(
    client: AsyncImgwireClient,
) -> None:
    with pytest.raises(ImgwireError):
        await client.images.retrieve("no-such-image")
    assert leaks.session.take() == []
    logging.getLogger("imgwire_async").debug("asked with %s", KEY)
    assert len(leaks.session.take()) == 1
    if sys.version_info >= (3, 12):  # sys.monitoring is new in 3.12
        before = leaks.session.errors
        with contextlib.suppress(ImgwireError):
            raise ImgwireError(f"at http://x/?{SIGNED}")
        assert leaks.session.errors == before + 1
        assert leaks.session.take()


@pytest.mark.usefixtures("intended_leaks")
@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs sys.monitoring")
def test_the_scanner_checks_notes_that_were_added_later() -> None:
    def library() -> None:
        raise ImgwireError("fine")

    try:
        try:
            library()
        except ImgwireError as error:
            error.add_note(KEY)
            raise
    except ImgwireError:
        pass
    assert leaks.session.take()
