"""Moments in a query, in every spelling that a FastAPI service takes. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal

__all__ = ["parse_datetime"]

_MOMENT = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"([Tt _](?P<time>\d\d:\d\d)(:(?P<seconds>\d\d)([.,](?P<fraction>\d{1,9}))?)?(?P<zone>[Zz]|[+-]\d\d:?\d\d)?)?",
    re.ASCII,
)
_UNIX = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LARGEST_SECONDS = 20_000_000_000  # numbers beyond are milliseconds, as in pydantic


def parse_datetime(value: str) -> datetime:
    """Return a rfc3339, naive when `value` names no zone. `ValueError` or `OverflowError` for what is none.

    As in pydantic: the time may lack its seconds, or be absent (then midnight); fractions of a second have 1 to 9 digits,
    of which six count; a number counts the seconds, or milliseconds, since 1970. [contract 15]
    """
    found = _MOMENT.fullmatch(value)
    if found is None:
        if not _UNIX.fullmatch(value):
            raise ValueError("no date and time")
        return _of_unix(Decimal(value))
    fraction = (found["fraction"] or "0")[:6]
    zone = (found["zone"] or "").upper()
    return datetime.fromisoformat(
        f"{found['date']}T{found['time'] or '00:00'}:{found['seconds'] or '00'}.{fraction:0<6}{zone}"
    )


def _of_unix(number: Decimal) -> datetime:
    seconds = number / 1000 if abs(number) > _LARGEST_SECONDS else number
    return _EPOCH + timedelta(microseconds=round(seconds * 1_000_000))
