"""What a source of another cloud lists, names and leaves out."""

from __future__ import annotations

import asyncio
import contextlib
import io
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import aiohttp.web
import fsspec
import pytest
from fsspec import AbstractFileSystem
from fsspec.registry import known_implementations

from imgwire_async import BatchError, disk_work
from imgwire_async.batch.items import Entry, Identity, Skip
from imgwire_async.batch.sources import as_source, cloud
from imgwire_async.batch.sources.cloud_errors import Meaning, meaning_of
from imgwire_async.batch.sources.cloud_info import Found, below_root, found_of
from imgwire_async.batch.sources.cloud_url import name_of_url, safe_text, secrets_of
from imgwire_async.batch.sources.own_files import OwnFiles
from imgwire_async.errors import SourceChangedError

from .gifs import gif
from .shelves import ServiceError, Shelf, shelf

__all__ = ["shelf"]


@pytest.fixture
def memory() -> Iterator[Any]:
    """The file system `memory://`, empty."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    files.pseudo_dirs[:] = [""]
    yield files
    files.store.clear()
    files.pseudo_dirs[:] = [""]


async def listed(files: Any, *, stall: float | None = 5.0, own: frozenset[Path] = frozenset()) -> list[Any]:
    """Return all items of a source."""
    source = as_source(files, own, stall)
    items: list[Entry | Skip] = []
    try:
        while chunk := await source.read():
            assert len(chunk) <= 500
            items += chunk
    finally:
        await source.aclose()
    return items


async def keys(files: Any) -> set[str]:
    return {item.key for item in await listed(files) if isinstance(item, Entry)}


async def skips(files: Any) -> dict[str, str]:
    return {item.key: item.reason for item in await listed(files) if isinstance(item, Skip)}


async def content(files: Any, *, stall: float | None = 5.0) -> dict[str, bytes]:
    """Return the bytes of all files of a source."""
    source = as_source(files, frozenset(), stall)
    found: dict[str, bytes] = {}
    try:
        while chunk := await source.read():
            for item in chunk:
                assert isinstance(item, Entry)
                file: Any = item.item.file
                found[item.key] = b"".join([data async for data in file.open()])
    finally:
        await source.aclose()
    return found


# --- names and secrets --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("s3://bucket/photos/", "s3://bucket/photos"),
        ("S3://Bucket", "s3://Bucket"),
        ("s3://id:secret@bucket/a@b", "s3://bucket/a@b"),
        ("ftp://user:pa@ss@host:21/x", "ftp://host:21/x"),
        ("az://box/x?sig=secret", "az://box/x"),
        ("gs://box/c#/x", "gs://box/c#/x"),
        ("memory://", "memory://"),
        ("memory:///", "memory:///"),
        ("file:///tmp/x", "file:///tmp/x"),
        ("zip://in::s3://id:secret@bucket/a.zip?x=y", "zip://in::s3://bucket/a.zip"),
    ],
)
def test_the_name_of_a_source_is_its_url_without_secrets(url: str, name: str) -> None:
    assert name_of_url(url) == name


def test_no_message_contains_the_values_of_options_and_of_the_url() -> None:
    options = {
        "key": "AKIDAKID",
        "client_kwargs": {"headers": [("x", b"in-a-list")]},
        "secret": "s3cr3ts3cr3t",
    }
    secrets = secrets_of("ftp://user:pass@host/x?token=abc", {**options, "endpoint_url": "http://host:1"})
    error = OSError(
        "AKIDAKID s3cr3ts3cr3t in-a-list user:pass pass token=abc http://me:pw@host:1/x?sig=1 end"
    )
    assert safe_text(error, secrets) == "OSError: *** *** *** *** *** *** http://***@host:1/x?*** end"


def test_the_repr_of_a_source_contains_no_secret() -> None:
    source = cloud("ftp://user:pass@host/x", prefix="p/", storage_options={"password": "secretsecret"})
    assert repr(source) == "Cloud(name='ftp://host/x', moved=False)"


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("photos", "must begin with a protocol"),
        ("/photos", "must begin with a protocol"),
        ("", "must begin with a protocol"),
        ("memroy://photos", "did you mean memory://"),
        ("nothing-like-that://x", "does not know the protocol"),
        ("https://host/x?token=secret", "must have no query"),
    ],
)
def test_a_wrong_url_is_rejected_before_anything_is_listed(url: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        cloud(url)
    assert "secret" not in str(caught.value)


def test_wrong_arguments_are_rejected() -> None:
    for arguments in ({"storage_options": "x"}, {"storage_options": {1: 2}}, {"include": 1}, {"hidden": "x"}):
        with pytest.raises(TypeError):
            cloud("memory://x", **arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        cloud(Path("x"))  # type: ignore[arg-type]


def test_a_protocol_whose_package_is_missing_is_an_import_error_that_names_it() -> None:
    known_implementations["unheard"] = {
        "class": "no_such_package.FileSystem",
        "err": "Install no-such to use it",
    }
    try:
        with pytest.raises(
            ImportError, match=r"unheard:// needs .*Install no-such.*pip install no_such_package"
        ):
            cloud("unheard://x")
    finally:
        del known_implementations["unheard"]


def test_fsspec_is_not_imported_with_the_package() -> None:
    import subprocess

    code = "import sys, imgwire_async.batch; assert 'fsspec' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# --- identities ---------------------------------------------------------------------------------------------

_MOMENT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("info", "identity"),
    [
        ({"size": 5, "ETag": '"abc"', "LastModified": _MOMENT}, Identity(5, tag="abc")),
        ({"size": 5, "etag": 'W/"abc"'}, Identity(5, tag="abc")),
        ({"size": 5, "md5Hash": "sum==", "etag": "changes-with-metadata"}, Identity(5, tag="sum==")),
        ({"size": 5, "content_settings": {"content_md5": b"\x01\xff"}}, Identity(5, tag="01ff")),
        ({"size": 5, "CRC": 255, "date_time": (2026, 1, 1)}, Identity(5, tag="000000ff")),
        ({"size": 5, "LastModified": _MOMENT}, Identity(5, 1767323045000000000)),
        ({"size": 5, "mtime": 1.5}, Identity(5, 1500000000)),
        ({"size": 5, "modify": "20260101"}, Identity(5, tag="20260101")),
        ({"size": 5}, Identity(5)),
        ({"size": None}, Identity(None)),
    ],
)
def test_the_identity_is_a_checksum_or_an_etag_or_a_time(info: dict[str, Any], identity: Identity) -> None:
    assert found_of({"name": "x", **info}).identity == identity


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("http://h/p/a%20b.jpg", "a b.jpg"),
        ("http://h/p/a&amp;b.jpg", "a&b.jpg"),
        ("http://h/p/x/", "x/"),
        ("http://h/p/?C=N;O=D", None),
        ("http://h/p/#top", None),
        ("http://h/p/mailto:x@y", None),
        ("http://h/p/../a.jpg", None),
        ("http://h/p/%2e%2e/a.jpg", None),
        ("http://h/other/a.jpg", None),
        ("http://h/p/", None),
    ],
)
def test_links_that_lead_to_no_file_below_the_page_do_not_count(path: str, below: str | None) -> None:
    assert below_root(Found(path, "file"), "http://h/p", is_http=True) == below


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        (FileNotFoundError(), Meaning.GONE),
        (PermissionError(), Meaning.FORBIDDEN),
        (TimeoutError(), Meaning.TRANSIENT),
        (ConnectionResetError(), Meaning.TRANSIENT),
        (OSError(5, "x"), Meaning.TRANSIENT),
        (ValueError(), Meaning.PERMANENT),
        (ServiceError(503), Meaning.TRANSIENT),
        (ServiceError(429), Meaning.TRANSIENT),
        (ServiceError(403), Meaning.FORBIDDEN),
        (ServiceError(404), Meaning.GONE),
        (ServiceError(412), Meaning.CHANGED),
        (ServiceError(400), Meaning.PERMANENT),
    ],
)
def test_the_status_of_a_response_or_the_class_decides_what_an_error_means(
    error: Exception, meaning: Meaning
) -> None:
    assert meaning_of(error) is meaning


# --- listings -----------------------------------------------------------------------------------------------


async def test_all_files_below_a_url_are_found_under_their_paths(memory: Any) -> None:
    names = ["a.gif", "x/b.gif", "x/y/c d.gif", "é.gif", "é.gif", "%41.gif", "[x]{y}?.gif", "x/#1.gif"]
    for name in names:
        memory.pipe(f"/photos/{name}", gif(1))
    memory.pipe("/other/z.gif", gif(1))
    assert await keys(cloud("memory://photos")) == {*names}
    assert await keys(cloud("memory://photos/", prefix="p/")) == {f"p/{name}" for name in names}
    assert await keys(cloud("memory://", include="z.gif")) == {"other/z.gif"}
    assert await keys(cloud("memory://photos/x")) == {"b.gif", "y/c d.gif", "#1.gif"}


async def test_patterns_choose_files_as_those_of_a_folder(memory: Any) -> None:
    for name in ("a.gif", "a.txt", "raw/b.gif", "x/raw/c.gif", "x/d.gif"):
        memory.pipe(f"/photos/{name}", gif(1))
    assert await keys(cloud("memory://photos", include="*.gif", exclude="raw/")) == {"a.gif", "x/d.gif"}
    assert await keys(cloud("memory://photos", include="/x/**")) == {"x/d.gif", "x/raw/c.gif"}
    assert await keys(cloud("memory://photos", exclude="/raw/**")) == {
        "a.gif",
        "a.txt",
        "x/d.gif",
        "x/raw/c.gif",
    }


async def test_what_is_not_uploaded_is_skipped_with_a_reason(memory: Any) -> None:
    for name in (".h.gif", ".x/1.gif", ".x/2.gif", "y/.z/3.gif", "a.gif"):
        memory.pipe(f"/photos/{name}", gif(1))
    memory.pipe("/photos/empty.gif", b"")
    memory.pipe("/photos/" + "n" * 5_000, gif(1))
    reasons = await skips(cloud("memory://photos", prefix="p/"))
    assert reasons == {
        "p/.h.gif": "a hidden file; hidden=True uploads it",
        "p/.x/": "a hidden folder; hidden=True uploads what is in it",
        "p/y/.z/": "a hidden folder; hidden=True uploads what is in it",
        "p/empty.gif": "an empty file",
        "p/" + "n" * 5_000: "its key has more than 4,096 bytes",
    }
    assert len(await keys(cloud("memory://photos", hidden=True))) == 5


async def test_files_of_this_machine_are_read_without_links_and_without_the_journal(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    (photos / "x").mkdir(parents=True)
    (photos / "x" / "a.gif").write_bytes(gif(1))
    (photos / "run.journal").write_bytes(b"journal")
    (photos / "loop").symlink_to(photos)
    (photos / "link.gif").symlink_to(photos / "x" / "a.gif")
    items = await listed(cloud(photos.as_uri()), own=frozenset({photos / "run.journal"}))
    assert {item.key: getattr(item, "reason", None) for item in items} == {
        "x/a.gif": None,
        "loop": "a link",
        "link.gif": "a link",
    }
    assert OwnFiles([photos / "run.journal"]).has_path(str(photos / "run.journal"))


async def test_members_of_an_archive_are_read_through_fsspec(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(10):
            archive.writestr(f"in/{number}.gif", gif(number) * 20_000)
    found = await content(cloud(f"zip://::file://{tmp_path}/a.zip"))
    assert found == {f"in/{number}.gif": gif(number) * 20_000 for number in range(10)}


async def test_a_url_without_files_is_an_error_and_not_an_empty_run(memory: Any, tmp_path: Path) -> None:
    memory.pipe("/photos/a.gif", gif(1))
    with pytest.raises(FileNotFoundError, match="memory://nothing"):
        await listed(cloud("memory://nothing"))
    with pytest.raises(NotADirectoryError, match="pass the URL of its folder"):
        await listed(cloud("memory://photos/a.gif"))
    assert await listed(cloud(tmp_path.as_uri())) == []


# --- file systems for asyncio -------------------------------------------------------------------------------


async def test_a_file_system_for_asyncio_runs_on_the_loop_of_the_run_and_is_closed(
    shelf: type[Shelf],
) -> None:
    shelf.files = {"box/a.gif": gif(1), "box/x/b.gif": gif(2) * 100_000}
    assert await content(cloud("shelf://box", storage_options={"extra": 1})) == {
        "a.gif": gif(1),
        "x/b.gif": gif(2) * 100_000,
    }
    assert shelf.loops == {asyncio.get_running_loop()}
    assert shelf.options[0]["extra"] == 1
    assert shelf.closed == 1


async def test_a_listing_is_repeated_while_the_service_is_unavailable(shelf: type[Shelf]) -> None:
    shelf.files = {"box/a.gif": gif(1)}
    shelf.faults = [ServiceError(503), ConnectionResetError()]
    assert await keys(cloud("shelf://box")) == {"a.gif"}
    assert shelf.calls == ["ls box"] * 3


@pytest.mark.parametrize("faults", [[30.0] * 9, [ServiceError(503, "key is sEcReTsEcReT")] * 99])
async def test_a_listing_without_progress_ends_with_an_error_that_names_the_url(
    shelf: type[Shelf], faults: list[Any]
) -> None:
    shelf.files = {"box/a.gif": gif(1)}
    shelf.faults = faults
    with pytest.raises(
        BatchError, match=r"listing shelf://box made no progress .*Timeouts\(stall="
    ) as caught:
        await listed(cloud("shelf://me:pw@box", storage_options={"key": "sEcReTsEcReT"}), stall=0.5)
    assert "sEcReT" not in str(caught.value)
    assert caught.value.__cause__ is caught.value.__context__ is None


async def test_a_listing_that_is_not_permitted_is_not_repeated(shelf: type[Shelf]) -> None:
    shelf.files = {"box/a.gif": gif(1)}
    shelf.faults = [ServiceError(403)]
    with pytest.raises(PermissionError, match="storage_options"):
        await listed(cloud("shelf://box"))
    assert shelf.calls == ["ls box"]


async def test_a_folder_that_cannot_be_listed_is_skipped(shelf: type[Shelf]) -> None:
    shelf.files = {"box/x/a.gif": gif(1)}
    for fault, reason in (
        (PermissionError(), "no permission to read it"),
        (FileNotFoundError(), "it was deleted while the files were listed"),
    ):
        shelf.faults = [0.0, fault]
        assert await skips(cloud("shelf://box", prefix="p/")) == {"p/x/": reason}


async def test_a_file_whose_connection_breaks_is_read_on_from_there(shelf: type[Shelf]) -> None:
    data = bytes(range(256)) * 16_000
    shelf.files = {"box/a.gif": data}
    shelf.faults = [0.0, 0.0, ConnectionResetError(), 0.0, ServiceError(429)]
    assert await content(cloud("shelf://box")) == {"a.gif": data}


async def test_a_file_that_does_not_arrive_ends_with_an_error_without_secrets(shelf: type[Shelf]) -> None:
    shelf.files = {"box/a.gif": gif(1)}
    shelf.faults = [0.0, *[ServiceError(500, "sEcReTsEcReT")] * 50]
    with pytest.raises(OSError, match=r"cannot be read.*'shelf://box/a.gif'") as caught:
        await content(cloud("shelf://box", storage_options={"key": "sEcReTsEcReT"}), stall=0.5)
    assert "sEcReT" not in str(caught.value)


async def test_a_file_that_changed_or_vanished_after_the_listing_is_not_sent(shelf: type[Shelf]) -> None:
    for now, error in (
        (gif(2), SourceChangedError),
        (gif(2) * 2, SourceChangedError),
        (None, FileNotFoundError),
    ):
        shelf.files = {"box/a.gif": gif(1)}
        source = as_source(cloud("shelf://box"))
        [entry] = await source.read()
        assert isinstance(entry, Entry)
        shelf.files = {} if now is None else {"box/a.gif": now}
        file: Any = entry.item.file
        with pytest.raises(error, match=r"shelf://box/a\.gif"):
            [chunk async for chunk in file.open()]
        await source.aclose()


async def test_a_listing_of_a_million_files_is_read_in_chunks(shelf: type[Shelf]) -> None:
    shelf.files = {f"box/{n % 3}/{n}.gif": b"x" for n in range(1_501)}
    source = as_source(cloud("shelf://box"))
    sizes = []
    while chunk := await source.read():
        sizes.append(len(chunk))
    await source.aclose()
    assert sum(sizes) == 1_501
    assert max(sizes) <= 500


async def test_a_file_cannot_be_read_after_its_run(shelf: type[Shelf]) -> None:
    shelf.files = {"box/a.gif": gif(1)}
    source = as_source(cloud("shelf://box"))
    [entry] = await source.read()
    await source.aclose()
    assert isinstance(entry, Entry)
    file: Any = entry.item.file
    with pytest.raises(OSError, match="the run over shelf://box has ended"):
        [chunk async for chunk in file.open()]
    assert shelf.closed == 1


async def test_the_response_that_shows_the_type_is_used_for_the_upload(shelf: type[Shelf]) -> None:
    data = gif(1) * 50_000
    shelf.files = {"box/a.gif": data}
    source = as_source(cloud("shelf://box"))
    [entry] = await source.read()
    assert isinstance(entry, Entry)
    file: Any = entry.item.file
    assert await file.peek(100) == data[:100]
    for _ in range(2):
        assert b"".join([chunk async for chunk in file.open()]) == data
    await file.peek(100)
    await file.aclose()
    # Three blocks for each time that the file was read to its end, and one that was not used.
    assert shelf.calls.count("cat box/a.gif") == 7
    await source.aclose()


# --- file systems that block --------------------------------------------------------------------------------


class Blocking(AbstractFileSystem):
    """A file system that blocks, with one connection. `gate` holds up its calls."""

    protocol = "blocking"
    cachable = False
    gate = threading.Event()
    busy: ClassVar[list[int]] = [0, 0]

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[dict[str, Any]]:
        self.gate.wait(30)
        return [{"name": f"box/{n}.gif", "size": 8, "type": "file", "mtime": 1.0} for n in range(20)]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        return {"name": path, "size": 8, "type": "file", "mtime": 1.0}

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BytesIO:
        self.busy[0] += 1
        self.busy[1] = max(self.busy)
        time.sleep(0.001)
        self.busy[0] -= 1
        return io.BytesIO(path.encode().ljust(8)[:8])


@pytest.fixture
def blocking() -> Iterator[type[Blocking]]:
    fsspec.register_implementation("blocking", Blocking, clobber=True)
    Blocking.gate.set()
    Blocking.busy[:] = [0, 0]
    yield Blocking
    Blocking.gate.set()


async def test_a_file_system_that_hangs_in_threads_ends_with_an_error_and_the_disk_goes_on(
    blocking: type[Blocking],
) -> None:
    blocking.gate.clear()
    with pytest.raises(BatchError, match="listing blocking://box made no progress"):
        await listed(cloud("blocking://box"), stall=0.3)
    assert await disk_work.run(lambda: "done") == "done"


async def test_only_one_thread_uses_a_file_system_that_is_not_known_to_allow_more(
    blocking: type[Blocking],
) -> None:
    source = as_source(cloud("blocking://box"))
    entries = await source.read()

    async def read(entry: Any) -> bytes:
        return b"".join([chunk async for chunk in entry.item.file.open()])

    found = await asyncio.gather(*map(read, entries))
    assert sorted(found) == sorted(f"box/{n}.gif".encode().ljust(8)[:8] for n in range(20))
    assert blocking.busy == [0, 1]
    await source.aclose()


# --- HTTP ---------------------------------------------------------------------------------------------------


async def test_the_links_of_a_web_page_are_files(tmp_path: Path) -> None:
    files = {"a b.gif": gif(1), "x/c.gif": gif(2) * 30_000}
    faults = [503]

    async def serve(request: aiohttp.web.Request) -> aiohttp.web.Response:
        path = request.match_info["path"]
        if request.headers.get("Authorization") != "Bearer of-this-test":
            raise aiohttp.web.HTTPUnauthorized
        if path in files:
            if request.method == "GET" and faults:
                return aiohttp.web.Response(status=faults.pop(), text="the text of an error")
            return aiohttp.web.Response(body=files[path], headers={"ETag": f'"{len(files[path])}"'})
        pages = {"": "a%20b.gif x/ ?C=N;O=D ../ gone.gif /elsewhere.gif", "x/": "c.gif"}
        if path not in pages:
            raise aiohttp.web.HTTPNotFound
        links = "".join(f'<a href="{link}">x</a>' for link in pages[path].split())
        return aiohttp.web.Response(text=f"<html>{links}</html>", content_type="text/html")

    app = aiohttp.web.Application()
    app.router.add_get("/photos/{path:.*}", serve)
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    try:
        site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        url, options = (
            f"http://127.0.0.1:{port}/photos",
            {"headers": {"Authorization": "Bearer of-this-test"}},
        )
        assert await content(cloud(url, exclude="gone.gif", storage_options=options)) == files
        reasons = await skips(cloud(url, storage_options=options))
        assert reasons == {"gone.gif": "it was deleted while the files were listed"}
        with pytest.raises(PermissionError, match="check storage_options"):
            await listed(cloud(url))
    finally:
        await runner.cleanup()


async def test_no_other_server_gets_a_request_or_a_header_by_a_redirect() -> None:
    seen: list[str] = []

    async def other(request: aiohttp.web.Request) -> aiohttp.web.Response:
        seen.append(request.path)
        return aiohttp.web.Response(body=gif(1))

    async def first(request: aiohttp.web.Request) -> aiohttp.web.Response:
        if request.path == "/photos/":
            return aiohttp.web.Response(text='<a href="a.gif">', content_type="text/html")
        raise aiohttp.web.HTTPFound(f"http://127.0.0.1:{ports[1]}/internal.gif")

    ports: list[int] = []
    async with contextlib.AsyncExitStack() as stack:
        for serve in (first, other):
            app = aiohttp.web.Application()
            app.router.add_get("/{path:.*}", serve)
            runner = aiohttp.web.AppRunner(app)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await aiohttp.web.TCPSite(runner, "127.0.0.1", 0).start()
            ports.append(runner.addresses[0][1])
        url = f"http://127.0.0.1:{ports[0]}/photos"
        found = await skips(cloud(url, storage_options={"headers": {"X-Token": "of-this-test"}}))
    assert seen == []
    assert found == {"a.gif": "the server redirects to another server"}
