"""What callers hand in, taken for what it is: text, numbers, flags and paths of any class, or a refusal in plain words."""

from __future__ import annotations

import math
import operator
import os
import re
from typing import Any

ECHOED = 80  # characters of what callers hand in, at most, that a message or a line of the log repeats
_LONGEST_PATH = 255  # characters of a path that are shown, when each of its parts could be a name


def plain_text(value: str) -> str:
    """The text that a `str` of any class holds. `str()` would let a member of `(str, Enum)` give its name instead."""
    return str.__str__(value)


def shown(number: float) -> str:
    """A number for a message: Python refuses to write integers of thousands of digits."""
    if isinstance(number, int) and (bits := int.bit_length(number)) > 64:
        return f"a number of {bits} bits"
    return str(number)


def shortened(text: str, longest: int = ECHOED) -> str:
    """Return `text`, without its middle where it is longer than `longest` characters."""
    if len(text) <= longest:
        return text
    half = (longest - 1) // 2
    return f"{text[:half]}…{text[-half:]}"


def quoted(text: str) -> str:
    """Return the literal of `text` for a message, of at most `ECHOED` characters."""
    literal = ascii(text if len(text) <= ECHOED - 2 else f"{text[:50]}...{text[-20:]}")
    return literal if len(literal) <= ECHOED else f"{literal[: ECHOED - 4]}...{literal[0]}"


def path_for_message(path: str) -> str:
    """Return a path as messages show it: whole, unless no directory could hold such a name."""
    parts = path.replace("\\", "/").split("/")
    return path if len(path) <= _LONGEST_PATH and max(map(len, parts)) <= ECHOED else shortened(path)


class LongText(str):
    """Text that shows itself shortened where an exception or a container shows its literal; else it is a `str`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return quoted(plain_text(self))


def shorten_file_name(error: OSError) -> None:
    """Let a system's error show no more of its `filename` than messages do; the attribute keeps its text."""
    name: object = error.filename
    if isinstance(name, str) and path_for_message(name) != name:
        error.filename = LongText(name)


def short_repr(value: object) -> str:
    """Return a literal of at most `ECHOED` characters, for the reprs of records that hold what callers handed in."""
    if isinstance(value, str):
        return quoted(plain_text(value))
    if isinstance(value, bytes | bytearray) and len(value) > ECHOED:
        return f"<{len(value)} bytes>"
    return shortened(repr(value))


def integer(value: object) -> int | None:
    """Return the plain int that `value` is, or that it stands for as a list's index (NumPy's integers); else None. A bool is none."""
    if type(value) is int:
        return value
    if truth(value) is not None:
        return None
    if isinstance(value, int):
        return int.__index__(value)  # a plain one, whatever class it is a member of
    if not hasattr(type(value), "__index__"):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # it has the method
    except TypeError:  # an array of several numbers has it, too
        return None


def number(value: object) -> int | float | None:
    """Return the plain int or float that `value` is, or that it gives (NumPy's numbers, `Decimal`); else None. A bool is none.

    Of a number that no float holds (a signaling `Decimal`, a `Fraction` too large) that is NaN, which no caller takes.
    """
    if type(value) is float:
        return value
    found = integer(value)
    if found is not None or truth(value) is not None:
        return found
    if isinstance(value, float):
        return float.__float__(value)
    if not hasattr(type(value), "__float__"):
        return None
    try:
        return float(value)  # type: ignore[arg-type]  # it has the method
    except TypeError:
        return None
    except (OverflowError, ValueError):
        return math.nan


def truth(value: object) -> bool | None:
    """Return the bool that `value` is, NumPy's among them; else None."""
    if isinstance(value, bool):
        return value
    kind = type(value)
    if kind.__name__ in {"bool", "bool_"} and kind.__module__ == "numpy":
        return bool(value)
    return None


def flag(name: str, value: object) -> bool:
    """`value`, if it is a bool: a word such as "no" would pass for True."""
    found = truth(value)
    if found is None:
        raise TypeError(f"{name} must be a bool, not {type(value).__name__}")
    return found


def at_least_0(name: str, value: object) -> int:
    """Return the int that `value` stands for, which must not be negative."""
    found = integer(value)
    if found is None:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    if found < 0:
        raise ValueError(f"{name} must be 0 or more, not {shown(found)}")
    return found


def path_text(name: str, value: object) -> str:
    """The path that a `str` or an `os.PathLike` holds. What no file can be called is refused before the disk is asked."""
    path = _held(value)
    if path is None:
        raise TypeError(f"{name} must be a str or os.PathLike, not {type(value).__name__}")
    try:
        os.fsencode(path)
    except UnicodeError:
        raise ValueError(f"{name} holds half a surrogate pair, which no file name can") from None
    if "\0" in path:
        raise ValueError(f"{name} must not be a path with a NUL character")
    return path


def _held(value: object) -> str | None:
    # Not os.fspath(): what it says about an object that gives something else would not name the argument.
    kind: Any = type(value)
    held: object = kind.__fspath__(value) if isinstance(value, os.PathLike) else value
    if isinstance(held, bytes) and held is not value:
        return os.fsdecode(held)
    return plain_text(held) if isinstance(held, str) else None


def printable(text: str) -> bool:
    """Return whether `text` may stand in a header or a URL: no control characters, no blanks, ASCII only."""
    return text.isascii() and text.isprintable() and " " not in text


# A name, or an IPv6 address out of its brackets.
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+(?:%[a-z0-9._~-]+)?", re.IGNORECASE | re.ASCII)


# Brackets stand around an IPv6 address, and only there. Older versions of Python read `evil[::1]` as the host `::1`.
_AUTHORITY = re.compile(r"(?:\[[^\[\]]*:[^\[\]]*\]|[^\[\]:]*)(?::[0-9]*)?")


def is_authority(authority: str) -> bool:
    """Return whether this part of a URL names one host and perhaps a port, after whatever user info, so that all parsers read the same host."""
    return _AUTHORITY.fullmatch(authority.rpartition("@")[2]) is not None


def is_host(name: str | None) -> bool:
    """Return whether this can be asked for at all: no empty or overlong part, nothing that a resolver or the HTTP library would choke on."""
    if name is None or len(name) > 253 or not _HOST.fullmatch(name):
        return False
    if ":" in name:
        return _is_ipv6(name)
    if "xn--" in name.lower():
        try:
            name.encode("ascii").decode("idna")
        except UnicodeError:
            return False
    return all(0 < len(label) <= 63 for label in name.removesuffix(".").split("."))


def _is_ipv6(name: str) -> bool:
    from ipaddress import IPv6Address  # such hosts are rare, and naming the client class shall stay cheap

    try:
        IPv6Address(name)
    except ValueError:
        return False
    return True


_QUOTES = "\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb"
_PLACEHOLDER = re.compile(r"\$[{(]|\{\{|\$[A-Za-z_]\w*\Z|%\w+%\Z|<[^<>]*>\Z", re.ASCII)
_ASSIGNMENT = re.compile(r"(?:(?:export|set)\s+)?[A-Za-z_][A-Za-z0-9_]*\s*=\s*[^=\s]")


def leftover(text: str) -> str | None:
    """Return what a shell or a template left in a setting (quotes, a variable, a name), as a predicate for a message; None if nothing."""
    if text[:1] in _QUOTES or text[-1:] in _QUOTES:
        return (
            "stands in quotes: give it without them (Docker's --env-file, for one, keeps quotes)"
            if text
            else None
        )
    if _PLACEHOLDER.match(text) or "${" in text:
        return (
            "holds a placeholder that nothing has filled in, such as ${NAME}: look where the variable is set"
        )
    if _ASSIGNMENT.match(text):
        return "begins with a name and an equals sign, as in NAME=value: give the value alone"
    if text[:1] in "{[" and text[-1:] in "}]" and len(text) > 1:
        return "is written as JSON: give the one value out of it"
    return None
