"""Advise what to pass instead of an object that cannot be uploaded. Pure functions.

The advice depends on the type of the object, its text or its first bytes. Types of other libraries are
recognized by their names and attributes, so no such library is imported.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import os
import re
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from typing import Any, cast

from imgwire_async.formatting import shortened
from imgwire_async.mime import CAMERA_RAW, EXTENSIONS, HEAD_BYTES, UNKNOWN_FILE, describe, sniff

_DECODE = "this is base64: decode it, and pass the bytes: base64.b64decode(...)"
# The maximum length of a name in a path, in characters. No file system has longer names.
_MAX_NAME_LENGTH = 255
# Text of base64 characters that is longer than this counts as base64, even if it decodes to no picture.
_MIN_BASE64_LENGTH = 128

# `pathlib` reduces the two slashes of a URL to one.
_URL = re.compile(r"https?:/+[^/]", re.IGNORECASE)
_OTHER_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{1,3}[^/\\]", re.IGNORECASE)
_DATA_URI = re.compile(r"data:[^,\s]{0,200}[,;]", re.IGNORECASE)
_BASE64 = re.compile(r"[A-Za-z0-9+/=]+\Z")
_BYTES_REPR = re.compile(r"b(['\"]).*\\x[0-9a-f]{2}.*\1\Z", re.DOTALL)
_MARKUP = re.compile(r"\s{0,200}<(?:\?xml|svg|!doctype|html)", re.IGNORECASE)


def is_base64(text: str) -> bool:
    """Return whether `text` is base64.

    A short text counts as base64 only if it decodes to the first bytes of a picture.
    """
    head = "".join(text[: 2 * HEAD_BYTES].split()).replace("-", "+").replace("_", "/")[:HEAD_BYTES]
    if not _BASE64.match(head):
        return False
    head = head.partition("=")[0]
    try:
        data = base64.b64decode(head[: len(head) // 4 * 4])
    except (binascii.Error, ValueError):
        return False
    if sniff(data) is not None:
        return True
    # Base64 mixes capitals, small letters and digits. Hex digests and most long names do not.
    is_mixed = any(map(str.islower, head)) and any(map(str.isupper, head)) and any(map(str.isdigit, head))
    return is_mixed and len(text) > _MIN_BASE64_LENGTH and not text.startswith("/")


def for_path(text: str) -> str | None:
    """Return an error message for text that cannot be a path, or None if it may be a path.

    The message says what the text is and what to pass instead.
    """
    if _DATA_URI.match(text):
        return f"file is {_data_uri(text)}"
    if _URL.match(text):
        return (
            "file is a URL, not a path: images.upload_via_url(url) lets the service fetch it; or fetch it yourself and pass "
            "the bytes"
        )
    if scheme := _OTHER_URL.match(text):
        name = scheme[1].lower()
        if name == "file":
            return "file is a file: URL, not a path: pass the path in it (urllib.request.url2pathname of the URL's path)"
        return f"file is a URL ({name}), not a path: open it with the library for it, and pass the binary file or the bytes"
    if is_base64(text):
        return f"file is text, not a path: {_DECODE}"
    if _MARKUP.match(text):
        found = describe(text[:HEAD_BYTES].encode("utf-8", "replace"))
        return f"file is {found} as text, not a path. {_advice_for(found)}"
    if _BYTES_REPR.match(text):
        return "file is the text that str() made of bytes, not a path: pass the bytes themselves"
    if not text.isprintable() and sniff(text[:16].encode("latin-1", "ignore")) is not None:
        return "file is a picture's content decoded to text, not a path: pass the bytes as they were read"
    if len(text) > _MAX_NAME_LENGTH and _has_too_long_name(text):
        return "file is text that is too long for a path; a picture's content must be given as bytes"
    return None


def _data_uri(text: str) -> str:
    """Return advice for a data URI, whose content is base64 or percent-encoded."""
    if ";base64" in text[:250].partition(",")[0].lower():
        return f'a data URI, and {_DECODE[:-5]}(text.partition(",")[2])'
    return 'a data URI: pass the bytes: urllib.parse.unquote_to_bytes(text.partition(",")[2])'


def _has_too_long_name(text: str) -> bool:
    return max(map(len, re.split(r"[/\\]", text))) > _MAX_NAME_LENGTH


def for_missing_path(text: str) -> str:
    """Return advice about the likely mistake in a path at which no file exists.

    Return an empty text if no mistake is recognized.
    """
    if text.startswith("~"):
        return "~ is not expanded: pass os.path.expanduser(path)"
    if text != text.strip():
        return "the path begins or ends with whitespace: strip() it"
    if len(text) > 2 and text[0] == text[-1] and text[0] in "\"'":
        return "the path stands in quotes: pass it without them"
    if any(c in text for c in "*?"):
        return "patterns are not expanded: pass the files to upload_many, as Path(folder).glob(pattern) finds them"
    return ""


def _for_text(text: str) -> str:
    """Return advice for a file whose content is a URL, base64 or a path, or "" for any other content."""
    stripped = text.strip()
    if _DATA_URI.match(stripped):
        return f"It is {_data_uri(stripped)}."
    if is_base64(stripped):
        return f"Probably {_DECODE}."
    if _URL.match(stripped) and len(stripped.split()) == 1:
        return "It is a URL: images.upload_via_url(url) lets the service fetch it."
    if os.path.splitext(stripped)[1].lower() in EXTENSIONS and "\n" not in stripped:  # noqa: PTH122  # any text
        return "If it is a path, pass it as a str: os.fsdecode(path)."
    return ""


_ADVICE: tuple[tuple[str, str], ...] = (
    (CAMERA_RAW, "Develop it to a JPEG or TIFF first, with the camera's software or rawpy."),
    ("a PDF", "Render its pages as pictures first."),
    ("an SVG", "Render it as a PNG first."),
    (
        "an HTML page",
        "Perhaps a server sent a page instead of the picture: check the source of the bytes.",
    ),
    ("a ZIP", "Unpack it, and pass the pictures in it to upload_many."),
    ("a gzip", "Unpack it first: gzip.decompress(...)."),
    ("a video", "Take a picture out of it first."),
    ("a program", "Check that this is the right file."),
    ("a folder's", "Do not upload it."),
    ("an XML", "Check that this is the right file."),
    ("plain text", "Check that this is the right file."),
    (UNKNOWN_FILE, "If it is one of these types, pass mime_type=."),
)


def for_bytes(found: str, head: bytes, *, pixels: bool, in_memory: bool) -> str:
    """Return advice for content that is no supported picture.

    `found` describes the content ("a PDF"). `pixels` is true if the caller passed an array of several
    dimensions. `in_memory` is true if the caller passed bytes or a buffer, and no file.
    """
    encode = (
        'encode them as a picture first, as Pillow does (Image.fromarray(array).save(buffer, "PNG")) or OpenCV '
        '(cv2.imencode(".png", array)[1])'
    )
    unknown = found == UNKNOWN_FILE
    if pixels and unknown:
        return f"An array must hold the bytes of a picture file. If these are pixels: {encode}."
    if found == "plain text":
        hint = _for_text(head.decode("utf-8", "replace"))
        if hint:
            return hint
    advice = _advice_for(found)
    return f"If these are pixels: {encode}. {advice}" if unknown and in_memory else advice


def _advice_for(found: str) -> str:
    return next((advice for kind, advice in _ADVICE if found.startswith(kind)), "Convert it first.")


# --- objects ------------------------------------------------------------------------------------------------

# Maps a package and class to advice. The advice also applies to subclasses.
_ADVICE_BY_TYPE: dict[str, str] = {
    "httpx.Response": "pass its bytes, response.content, or what it streams, response.aiter_bytes()",
    "aiohttp.ClientResponse": "pass its bytes, await response.read(), or its stream, response.content",
    "discord.Attachment": "pass its bytes: upload(await attachment.read(), file_name=attachment.filename)",
    "PIL.Image": 'save it first: buffer = io.BytesIO(); image.save(buffer, "PNG"); upload(buffer.getvalue())',
    "zipfile.ZipFile": "pass one of its files, archive.open(name), or all of them to upload_many",
    "tarfile.TarFile": "pass one of its files, archive.extractfile(member)",
    "imgwire_async.Image": "this picture is uploaded already; images.upload_via_url(image.cdn_url) uploads it once more",
    "imgwire_async.StandardUpload": "pass the file itself: upload(file) makes the record and sends the bytes",
    "imgwire_async.UploadItem": "upload takes its file and arguments one by one; upload_many([item]) takes items",
    "imgwire_async.UploadResult": "this file is uploaded already: result.unwrap() is its image",
    "imgwire_async.ImageDownloadJob": "images.download_archive(job, path) fetches it, extract_archive unpacks it",
}


def for_object(file: object) -> str | None:
    """Return an error message for an object that cannot be uploaded, or None if it may be a source.

    The caller has already handled paths, buffers and files of the standard library.
    """
    kind: type = type(file)
    hint = _for_kind(file, kind)
    if hint is None:
        return None
    name = f"the class {file.__name__}" if isinstance(file, type) else kind.__name__
    return f"file must be a path, bytes, a binary file or something that gives bytes, not {shortened(name)}: {hint}"


def _for_kind(file: object, kind: type) -> str | None:
    if file is None:
        return "nothing was given. Does a form or a function return None where no file was sent?"
    if isinstance(file, type):
        return "pass an object of it, not the class"
    # Quart's request body has both methods. It can be uploaded, because it is an async iterator.
    if hasattr(kind, "__await__") and not hasattr(kind, "__aiter__"):
        return "await it, and pass what it returns"
    for base in kind.__mro__:
        hint = _ADVICE_BY_TYPE.get(f"{str(base.__module__).partition('.')[0]}.{base.__name__}")
        if hint is not None:
            return hint
    for container, hint_for in _CONTAINERS:
        if issubclass(kind, container):
            return hint_for(cast("Any", file))
    return _for_attributes(file, kind)


def _for_list(files: list[object] | tuple[object, ...]) -> str | None:
    """Return what to pass instead of a list or tuple; None if it holds the chunks of one file."""
    first = files[0] if files else None
    if len(files) in {2, 3, 4} and isinstance(files, tuple) and isinstance(first, str | None):
        content = files[1]
        if not isinstance(content, str | os.PathLike):
            return (
                "a name and a content are given as upload(content, file_name=name), in upload_many as "
                "UploadItem(content, file_name=name)"
            )
    is_chunk = isinstance(first, int | float) or has_buffer(first)
    pictures = len(files) > 1 and all(
        isinstance(file, bytes | bytearray) and sniff(bytes(file[:HEAD_BYTES])) is not None for file in files
    )
    if files and (pictures or not is_chunk):
        return "upload_many takes many files, upload one"
    return None


def has_buffer(file: object) -> bool:
    """Return whether an object has the buffer protocol.

    An object with the buffer protocol is uploaded as one file, even if it is iterable.
    """
    if isinstance(file, bytes | bytearray | memoryview):
        return True
    try:
        memoryview(cast("bytes", file)).release()
    except TypeError:
        return False
    return True


_CONTAINERS: tuple[tuple[type, Callable[[Any], str | None]], ...] = (
    (Mapping, lambda _: "pass one of its values, the file itself"),
    (tuple, _for_list),
    (list, _for_list),
    (AbstractSet, lambda _: "upload_many takes many files"),
)


def _for_attributes(file: object, kind: type) -> str | None:
    """Return advice for an object that has the wrong attributes, or None if the object may be a source."""
    if hasattr(kind, "read") or hasattr(kind, "read_chunk"):
        return _for_reader(file, kind)
    if _has_attribute(file, "read") or hasattr(kind, "__aiter__"):
        return None
    if hasattr(kind, "read_bytes") and hasattr(kind, "open"):
        return "a path of another file system: pass its bytes, path.read_bytes(), or the file: with path.open('rb') as file"
    if hasattr(kind, "aiter_bytes") or hasattr(kind, "iter_bytes"):
        return "pass its bytes, as its read() or content has them"
    if hasattr(kind, "_meta") and hasattr(kind, "full_clean"):
        return "a Django model: pass its file field"
    if hasattr(kind, "savefig") or (hasattr(kind, "save") and not hasattr(kind, "__iter__")):
        save = "savefig" if hasattr(kind, "savefig") else "save"
        return (
            f"save it first: buffer = io.BytesIO(); {save} it to the buffer as PNG; upload(buffer.getvalue())"
        )
    if hasattr(kind, "__array__"):
        return 'pixels must be encoded first: Image.fromarray(array).save(buffer, "PNG"), then upload(buffer.getvalue())'
    if _has_attribute(file, "file") and _has_attribute(file, "filename"):
        return "pass the file in it: upload(field.file, file_name=field.filename)"
    if callable(file) and not hasattr(kind, "__iter__"):
        return "call it, and pass what it returns"
    return None


def _for_reader(file: object, kind: type) -> str | None:
    reader: Any = getattr(kind, "read_chunk", None) or getattr(kind, "read", None)
    if isinstance(reader, property) or _takes_size(reader):
        return None
    wait = "await " if inspect.iscoroutinefunction(reader) else ""
    name = ", file_name=" if _has_attribute(file, "filename") else ""
    return f"its read() takes no size; pass what it returns: upload({wait}file.read(){name and f'{name}file.filename'})"


def _takes_size(reader: Callable[..., object]) -> bool:
    """Return whether a `read` method accepts a number of bytes; True if its signature is unknown."""
    code = getattr(reader, "__code__", None)
    if code is None or code.co_flags & inspect.CO_VARARGS:
        return True
    return int(code.co_argcount) > 1


def was_started(stream: object) -> bool:
    """Return whether an iterator is known to have been advanced or closed before.

    Only generators and the SDK's own download streams show this. For all other objects the result is False.
    """
    flag: object = getattr(stream, "was_started", None)
    if isinstance(flag, bool):
        return flag
    frames = ("gi_frame", "gi_suspended") if inspect.isgenerator(stream) else ("ag_frame", "ag_suspended")
    if not (inspect.isgenerator(stream) or inspect.isasyncgen(stream)):
        return False
    # Before Python 3.12 async generators have no `ag_suspended`.
    return getattr(stream, frames[0]) is None or getattr(stream, frames[1], False)


def _has_attribute(file: object, name: str) -> bool:
    """Return whether an object has an attribute, without running the code of a property."""
    return hasattr(type(file), name) or name in cast("Iterable[str]", getattr(file, "__dict__", ()))
