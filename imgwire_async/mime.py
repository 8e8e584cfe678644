"""Detect the type of a picture by its first bytes, or by the extension of its file name."""

from __future__ import annotations

import codecs

from imgwire_async.models import SupportedMimeType as Mime

# `sniff` and `describe` need this many bytes of the beginning of a file, to find all signatures below and
# the root element of an SVG.
HEAD_BYTES = 1024

# The extensions of the supported types. `extension_of` returns the first extension of a type. [contract 3]
EXTENSIONS: dict[str, Mime] = {
    ".jpg": Mime.JPEG,
    ".jpeg": Mime.JPEG,
    ".jxl": Mime.JXL,
    ".png": Mime.PNG,
    ".webp": Mime.WEBP,
    ".avif": Mime.AVIF,
    ".gif": Mime.GIF,
    ".ico": Mime.ICO,
    ".heic": Mime.HEIC,
    ".bmp": Mime.BMP,
    ".tif": Mime.TIFF,
    ".tiff": Mime.TIFF,
}

_SIGNATURES: tuple[tuple[bytes, Mime], ...] = (
    (b"\xff\xd8\xff", Mime.JPEG),
    (b"\x89PNG\r\n\x1a\n", Mime.PNG),
    (b"GIF87a", Mime.GIF),
    (b"GIF89a", Mime.GIF),
    (b"II*\0", Mime.TIFF),
    (b"MM\0*", Mime.TIFF),
    (b"\xff\x0a", Mime.JXL),
    (b"\0\0\0\x0cJXL \r\n\x87\n", Mime.JXL),
)
# The sizes in bytes that the second header of a BMP may have. `sniff` checks the size, because otherwise any
# text that begins with "BM" would be a BMP.
_BMP_HEADER_SIZES = {12, 40, 52, 56, 64, 108, 124}
# The brands of HEIC and AVIF. A brand is a code of four characters at the beginning of an ISO media file.
_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_AVIF_BRANDS = {b"avif", b"avis"}

CAMERA_RAW = "a camera's raw picture"
UNKNOWN_FILE = "a file of an unknown type"

# Signatures of unsupported files, with their descriptions for messages.
_UNSUPPORTED: tuple[tuple[bytes, str], ...] = (
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive (or an Office document)"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"8BPS", "a Photoshop document"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"),
    (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\0\0\x02\0", "a Windows cursor"),
    (b"\0\0\0\x01Bud1", "a folder's .DS_Store file"),
    (b"RIFF", "a RIFF file that is no WebP (sound or video?)"),
    (b"\x7fELF", "a program"),
    (b"MZ", "a program"),
    *(
        (signature, CAMERA_RAW)
        for signature in (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM", b"IIII")
    ),
    (b"II+\0", "a BigTIFF picture"),
    (b"MM\0+", "a BigTIFF picture"),
)


def sniff(head: bytes) -> Mime | None:
    """Return the MIME type of the picture that begins with `head`, or None for any other file.

    `head` contains the first `HEAD_BYTES` of the file.
    """
    for signature, mime in _SIGNATURES:
        if head.startswith(signature):
            # A raw file of a Canon camera has the signature of TIFF.
            return None if mime is Mime.TIFF and head[8:10] == b"CR" else mime
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Mime.WEBP
    if head[:2] == b"BM" and int.from_bytes(head[14:18], "little") in _BMP_HEADER_SIZES:
        return Mime.BMP
    if head[:4] == b"\0\0\1\0" and head[4:6] != b"\0\0" and head[9:10] == b"\0":
        return Mime.ICO
    return _mime_type_of_brands(_brands(head))


def _brands(head: bytes) -> list[bytes]:
    """Return the major and compatible brands of an ISO base media file, or an empty list for other files."""
    if head[4:8] != b"ftyp":
        return []
    box = head[: max(16, min(int.from_bytes(head[:4], "big"), len(head)))]
    return [box[8:12], *(box[at : at + 4] for at in range(16, len(box) - 3, 4))]


def _mime_type_of_brands(brands: list[bytes]) -> Mime | None:
    if not brands:
        return None
    if not _AVIF_BRANDS.isdisjoint(brands):
        return Mime.AVIF
    is_heic = brands[0] in _HEIC_BRANDS or (
        brands[0] in {b"mif1", b"msf1"} and not _HEIC_BRANDS.isdisjoint(brands)
    )
    return Mime.HEIC if is_heic else None


def describe(head: bytes) -> str:
    """Return a description of an unsupported file by its first bytes, for a message."""
    if not head:
        return "an empty file"
    for signature, description in _UNSUPPORTED:
        if head.startswith(signature):
            return description
    brands = _brands(head)
    if brands and brands[0] == b"crx ":
        return CAMERA_RAW
    if brands:
        return f"a video or other media file (brand {brands[0].decode('latin-1').strip()!r})"
    if head[8:10] == b"CR" and head[:4] in {b"II*\0", b"MM\0*"}:
        return CAMERA_RAW
    return _describe_text(head)


def _describe_text(head: bytes) -> str:
    head = head.removeprefix(codecs.BOM_UTF8)
    try:
        text = head.decode()
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4:
            # This byte is not a part of the last character, which may be cut off. So the file is not text.
            return UNKNOWN_FILE
        text = head[: error.start].decode()
    lower = text.lstrip().lower()
    if "<svg" in lower:
        return "an SVG drawing"
    if lower.startswith(("<!doctype html", "<html")):
        return "an HTML page"
    if lower.startswith("<?xml"):
        return "an XML document"
    printable = sum(c.isprintable() or c in "\t\r\n\f" for c in text)
    return "plain text" if printable >= len(text) * 0.95 else UNKNOWN_FILE


def mime_type_by_name(name: str) -> Mime | None:
    """Return the MIME type for the extension of a file name, or None if the extension is unknown.

    If the bytes of the file are available, use `sniff` instead.
    """
    dot = name.rfind(".")
    return EXTENSIONS.get(name[dot:].lower()) if dot >= 0 else None


def extension_of(mime: str) -> str:
    """Return the usual extension for a MIME type, including the dot, or an empty text for an unknown type."""
    return next((extension for extension, known in EXTENSIONS.items() if known == mime), "")
