"""Checks of what callers pass. All fail before any request, name the argument and the type given, never a secret."""

from __future__ import annotations

import functools
import math
import re
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

from imgwire_async import checks
from imgwire_async.formatting import number_for_message, quoted
from imgwire_async.mime import type_by_name
from imgwire_async.models import MetricsDatasetInterval
from imgwire_async.plain import plain_bool, plain_int, plain_number, plain_text
from imgwire_async.protocol.request import segment
from imgwire_async.redaction import as_secret

Id: TypeAlias = str | uuid.UUID
Metadata: TypeAlias = Mapping[str, str | int | float | bool]


_MOST = 2**63 - 1  # of a count or a length; beyond that no service counts

P = ParamSpec("P")
T = TypeVar("T")
Method: TypeAlias = "Callable[P, Coroutine[Any, Any, T]]"


def by_name(spelling: str) -> Callable[[Method[P, T]], Method[P, T]]:
    """For a method whose arguments are all given by name: a positional one is a `TypeError` that shows the spelling."""

    def decorate(method: Method[P, T]) -> Method[P, T]:
        @functools.wraps(method)
        async def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            if len(args) > 1:  # beside self
                raise TypeError(
                    f"arguments are given by name here, not as a mapping or by position: {spelling}"
                )
            if "upload_token" in kwargs:
                kwargs["upload_token"] = as_secret(kwargs["upload_token"])
            return await method(*args, **kwargs)

        return checked

    return decorate


def refuse_payload(value: object, spelling: str) -> None:
    """Raise a `TypeError` that shows the new spelling when somebody passes a payload mapping, as other SDKs want it."""
    if isinstance(value, Mapping):
        raise TypeError(f"arguments are passed one by one here, not as a mapping: {spelling}")


def text(name: str, value: object, *, longest: int | None = 255) -> str:
    """`value` as text of 1 to `longest` characters."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {type(value).__name__}")
    if not value or (longest is not None and len(value) > longest):
        limit = "at least 1 character" if longest is None else f"1 to {longest} characters"
        raise ValueError(f"{name} must have {limit}, not {len(value)}")
    if not value.isascii() and any("\ud800" <= c <= "\udfff" for c in value):
        raise ValueError(f"{name} holds half a surrogate pair, which is no text")
    return plain_text(value)


def optional_text(name: str, value: object, *, longest: int | None = 255) -> str | None:
    """`text`, or None."""
    return None if value is None else text(name, value, longest=longest)


def token(name: str, value: object) -> str | None:
    """A text without blanks and control characters (a MIME type, an upload token), or None. Never repeated in the error."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {type(value).__name__}")
    if not value or not checks.is_printable_ascii(value):
        raise ValueError(f"{name} must be printable ASCII text without blanks")
    return plain_text(value)


def whole(name: str, value: object, *, low: int, high: int | None = None) -> int:
    """`value` as an integer in the range."""
    number = plain_int(value)
    if number is None:
        raise TypeError(f"{name} must be an int, not {type(value).__name__}")
    most = _MOST if high is None else high
    if not low <= number <= most:
        wanted = f"{low} or more" if high is None and number < low else f"{low} to {most}"
        raise ValueError(f"{name} must be {wanted}, not {number_for_message(number)}")
    return number


def seconds(name: str, value: object) -> float:
    """`value` as a positive number of seconds."""
    number = plain_number(value)
    if number is None:
        raise TypeError(
            f"{name} must be a number of seconds, not {type(value).__name__}{_seconds_hint(value)}"
        )
    if not number > 0:
        raise ValueError(f"{name} must be more than 0 seconds, not {number_for_message(number)}")
    try:
        return float(number)
    except OverflowError:
        raise ValueError(
            f"{name} must be a number that a float can hold, not {number_for_message(number)}; math.inf is without end"
        ) from None


def _seconds_hint(value: object) -> str:
    return "; give its total_seconds()" if isinstance(value, timedelta) else ""


def waiting(value: object) -> float | None:
    """Seconds from a `wait` argument: True is 120, False none."""
    truth = plain_bool(value)
    if truth is not None:
        return 120.0 if truth else None
    number = plain_number(value)
    if number is None:
        kind = type(value).__name__
        raise TypeError(f"wait must be a bool or a number of seconds, not {kind}{_seconds_hint(value)}")
    return seconds("wait", number)


def metadata(value: object) -> dict[str, str | int | float | bool] | None:
    """Flat metadata: text, int, number or bool under text; no null, no nesting. [contract 6]"""
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise TypeError(f"custom_metadata must be a mapping, not {type(value).__name__}")
    checked: dict[str, str | int | float | bool] = {}
    for key, item in cast("Mapping[object, object]", value).items():
        if not isinstance(key, str):
            raise TypeError(f"custom_metadata must have text keys, not {type(key).__name__}")
        name = text("a key of custom_metadata", key, longest=None)
        checked[name] = _metadata_value(name, item)
    return checked


# A float holds another number than most of these, which nobody would see.
_EXACT = frozenset({"Decimal", "Fraction"})


def _metadata_value(key: str, item: object) -> str | int | float | bool:
    """`item` as plain text, int, float or bool."""
    name = f"custom_metadata[{quoted(key)}]"
    if isinstance(item, str):
        return text(name, item, longest=None) if item else ""
    truth = plain_bool(item)
    if truth is not None:
        return truth
    is_exact = type(item).__name__ in _EXACT
    number = None if is_exact else plain_number(item)
    if number is None:
        exact = "give float(...) or its text" if is_exact else "leave out what is unset"
        raise TypeError(
            f"{name} must be text, a number or a bool, not {type(item).__name__}; it is flat: {exact}, and write nested "
            "things as text"
        )
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, not {number}")
    if isinstance(number, int) and not -(2**63) <= number < 2**64:
        raise ValueError(f"{name} must be an integer of at most 64 bits")
    return number


def fresh_key() -> str:
    """A key that nobody has used before."""
    return str(uuid.uuid4())


def idempotency_key(value: object) -> str | None:
    """The key to send: the caller's own, a fresh one for None, none for False."""
    if value is None:
        return fresh_key()
    if plain_bool(value) is False:
        return None
    if not isinstance(value, str):
        raise TypeError(
            f"idempotency_key must be text, None (a fresh one) or False (none), not {type(value).__name__}"
        )
    return text("idempotency_key", value)


def mime_type(value: object, file_name: str | None) -> str | None:
    """The type to declare where no bytes are seen: the given one, else by the name's extension, else none."""
    given = token("mime_type", value)
    if given is not None or file_name is None:
        return given
    known = type_by_name(file_name)
    return None if known is None else known.value


def ids(name: str, values: object, *, spelling: str) -> list[str]:
    """Ids as texts, each checked like a single one; `spelling` shows how the call is written."""
    refuse_payload(values, spelling)
    if isinstance(values, str | bytes | uuid.UUID) or not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a list of ids, not {type(values).__name__}")
    checked: list[str] = []
    for position, value in enumerate(cast("Iterable[object]", values)):
        segment(f"{name}[{position}]", value)
        checked.append(plain_text(value) if isinstance(value, str) else str(value))
    return checked


def moment(name: str, value: object) -> str | None:
    """An aware datetime as RFC 3339 text, or None."""
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise TypeError(f"{name} must be a datetime with a timezone, not {type(value).__name__}")
    if value.utcoffset() is None:
        raise ValueError(f"{name} has no timezone; add one, for example .replace(tzinfo=datetime.UTC)")
    try:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:  # the first or last hours of the calendar
        raise ValueError(f"{name} is outside the years 1 to 9999 in UTC") from None


def interval(value: object) -> str | None:
    """A metrics interval in the contract's spelling, or None."""
    if value is None or isinstance(value, MetricsDatasetInterval):
        return value
    if not isinstance(value, str):
        raise TypeError(f"interval must be text or MetricsDatasetInterval, not {type(value).__name__}")
    word = plain_text(value).upper()
    known = [member.value for member in MetricsDatasetInterval]
    if word not in known:
        raise ValueError(f"interval must be one of {', '.join(known)}, not {quoted(plain_text(value))}")
    return word


_HTTP_URL = re.compile(r"https?://[^/?#]", re.IGNORECASE)


def http_url(name: str, value: object) -> str:
    """An absolute http(s) URL as text."""
    url = text(name, value, longest=None)
    try:
        urlsplit(url)
    except ValueError:  # brackets, or signs that stand for a slash
        raise ValueError(f"{name} is no URL") from None
    if "://" not in url:
        raise ValueError(
            f"{name} must be an http(s) URL that the service can fetch, such as https://example.com/a.jpg; a file of this machine "
            "goes with images.upload(path)"
        )
    if not _HTTP_URL.match(url) or any(c.isspace() or not c.isprintable() for c in url):
        raise ValueError(f"{name} must be an http(s) URL without blanks or control characters")
    return url
