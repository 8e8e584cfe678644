"""Check whether a URL from the service is safe to use, and whether a rejected presigned URL has expired.

A URL is checked when the client is about to use it, not when a response that contains it is decoded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from urllib.parse import parse_qs, urlsplit

from imgwire_async import checks
from imgwire_async.errors import UnsafeURLError
from imgwire_async.hosts import is_authority, is_host
from imgwire_async.redaction import Secret, redact
from imgwire_async.retry import response_time

_NO_URL = "it is not an http(s) URL"
# Matches the start of a URL: scheme, user info, host and port.
_ORIGIN_PATTERN = re.compile("[^/?#]*//[^/?#]*")

# S3, GCS and Azure say with different texts that a URL has expired. [measured on two storages]
_EXPIRED_PATTERN = re.compile(
    r"expired|RequestTimeTooSkewed|ExpiredToken|not valid (?:yet|anymore)|Signature not valid in the specified time",
    re.IGNORECASE,
)

# Matches the XML elements that contain the reason of an error. Other elements are not searched, because they
# repeat the request, and a parameter such as `X-Amz-Expires` would be mistaken for the reason. A body without
# these elements is searched completely.
_ERROR_TEXT_PATTERN = re.compile(r"<(?:Code|Message|AuthenticationErrorDetail)>([^<]*)", re.IGNORECASE)


def origin(url: str) -> tuple[str, str, int | None]:
    """Return scheme, host and port of a URL. A missing port is replaced by the default port of the scheme."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or {"http": 80, "https": 443}.get(parts.scheme),
    )


def without_query(url: str) -> str:
    """Return host and path of a URL. Unlike the query and the user info, they contain no secrets."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def require_safe(
    url: str, what: str, *, secure: bool, because: str = "the API is reached over https"
) -> None:
    """Raise `UnsafeURLError` unless `url` is an http(s) URL without user info.

    If `secure` is True, only https is allowed. The message then contains `because`, the reason for this rule.
    `what` is the name of the field that contained the URL.
    """
    reason = _unsafe_reason(url, secure=secure, because=because)
    if reason is None:
        return
    url = Secret(url)
    raise UnsafeURLError(
        f"the {what} that the service returned is not safe to use: {reason} ({redact(url)[:120]!r}). Nothing was sent there. "
        "Check base_url; if it is right, report this to the service."
    )


def _unsafe_reason(url: str, *, secure: bool, because: str) -> str | None:
    """Return the reason why `url` must not be used, or None for a URL that is safe to use."""
    match = _ORIGIN_PATTERN.match(url) if checks.is_printable_ascii(url) and "\\" not in url else None
    if match is None:
        return _NO_URL
    fault = _origin_fault(match[0])
    if fault is None and secure and not match[0].lower().startswith("https:"):
        return f"it is http although {because}"
    return fault


# A small cache is enough, because the URLs of one service have few different origins.
@lru_cache(maxsize=64)
def _origin_fault(origin: str) -> str | None:
    """Return the reason why URLs of `origin` must not be used, or None for a safe origin."""
    try:
        parts = urlsplit(origin)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return _NO_URL
    if not is_host(host) or not is_authority(parts.netloc) or parts.scheme not in {"http", "https"}:
        return _NO_URL
    if parts.username is not None or parts.password is not None:
        return "it holds user info"
    return None


def is_expired(url: str, status: int, body: str, headers: Mapping[str, str]) -> bool:
    """Return whether the storage rejected `url` because it had expired.

    `status`, `body` and `headers` are the parts of the storage's response. The result is False for a
    status other than 400 and 403.
    """
    if status not in {400, 403}:
        return False
    if _EXPIRED_PATTERN.search(" ".join(_ERROR_TEXT_PATTERN.findall(body)) or body):
        return True
    end = expires_at(url)
    return end is not None and end < response_time(headers)


def expires_at(url: str) -> datetime | None:
    """Return the time at which a presigned URL expires, or None when its query does not say so."""
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
