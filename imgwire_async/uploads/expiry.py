"""Whether a refused upload URL was too old. Decided by what the storage says, else by the dates of the URL and the answer."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

from imgwire_async.retry import response_time

# Stores of the S3, GCS and Azure kinds name it differently, so several words count. [measured on two stores]
_WORDS = re.compile(
    r"expired|RequestTimeTooSkewed|ExpiredToken|not valid (?:yet|anymore)|Signature not valid in the specified time",
    re.IGNORECASE,
)

# Where XML answers speak; elsewhere in them stands what was asked, the names of its parameters included.
_SAID = re.compile(r"<(?:Code|Message|AuthenticationErrorDetail)>([^<]*)", re.IGNORECASE)


def expired(url: str, status: int, body: str, headers: Mapping[str, str]) -> bool:
    """Return whether a 403 or 400 to `url` means that its time was over."""
    if status not in {400, 403}:
        return False
    if _WORDS.search(" ".join(_SAID.findall(body)) or body):
        return True
    end = end_of(url)
    return end is not None and end < response_time(headers)


def end_of(url: str) -> datetime | None:
    """When a signed URL ends by its own query, or None when that cannot be read from it."""
    query = {name.lower(): values[0] for name, values in parse_qs(urlsplit(url).query).items()}
    try:
        for vendor in ("amz", "goog"):
            if f"x-{vendor}-date" in query and f"x-{vendor}-expires" in query:
                begin = datetime.strptime(query[f"x-{vendor}-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                return begin + timedelta(seconds=int(query[f"x-{vendor}-expires"]))
        if "expires" in query:
            return datetime.fromtimestamp(int(query["expires"]), UTC)
        if "se" in query:
            end = datetime.fromisoformat(query["se"])
            return end if end.tzinfo else end.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        pass
    return None
