"""The hints in error messages: what a wrong argument is, and what to pass in place of it."""

from __future__ import annotations

import base64
import io
import math
import tarfile
import warnings
import zipfile
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import (
    ArchiveError,
    RetryPolicy,
    Timeouts,
    UploadItem,
    UploadResult,
    checks,
    extract_archive,
)
from imgwire_async.messages import CLIENT_CLOSED, prefix_closed_client_error
from imgwire_async.mime import CAMERA_RAW, UNKNOWN_FILE
from imgwire_async.policies import as_retry_policy, as_timeouts
from imgwire_async.resources import arguments
from imgwire_async.uploads import hints
from imgwire_async.uploads.disk import FileStat, describe_change
from imgwire_async.urls.scalars import integer, number

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000")
TEXT = base64.b64encode(PNG * 40).decode()


def make_object(module: str, name: str, **members: Any) -> Any:
    """Return an object whose class has the names of a class of another library."""
    return type(name, (), {"__module__": module, **members})()


# --- texts that are not paths -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("data:image/png;base64," + TEXT, ["data URI", "this is base64: decode it", "partition"]),
        ("data:image/svg+xml,%3Csvg%3E", ["data URI", "unquote_to_bytes"]),
        (str(PNG), ["str() made of bytes"]),
        (TEXT, ["this is base64: decode it", "b64decode"]),
        (TEXT[:40], ["this is base64: decode it"]),
        (base64.urlsafe_b64encode(b"\xff\xd8\xff\xe0" + b"\xfb\xff" * 90).decode(), ["this is base64"]),
        (base64.encodebytes(PNG * 9).decode(), ["this is base64"]),
        (base64.b64encode(b"no picture at all: " + bytes(range(256))).decode(), ["this is base64"]),
        ("https://example.com/a.png?x=y", ["upload_via_url"]),
        ("http:/example.com/a.png", ["upload_via_url"]),  # pathlib removes a slash
        ("s3://bucket/a.png", ["URL (s3)", "library"]),
        ("file:///tmp/a.png", ["file: URL"]),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", ["SVG", "PNG"]),
        (PNG.decode("latin-1"), ["bytes as they were read"]),
        ("x" * 300, ["too long for a path"]),
    ],
)
def test_the_hint_for_a_text_that_is_not_a_path_says_what_the_text_is(text: str, parts: list[str]) -> None:
    hint = hints.for_path(text)
    assert hint is not None
    assert all(part in hint for part in parts), hint
    assert text not in hint


@pytest.mark.parametrize(
    "path",
    [
        "hero.png",
        "/9/hero.png",
        "C:\\pictures\\hero.png",
        "a" * 200,
        "0a1b2c3d" * 8 + ".png",
        "/Users/Ann1/" + "Ab1" * 60,
        "b'log'",
    ],
)
def test_there_is_no_hint_for_a_text_that_may_be_a_path(path: str) -> None:
    assert hints.for_path(path) is None


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("~/a.png", "expanduser"),
        ("a.png\n", "strip()"),
        ('"a.png"', "quotes"),
        ("pictures/*.png", "glob"),
        ("a.png", ""),
    ],
)
def test_the_hint_for_a_missing_path_names_the_mistake(path: str, part: str) -> None:
    assert part in hints.for_missing_path(path)
    assert bool(part) is bool(hints.for_missing_path(path))


# --- bytes that are not pictures ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "head", "part"),
    [
        ("plain text", TEXT.encode(), "this is base64: decode it"),
        ("plain text", b"data:image/png;base64," + TEXT.encode(), "this is base64: decode it"),
        ("plain text", b"https://example.com/a.png", "upload_via_url"),
        ("plain text", b"/tmp/a.png", "os.fsdecode"),
        ("plain text", b"hello there", "right file"),
        (CAMERA_RAW, b"IIRO", "Develop"),
        ("an SVG drawing", b"<svg", "PNG"),
        ("an HTML page", b"<html>", "page instead"),
        ("a Photoshop document", b"8BPS", "Convert"),
        (UNKNOWN_FILE, b"\1\2", "mime_type="),
    ],
)
def test_the_hint_for_rejected_bytes_depends_on_their_type(found: str, head: bytes, part: str) -> None:
    hint = hints.for_bytes(found, head, pixels=False, in_memory=False)
    assert part in hint
    assert ("mime_type" in hint) is (found == UNKNOWN_FILE)


def test_the_hint_for_pixels_says_how_to_encode_them() -> None:
    found = UNKNOWN_FILE
    array = hints.for_bytes(found, b"\1\2", pixels=True, in_memory=True)
    assert "pixels" in array
    assert "cv2.imencode" in array
    assert "mime_type" not in array
    assert "pixels" in hints.for_bytes(found, b"\1\2", pixels=False, in_memory=True)


# --- objects ------------------------------------------------------------------------------------------------


def read(self: object) -> bytes:
    return PNG


async def discord_read(self: object, *, use_cached: bool = False) -> bytes:
    return PNG


async def chunks() -> AsyncIterator[bytes]:
    yield PNG


def open_zip() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(), "w")


def open_tar() -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=io.BytesIO(), mode="w")


OBJECTS: list[tuple[str, Any, list[str]]] = [
    ("httpx", make_object("httpx", "Response", read=read), [".content"]),
    ("aiohttp", make_object("aiohttp.client_reqrep", "ClientResponse", read=discord_read), ["await response.read()", ".content"]),
    ("discord", make_object("discord.message", "Attachment", read=discord_read), ["await attachment.read()", "file_name="]),
    ("another attachment", make_object("nextcord", "Attachment", read=discord_read, filename="a"), ["await file.read()", "file_name="]),
    ("Pillow", make_object("PIL.Image", "Image", save=read), ["BytesIO", "getvalue()"]),
    ("Pillow's subclass", type("PngImageFile", (type(make_object("PIL.Image", "Image")),), {})(), ["getvalue()"]),
    ("matplotlib", make_object("matplotlib.figure", "Figure", savefig=read), ["savefig", "getvalue()"]),
    ("Django model", make_object("app.models", "User", save=read, full_clean=read, _meta=None), ["file field"]),
    ("tensor", make_object("torch", "Tensor", __array__=read), ["pixels", "encoded"]),
    ("UPath", make_object("upath", "MemoryPath", read_bytes=read, open=read), ["read_bytes()", "open('rb')"]),
    ("form field", make_object("aiohttp.web_request", "FileField", file=io.BytesIO(), filename="a"), [".file", "file_name="]),
    ("name and bytes", ("a.png", PNG), ["file_name=", "UploadItem"]),
    ("name, bytes and type", ("a.png", io.BytesIO(PNG), "image/png"), ["file_name="]),
    ("list of paths", ["a.png", "b.png"], ["upload_many"]),
    ("list of pictures", [PNG, PNG], ["upload_many"]),
    ("list of files", [io.BytesIO(PNG)], ["upload_many"]),
    ("set", {"a.png"}, ["upload_many"]),
    ("mapping", {"file": PNG}, ["values"]),
    ("None", None, ["NoneType", "nothing was given"]),
    ("class", io.BytesIO, ["class BytesIO", "object"]),
    ("function", read, ["call it"]),
    ("async generator function", chunks, ["call it"]),
    ("zip", open_zip(), ["open(name)", "upload_many"]),
    ("tar", open_tar(), ["extractfile"]),
    ("item", UploadItem(PNG), ["upload_many"]),
    ("result", UploadResult(index=0, file=PNG), ["unwrap()"]),
    ("image", make_object("imgwire_async.models", "Image"), ["upload_via_url"]),
]  # fmt: skip


@pytest.mark.parametrize(("file", "parts"), [row[1:] for row in OBJECTS], ids=[row[0] for row in OBJECTS])
def test_the_hint_for_an_object_that_is_not_a_file_says_what_to_pass(file: Any, parts: list[str]) -> None:
    hint = hints.for_object(file)
    assert hint is not None
    assert all(part in hint for part in parts), hint
    cls = file if isinstance(file, type) else type(file)
    assert cls.__name__ in hint


def test_the_hint_for_a_coroutine_is_to_await_it() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coroutine = discord_read(None)
        assert "await it" in str(hints.for_object(coroutine))
        coroutine.close()


@pytest.mark.parametrize(
    "file",
    [
        [PNG[:9], PNG[9:]], (PNG,), iter([PNG]), chunks(), make_object("x", "File", read=lambda self, size=-1: b""),
        make_object("x", "File", read=lambda self, *_: b""), make_object("requests.models", "Response", __iter__=read), [],
        make_object("quart.wrappers.request", "Body", __await__=read, __aiter__=read),
    ],
)  # fmt: skip
def test_there_is_no_hint_for_an_object_that_returns_bytes(file: Any) -> None:
    assert hints.for_object(file) is None


def test_a_started_generator_is_recognized() -> None:
    def generate() -> Iterator[bytes]:
        yield PNG
        yield PNG

    fresh, started, ended = generate(), generate(), generate()
    next(started)
    list(ended)
    assert [hints.was_started(stream) for stream in (fresh, started, ended, iter([]))] == [
        False,
        True,
        True,
        False,
    ]


# --- numbers ------------------------------------------------------------------------------------------------


class IntLike:
    def __index__(self) -> int:
        return 3


class FloatLike:
    def __float__(self) -> float:
        return 2.5


class ArrayLike:
    """Like an array of several numbers: its methods raise."""

    def __index__(self) -> int:
        raise TypeError("only integer scalar arrays can be converted to a scalar index")

    __float__ = __index__


YES = make_object("numpy", "bool_", __bool__=lambda _: True)
NO = make_object("numpy", "bool", __bool__=lambda _: False)


def test_arguments_accept_numbers_and_bools_of_other_libraries() -> None:
    assert checks.integer("limit", IntLike(), minimum=1) == 3
    assert [
        checks.positive_seconds("timeout", number) for number in (IntLike(), FloatLike(), Decimal("0.5"))
    ] == [
        3,
        2.5,
        0.5,
    ]
    assert [arguments.wait_timeout(value) for value in (FloatLike(), YES, NO)] == [2.5, 120.0, None]
    assert (checks.flag("overwrite", YES), checks.flag("overwrite", NO)) == (True, False)
    assert as_timeouts(FloatLike()).attempt == 2.5
    assert as_retry_policy(IntLike()).max_retries == 3
    assert arguments.metadata({"a": IntLike(), "b": FloatLike(), "c": YES}) == {"a": 3, "b": 2.5, "c": True}
    assert (integer(1, 9).text(IntLike()), number(1, 9).text(FloatLike())) == ("3", "2.5")
    assert arguments.idempotency_key(NO) is None


@pytest.mark.parametrize(
    "value", [Fraction(10**400), Fraction(-(10**400)), Decimal("sNaN"), Decimal("NaN")], ids=str
)
def test_a_number_that_does_not_fit_a_float_is_a_value_error(value: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: checks.positive_seconds("timeout", value),
        lambda: arguments.wait_timeout(value),
        lambda: as_timeouts(value),
        lambda: Timeouts(stall=value),
        lambda: RetryPolicy(backoff=value),
    ]
    for check in calls:
        with pytest.raises(ValueError, match=r"must be (0 or )?more"):
            check()
    with pytest.raises(TypeError, match="pass float"):
        arguments.metadata({"a": value})


def test_policies_accept_numbers_of_other_libraries() -> None:
    int_like: Any = IntLike()
    float_like: Any = FloatLike()
    assert Timeouts(stall=float_like, max_response_bytes=int_like) == Timeouts(
        stall=2.5, max_response_bytes=3
    )
    assert RetryPolicy(int_like, float_like) == RetryPolicy(3, 2.5)
    assert Timeouts(deadline=math.inf).deadline is None


@pytest.mark.parametrize("value", [ArrayLike(), "5", b"5", YES, True, FloatLike()])
def test_the_error_for_a_count_that_is_not_an_integer_names_its_type(value: Any) -> None:
    with pytest.raises(TypeError, match=f"limit must be an int, not {type(value).__name__}"):
        checks.integer("limit", value, minimum=1)


@pytest.mark.parametrize("value", [ArrayLike(), "5", b"5", None])
def test_the_error_for_a_time_that_is_not_a_number_names_its_type(value: Any) -> None:
    for check in (lambda: arguments.wait_timeout(value), lambda: checks.positive_seconds("timeout", value)):
        with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
            check()


def test_the_error_for_a_timedelta_names_total_seconds() -> None:
    from datetime import timedelta

    for check in (
        arguments.wait_timeout,
        as_timeouts,
        lambda value: checks.positive_seconds("timeout", value),
    ):
        with pytest.raises(TypeError, match="total_seconds"):
            check(timedelta(seconds=5))


@pytest.mark.parametrize("value", [Decimal("12.10"), Fraction(1, 3)])
def test_metadata_rejects_numbers_that_it_would_round(value: Any) -> None:
    with pytest.raises(TypeError, match=r"float\(\.\.\.\) or its text"):
        arguments.metadata({"price": value})


# --- files that change, archives, closed clients ------------------------------------------------------------

BEFORE = FileStat(5, 100, 1, 2, 100)


@pytest.mark.parametrize(
    ("now", "part"),
    [
        (BEFORE._replace(mtime_ns=200, ctime_ns=200), "its modification time changed"),
        (BEFORE._replace(size=6, mtime_ns=200), "its size changed"),
        (BEFORE._replace(inode=3), "replaced"),
        (BEFORE._replace(inode=3, size=9), "5 bytes before, 9 after"),
        (BEFORE._replace(ctime_ns=200), "permissions"),
    ],
)
def test_the_description_of_a_changed_file_says_what_changed(now: FileStat, part: str) -> None:
    assert part in describe_change(now, BEFORE)


def test_the_errors_for_a_broken_archive_and_an_existing_file_give_advice(tmp_path: Path) -> None:
    archive, target = tmp_path / "pictures.zip", tmp_path / "out"
    archive.write_bytes(PNG)
    with pytest.raises(ArchiveError, match="not a ZIP file") as caught:
        extract_archive(archive, target)
    assert str(caught.value).startswith(str(archive))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("a.png", PNG)
    extract_archive(archive, target)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        extract_archive(archive, target)


def test_the_error_of_a_closed_client_names_the_operation() -> None:
    closed, other = RuntimeError(CLIENT_CLOSED), RuntimeError("something else")
    for error in (closed, other):
        prefix_closed_client_error(error, "upload of a.png")
    assert str(closed).startswith("upload of a.png: the client is closed")
    assert str(other) == "something else"
