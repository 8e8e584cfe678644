"""Parse dates in a query string, in every format that FastAPI accepts."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

__all__ = ["parse_datetime"]

_DATE_TIME = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"([Tt _](?P<time>\d\d:\d\d)(:(?P<seconds>\d\d)([.,](?P<fraction>\d{1,9}))?)?(?P<zone>[Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_UNIX_TIME = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Like pydantic, `parse_datetime` reads a number up to this limit as seconds and a larger one as milliseconds.
_MAXIMUM_SECONDS = 20_000_000_000


def parse_datetime(value: str) -> datetime:
    """Parse a date and time. The result is naive if `value` has no time zone.

    The rules are those of pydantic. The time of day may be absent, which means midnight, and its seconds may
    be absent. A fraction of a second has 1 to 9 digits. Digits after the sixth are ignored. A number
    is a count of seconds or milliseconds since 1970, in UTC.

    Raises `ValueError` for any other string, and `ValueError` or `OverflowError` for a date that does not
    exist. [contract 15]
    """
    match = _DATE_TIME.fullmatch(value)
    if match is None:
        if not _UNIX_TIME.fullmatch(value):
            raise ValueError("not a date and time")
        return _from_unix_time(Decimal(value))
    fraction = (match["fraction"] or "0")[:6]
    zone = (match["zone"] or "").upper()
    return datetime.fromisoformat(
        f"{match['date']}T{match['time'] or '00:00'}:{match['seconds'] or '00'}.{fraction:0<6}{zone}"
    )


def _from_unix_time(number: Decimal) -> datetime:
    seconds = number / 1000 if abs(number) > _MAXIMUM_SECONDS else number
    return _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))
