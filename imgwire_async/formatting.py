"""Format what callers handed in for messages, reprs and the log: short, and whole where that is what helps."""

from __future__ import annotations

MAX_SHOWN = 80  # characters of what callers hand in, at most, that a message or a line of the log repeats
_LONGEST_PATH = 255  # characters of a path that are shown, when each of its parts could be a name


def number_for_message(number: float) -> str:
    """Return a number as messages show it: Python refuses to write integers of thousands of digits."""
    if isinstance(number, int) and (bits := int.bit_length(number)) > 64:
        return f"a number of {bits} bits"
    return str(number)


def shortened(text: str, max_length: int = MAX_SHOWN) -> str:
    """Return `text`, without its middle where it is longer than `max_length` characters."""
    if len(text) <= max_length:
        return text
    half = (max_length - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def quoted(text: str) -> str:
    """Return the literal of `text` for a message, of at most `MAX_SHOWN` characters."""
    literal = ascii(text if len(text) <= MAX_SHOWN - 2 else f"{text[:50]}...{text[-20:]}")
    return literal if len(literal) <= MAX_SHOWN else f"{literal[: MAX_SHOWN - 4]}...{literal[0]}"


def path_for_message(path: str) -> str:
    """Return a path as messages show it: whole, unless no directory could hold such a name."""
    parts = path.replace("\\", "/").split("/")
    return path if len(path) <= _LONGEST_PATH and max(map(len, parts)) <= MAX_SHOWN else shortened(path)


class LongText(str):
    """Text that shows itself shortened where an exception or a container shows its literal; else it is a `str`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return quoted(str.__str__(self))


def shorten_file_name(error: OSError) -> None:
    """Let a system's error show no more of its `filename` than messages do; the attribute keeps its text."""
    name: object = error.filename
    if isinstance(name, str) and path_for_message(name) != name:
        error.filename = LongText(name)


def short_repr(value: object) -> str:
    """Return a literal of at most `MAX_SHOWN` characters, for the reprs of records that hold what callers handed in."""
    if isinstance(value, str):
        return quoted(str.__str__(value))
    if isinstance(value, bytes | bytearray) and len(value) > MAX_SHOWN:
        return f"<{len(value)} bytes>"
    return shortened(repr(value))
