"""Which URLs of the service may be followed. Checked at use, never at decoding."""

from __future__ import annotations

from urllib.parse import urlsplit

from imgwire_async.config import is_host
from imgwire_async.errors import UnsafeURLError
from imgwire_async.exchange import redact


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
        reason = "it is no http(s) URL"
    elif parts.username is not None or parts.password is not None:
        reason = "it holds user info"
    elif secure and parts.scheme != "https":
        reason = f"it is http although {because}"
    else:
        return
    raise UnsafeURLError(
        f"the {what} that the service gave is not safe to use: {reason} ({redact(url)[:120]!r}). Nothing was sent there. "
        "Check base_url; if it is right, report this to the service."
    )
