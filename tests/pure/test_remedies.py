"""What is refused says what to do instead, and repeats no more of it than a line holds."""

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
from imgwire_async.messages import CLIENT_CLOSED, prefix_if_closed
from imgwire_async.mime import CAMERA_RAW, UNKNOWN_FILE
from imgwire_async.policies import retry_policy, timeouts
from imgwire_async.resources import arguments
from imgwire_async.uploads import hints
from imgwire_async.uploads.disk import Stamp, describe_change
from imgwire_async.urls.scalars import integer, number

PNG = bytes.fromhex("89504e470d0a1a0a0000000d4948445200000001000000010806000000")
TEXT = base64.b64encode(PNG * 40).decode()


def named(module: str, name: str, **members: Any) -> Any:
    """An object of a class of another library, as far as its names go."""
    return type(name, (), {"__module__": module, **members})()


# --- texts that are no path -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
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
        ("http:/example.com/a.png", ["upload_via_url"]),  # as pathlib writes it
        ("s3://bucket/a.png", ["URL (s3)", "library"]),
        ("file:///tmp/a.png", ["file: URL"]),
        ("<svg xmlns='http://www.w3.org/2000/svg'/>", ["SVG", "PNG"]),
        (PNG.decode("latin-1"), ["bytes as they were read"]),
        ("x" * 300, ["too long for a path"]),
    ],
)
def test_a_text_that_is_no_path_says_what_it_is(text: str, words: list[str]) -> None:
    told = hints.for_path(text)
    assert told is not None
    assert all(word in told for word in words), told
    assert text not in told


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
def test_what_may_be_a_missing_file_is_left_to_the_system(path: str) -> None:
    assert hints.for_path(path) is None


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("~/a.png", "expanduser"),
        ("a.png\n", "strip()"),
        ('"a.png"', "quotes"),
        ("pictures/*.png", "glob"),
        ("a.png", ""),
    ],
)
def test_an_odd_path_says_what_is_odd(path: str, word: str) -> None:
    assert word in hints.for_missing_path(path)
    assert bool(word) is bool(hints.for_missing_path(path))


# --- bytes that are no picture ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("found", "head", "word"),
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
def test_refused_bytes_get_the_remedy_of_their_kind(found: str, head: bytes, word: str) -> None:
    told = hints.for_bytes(found, head, pixels=False, in_memory=False)
    assert word in told
    assert ("mime_type" in told) is (found == UNKNOWN_FILE)


def test_pixels_are_to_be_encoded() -> None:
    found = UNKNOWN_FILE
    array = hints.for_bytes(found, b"\1\2", pixels=True, in_memory=True)
    assert "pixels" in array
    assert "cv2.imencode" in array
    assert "mime_type" not in array
    assert "pixels" in hints.for_bytes(found, b"\1\2", pixels=False, in_memory=True)


# --- objects ----------------------------------------------------------------------------------------------------------


def keyless(self: object) -> bytes:
    return PNG


async def discord_read(self: object, *, use_cached: bool = False) -> bytes:
    return PNG


async def pieces() -> AsyncIterator[bytes]:
    yield PNG


def zipped() -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(), "w")


def tarred() -> tarfile.TarFile:
    return tarfile.TarFile(fileobj=io.BytesIO(), mode="w")


OBJECTS: list[tuple[str, Any, list[str]]] = [
    ("httpx", named("httpx", "Response", read=keyless), [".content"]),
    ("aiohttp", named("aiohttp.client_reqrep", "ClientResponse", read=discord_read), ["await response.read()", ".content"]),
    ("discord", named("discord.message", "Attachment", read=discord_read), ["await attachment.read()", "file_name="]),
    ("another attachment", named("nextcord", "Attachment", read=discord_read, filename="a"), ["await file.read()", "file_name="]),
    ("Pillow", named("PIL.Image", "Image", save=keyless), ["BytesIO", "getvalue()"]),
    ("Pillow's subclass", type("PngImageFile", (type(named("PIL.Image", "Image")),), {})(), ["getvalue()"]),
    ("matplotlib", named("matplotlib.figure", "Figure", savefig=keyless), ["savefig", "getvalue()"]),
    ("Django model", named("app.models", "User", save=keyless, full_clean=keyless, _meta=None), ["file field"]),
    ("tensor", named("torch", "Tensor", __array__=keyless), ["pixels", "encoded"]),
    ("UPath", named("upath", "MemoryPath", read_bytes=keyless, open=keyless), ["read_bytes()", "open('rb')"]),
    ("form field", named("aiohttp.web_request", "FileField", file=io.BytesIO(), filename="a"), [".file", "file_name="]),
    ("name and bytes", ("a.png", PNG), ["file_name=", "UploadItem"]),
    ("name, bytes and type", ("a.png", io.BytesIO(PNG), "image/png"), ["file_name="]),
    ("list of paths", ["a.png", "b.png"], ["upload_many"]),
    ("list of pictures", [PNG, PNG], ["upload_many"]),
    ("list of files", [io.BytesIO(PNG)], ["upload_many"]),
    ("set", {"a.png"}, ["upload_many"]),
    ("mapping", {"file": PNG}, ["values"]),
    ("None", None, ["NoneType", "nothing was given"]),
    ("class", io.BytesIO, ["class BytesIO", "object"]),
    ("function", keyless, ["call it"]),
    ("async generator function", pieces, ["call it"]),
    ("zip", zipped(), ["open(name)", "upload_many"]),
    ("tar", tarred(), ["extractfile"]),
    ("item", UploadItem(PNG), ["upload_many"]),
    ("result", UploadResult(index=0, file=PNG), ["unwrap()"]),
    ("image", named("imgwire_async.models", "Image"), ["upload_via_url"]),
]  # fmt: skip


@pytest.mark.parametrize(("file", "words"), [row[1:] for row in OBJECTS], ids=[row[0] for row in OBJECTS])
def test_an_object_that_is_no_file_says_what_to_pass_instead(file: Any, words: list[str]) -> None:
    told = hints.for_object(file)
    assert told is not None
    assert all(word in told for word in words), told
    kind = file if isinstance(file, type) else type(file)
    assert kind.__name__ in told


def test_a_coroutine_is_to_be_awaited() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        waiting = discord_read(None)
        assert "await it" in str(hints.for_object(waiting))
        waiting.close()


@pytest.mark.parametrize(
    "file",
    [
        [PNG[:9], PNG[9:]], (PNG,), iter([PNG]), pieces(), named("x", "File", read=lambda self, size=-1: b""),
        named("x", "File", read=lambda self, *_: b""), named("requests.models", "Response", __iter__=keyless), [],
        named("quart.wrappers.request", "Body", __await__=keyless, __aiter__=keyless),
    ],
)  # fmt: skip
def test_what_gives_bytes_is_taken(file: Any) -> None:
    assert hints.for_object(file) is None


def test_a_stream_that_was_begun_is_known() -> None:
    def plain() -> Iterator[bytes]:
        yield PNG
        yield PNG

    fresh, begun, ended = plain(), plain(), plain()
    next(begun)
    list(ended)
    assert [hints.was_started(each) for each in (fresh, begun, ended, iter([]))] == [False, True, True, False]


# --- numbers ----------------------------------------------------------------------------------------------------------


class LikeInt:
    def __index__(self) -> int:
        return 3


class LikeFloat:
    def __float__(self) -> float:
        return 2.5


class SeveralNumbers:
    """As an array: it has the methods, and refuses."""

    def __index__(self) -> int:
        raise TypeError("only integer scalar arrays can be converted to a scalar index")

    __float__ = __index__


YES = named("numpy", "bool_", __bool__=lambda _: True)
NO = named("numpy", "bool", __bool__=lambda _: False)


def test_numbers_of_other_libraries_are_taken_as_what_they_stand_for() -> None:
    assert checks.integer("limit", LikeInt(), minimum=1) == 3
    assert [
        checks.positive_seconds("timeout", each) for each in (LikeInt(), LikeFloat(), Decimal("0.5"))
    ] == [
        3,
        2.5,
        0.5,
    ]
    assert [arguments.wait_timeout(each) for each in (LikeFloat(), YES, NO)] == [2.5, 120.0, None]
    assert (checks.flag("overwrite", YES), checks.flag("overwrite", NO)) == (True, False)
    assert timeouts(LikeFloat()).attempt == 2.5
    assert retry_policy(LikeInt()).max_retries == 3
    assert arguments.metadata({"a": LikeInt(), "b": LikeFloat(), "c": YES}) == {"a": 3, "b": 2.5, "c": True}
    assert (integer(1, 9).text(LikeInt()), number(1, 9).text(LikeFloat())) == ("3", "2.5")
    assert arguments.idempotency_key(NO) is None


@pytest.mark.parametrize(
    "value", [Fraction(10**400), Fraction(-(10**400)), Decimal("sNaN"), Decimal("NaN")], ids=str
)
def test_a_number_that_no_float_holds_is_refused_as_a_value(value: Any) -> None:
    calls: list[Callable[[], object]] = [
        lambda: checks.positive_seconds("timeout", value),
        lambda: arguments.wait_timeout(value),
        lambda: timeouts(value),
        lambda: Timeouts(stall=value),
        lambda: RetryPolicy(backoff=value),
    ]
    for check in calls:
        with pytest.raises(ValueError, match=r"must be (0 or )?more"):
            check()
    with pytest.raises(TypeError, match="give float"):
        arguments.metadata({"a": value})


def test_settings_take_numbers_of_other_libraries() -> None:
    like_int: Any = LikeInt()
    like_float: Any = LikeFloat()
    assert Timeouts(stall=like_float, max_answer_bytes=like_int) == Timeouts(stall=2.5, max_answer_bytes=3)
    assert RetryPolicy(like_int, like_float) == RetryPolicy(3, 2.5)
    assert Timeouts(deadline=math.inf).deadline is None


@pytest.mark.parametrize("value", [SeveralNumbers(), "5", b"5", YES, True, LikeFloat()])
def test_a_count_that_is_no_whole_number_is_refused_by_its_real_type(value: Any) -> None:
    with pytest.raises(TypeError, match=f"limit must be an int, not {type(value).__name__}"):
        checks.integer("limit", value, minimum=1)


@pytest.mark.parametrize("value", [SeveralNumbers(), "5", b"5", None])
def test_a_time_that_is_no_number_is_refused_by_its_real_type(value: Any) -> None:
    for check in (lambda: arguments.wait_timeout(value), lambda: checks.positive_seconds("timeout", value)):
        with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
            check()


def test_a_time_span_says_how_it_is_given() -> None:
    from datetime import timedelta

    for check in (arguments.wait_timeout, timeouts, lambda value: checks.positive_seconds("timeout", value)):
        with pytest.raises(TypeError, match="total_seconds"):
            check(timedelta(seconds=5))


@pytest.mark.parametrize("value", [Decimal("12.10"), Fraction(1, 3)])
def test_an_exact_number_is_not_rounded_for_metadata(value: Any) -> None:
    with pytest.raises(TypeError, match=r"float\(\.\.\.\) or its text"):
        arguments.metadata({"price": value})


# --- files that change, archives, closed clients ----------------------------------------------------------------------

BEFORE = Stamp(5, 100, 1, 2, 100)


@pytest.mark.parametrize(
    ("now", "word"),
    [
        (BEFORE._replace(mtime_ns=200, ctime_ns=200), "its modification time changed"),
        (BEFORE._replace(size=6, mtime_ns=200), "its size changed"),
        (BEFORE._replace(inode=3), "replaced"),
        (BEFORE._replace(inode=3, size=9), "5 bytes before, 9 after"),
        (BEFORE._replace(ctime_ns=200), "permissions"),
    ],
)
def test_a_file_that_changed_says_what_changed(now: Stamp, word: str) -> None:
    assert word in describe_change(now, BEFORE)


def test_an_archive_that_is_none_is_named_and_an_existing_file_names_overwrite(tmp_path: Path) -> None:
    archive, target = tmp_path / "pictures.zip", tmp_path / "out"
    archive.write_bytes(PNG)
    with pytest.raises(ArchiveError, match="not a ZIP file") as caught:
        extract_archive(archive, target)
    assert str(caught.value).startswith(str(archive))
    assert "kept" not in str(caught.value)
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("a.png", PNG)
    extract_archive(archive, target)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        extract_archive(archive, target)


def test_a_closed_client_says_what_it_could_not_do() -> None:
    closed, other = RuntimeError(CLIENT_CLOSED), RuntimeError("something else")
    for error in (closed, other):
        prefix_if_closed(error, "upload of a.png")
    assert str(closed).startswith("upload of a.png: the client is closed")
    assert str(other) == "something else"
