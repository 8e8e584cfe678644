"""Format values of the caller as short texts for messages, reprs and the log."""

from __future__ import annotations

# A message or log line shows at most this many characters of one value of the caller.
MAX_SHOWN = 80
# A message shows a path of up to this many characters in full, if no part of the path is longer than
# `MAX_SHOWN`.
_MAX_PATH_SHOWN = 255


def number_for_message(number: float) -> str:
    """Return a number as text. For an integer of more than 64 bits, the text is only the number of bits."""
    if isinstance(number, int) and (bits := int.bit_length(number)) > 64:
        return f"a number of {bits} bits"
    return str(number)


def shortened(text: str, max_length: int = MAX_SHOWN) -> str:
    """Return `text`, with its middle replaced by an ellipsis if it is longer than `max_length` characters."""
    if len(text) <= max_length:
        return text
    half = (max_length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def quoted(text: str) -> str:
    """Return `text` in quotes, escaped to ASCII and shortened to `MAX_SHOWN` characters."""
    literal = ascii(text if len(text) <= MAX_SHOWN - 2 else f"{text[:50]}...{text[-20:]}")
    return literal if len(literal) <= MAX_SHOWN else f"{literal[: MAX_SHOWN - 4]}...{literal[0]}"


def path_for_message(path: str) -> str:
    """Return a path for a message: in full, or shortened if the path or a part of it is very long."""
    parts = path.replace("\\", "/").split("/")
    return path if len(path) <= _MAX_PATH_SHOWN and max(map(len, parts)) <= MAX_SHOWN else shortened(path)


class ShortReprStr(str):
    """A `str` with a short repr, because the message of an `OSError` contains the repr of its file name."""

    __slots__ = ()

    def __repr__(self) -> str:
        return quoted(str.__str__(self))


def shorten_file_name_in(error: OSError) -> None:
    """Shorten a long file name in the message of `error`. `error.filename` still equals the full name."""
    name: object = error.filename
    if isinstance(name, str) and path_for_message(name) != name:
        error.filename = ShortReprStr(name)


def short_repr(value: object) -> str:
    """Return a repr of `value` with at most `MAX_SHOWN` characters."""
    if isinstance(value, str):
        return quoted(str.__str__(value))
    if isinstance(value, bytes | bytearray) and len(value) > MAX_SHOWN:
        return f"<{len(value)} bytes>"
    return shortened(repr(value))
