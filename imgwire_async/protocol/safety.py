"""Which URLs of the service may be followed. Checked at use, never at decoding."""

from __future__ import annotations

from urllib.parse import urlsplit

from imgwire_async.config import is_host
from imgwire_async.errors import UnsafeURLError
from imgwire_async.exchange import Secret, redact


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port of a URL, the port filled in."""
    parts = urlsplit(url)
    return (
        parts.scheme,
        (parts.hostname or "").lower(),
        parts.port or {"http": 80, "https": 443}.get(parts.scheme),
    )


def without_query(url: str) -> str:
    """Host and path of a URL, as messages and records may show them."""
    parts = urlsplit(url)
    return f"{parts.netloc.rpartition('@')[2]}{parts.path}"


def require_safe(
    url: str, what: str, *, secure: bool, because: str = "the API is reached over https"
) -> None:
    """Raise `UnsafeURLError` unless `url` is http(s), without user info, and https when it must be (`because` says why)."""
    reason = _unsafe(url, secure=secure, because=because)
    if reason is None:
        return
    url = Secret(url)
    raise UnsafeURLError(
        f"the {what} that the service gave is not safe to use: {reason} ({redact(url)[:120]!r}). Nothing was sent there. "
        "Check base_url; if it is right, report this to the service."
    )


def _unsafe(url: str, *, secure: bool, because: str) -> str | None:
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urlsplit("")
    if (
        not is_host(host)
        or parts.scheme not in {"http", "https"}
        or not url.isascii()
        or not url.isprintable()
        or " " in url
        or "\\" in url
    ):
        return "it is no http(s) URL"
    if parts.username is not None or parts.password is not None:
        return "it holds user info"
    if secure and parts.scheme != "https":
        return f"it is http although {because}"
    return None
