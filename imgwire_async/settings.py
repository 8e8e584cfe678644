"""Check the settings of a client, one function for each: it returns the setting as `Config` holds it, or raises.

A wrong type is a `TypeError`, a number out of range a `ValueError`, all else a `ConfigurationError`. No error and no frame shows a key, a token or a password.
"""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeAlias, cast

from imgwire_async import checks
from imgwire_async.coercion import as_str
from imgwire_async.errors import ConfigurationError
from imgwire_async.formatting import quoted, shortened
from imgwire_async.hooks import Hooks
from imgwire_async.hosts import is_authority, is_host
from imgwire_async.redaction import Secret
from imgwire_async.shell_syntax import find_shell_syntax

if TYPE_CHECKING:
    import ssl as _ssl
    from urllib.parse import SplitResult

    import aiohttp

DEFAULT_BASE_URL = "https://api.imgwire.dev"
API_ROOT = "/api/v1"

KeySource: TypeAlias = "str | Callable[[], str | Awaitable[str]]"


def _reject_shell_syntax(name: str, text: str) -> None:
    """Refuse what a shell or a template left in a setting, without repeating it."""
    if (found := find_shell_syntax(text)) is not None:
        raise ConfigurationError(f"{name} {found}")


# --- key and token ----------------------------------------------------------------------------------------------------


def api_key(value: object) -> KeySource:
    """Return the key, or the callable that returns it: its answers are checked each time."""
    if value is None:
        raise ConfigurationError(
            "no API key: pass api_key=, or set the environment variable IMGWIRE_API_KEY. "
            "To try things without an account use imgwire_async.emulator.Emulator and its .api_key"
        )
    if callable(value):
        return cast("KeySource", value)
    if not isinstance(value, str):
        raise checks.wrong_type("api_key", "text or a callable that returns it", value)
    return checked_key(value)


def checked_key(value: object) -> str:
    """Return the key without blanks around it. What cannot be a key is refused without being repeated."""
    if not isinstance(value, str):
        raise ConfigurationError(f"the api_key callable must return text, not {type(value).__name__}")
    value = key = Secret(value.strip())
    if not key:
        raise ConfigurationError(
            "the API key is empty; set api_key= or the environment variable IMGWIRE_API_KEY"
        )
    _reject_shell_syntax("the API key (api_key= or IMGWIRE_API_KEY)", key)
    if key.lower().startswith("bearer "):
        raise ConfigurationError("the API key is given without the word Bearer; the client adds it")
    if not checks.is_printable_ascii(key):
        raise ConfigurationError("the API key holds blanks, control or non-ASCII characters; copy it again")
    return key


def upload_token(value: object) -> KeySource | None:
    """Return the upload token, or the callable that returns it: its answers are checked each time."""
    if value is None or callable(value):
        return cast("KeySource | None", value)
    if not isinstance(value, str):
        raise checks.wrong_type("upload_token", "text or a callable that returns it", value)
    value = token = Secret(value.strip())
    if not token or not checks.is_printable_ascii(token):
        raise ConfigurationError("upload_token must be printable ASCII text without blanks")
    return token


# --- URLs -------------------------------------------------------------------------------------------------------------


def split_url(url: str) -> SplitResult:
    """Return the parts of a URL."""
    from urllib.parse import urlsplit  # with the first client, not with its class

    return urlsplit(url)


def base_url(value: object) -> str:
    """Return the API's base URL without the path of this version; None is the service's own."""
    url = checks.text("base_url", DEFAULT_BASE_URL if value is None else value).strip()
    _reject_shell_syntax("base_url (or IMGWIRE_API_BASE_URL)", url)
    advice = "give an origin such as https://api.imgwire.dev, optionally with a path"
    if "//" not in url and not url.lower().startswith(("http:", "https:")):
        lack = "has no scheme: begin it with https:// (or http://, on this machine)" if url else "is empty"
        raise ConfigurationError(f"base_url {lack}; {advice}")
    parts = _http_parts(url)
    if parts is None or not checks.is_printable_ascii(url):
        raise ConfigurationError(f"base_url is no http(s) URL; {advice}")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url must not hold user info; give the key as api_key=")
    if parts.query or parts.fragment or "\\" in url:
        raise ConfigurationError(f"base_url must not hold a query or fragment; {advice}")
    path = parts.path.rstrip("/").removesuffix(API_ROOT).rstrip("/")
    if ".." in path.split("/"):
        raise ConfigurationError(f"base_url must not hold '..'; {advice}")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _http_parts(url: str) -> SplitResult | None:
    """Return the parts of an http or https URL whose host can be asked for; None for any other text."""
    try:
        parts = split_url(url)
        if parts.port == 0:
            return None
    except ValueError:
        return None
    is_good = parts.scheme in {"http", "https"} and is_host(parts.hostname) and is_authority(parts.netloc)
    return parts if is_good else None


def proxy(value: object) -> str | None:
    """Return the URL of the argument `proxy`, or None."""
    return None if value is None else proxy_url(value, "proxy")


def proxy_url(value: object, name: str) -> str:
    """Return the URL of an http or https proxy, the only ones that can be spoken to. `name` is the setting's, for errors."""
    if not isinstance(value, str):
        raise checks.wrong_type(name, "text", value)
    value = url = Secret(value if "://" in value else f"http://{value}")  # it may hold a password
    if not _is_proxy(url):
        if url.lower().startswith("socks"):
            raise ConfigurationError(
                f"{name} names a socks proxy, which is not supported: give an http or https proxy, or trust_env=False together "
                "with a connector= of aiohttp-socks"
            )
        _reject_shell_syntax(name, url.removeprefix("http://"))
        encode = "; in user and password write / as %2F, # as %23, ? as %3F, @ as %40" if "@" in url else ""
        raise ConfigurationError(
            f"{name} must be the URL of an http or https proxy (socks is not supported){encode}"
        )
    if not _is_user_info(url):
        raise ConfigurationError(
            f"{name}: its user may hold no colon, user and password no control characters; write other special "
            "characters percent-encoded (@ as %40, € as %E2%82%AC)"
        )
    return url


def _is_proxy(url: str) -> bool:
    # Whatever the user info holds, the rest is judged first, so that the error can tell which of them is wrong.
    parts = _http_parts(url)
    if parts is None:
        return False
    return checks.is_printable_ascii(f"{parts.netloc.rpartition('@')[2]}{url.rpartition('@')[2]}")


def _is_user_info(url: str) -> bool:
    from urllib.parse import unquote_to_bytes

    parts = split_url(url)
    user, password = unquote_to_bytes(parts.username or ""), unquote_to_bytes(parts.password or "")
    is_sendable = not any(c < 32 or c == 127 for c in user + password)
    return checks.is_printable_ascii(url) and b":" not in user and is_sendable


# --- headers ----------------------------------------------------------------------------------------------------------

# A key, a host or a session in a default header would go to the wrong place or win over the right one.
_OWN_HEADERS = frozenset({"authorization", "host", "cookie", "content-length", "transfer-encoding"}) | {
    "proxy-authorization",  # would go to the API; a proxy's password belongs in proxy=
    "connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "upgrade",  # belong to the connection
}  # fmt: skip


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def default_headers(value: object) -> tuple[tuple[str, str], ...]:
    """Return the headers of a mapping as pairs; none for None."""
    expected = "a mapping of text to text"
    pairs: list[tuple[str, str]] = []
    for name, text in checks.mapping(
        "default_headers", {} if value is None else value, expected=expected
    ).items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise checks.wrong_type("default_headers", expected, name, f" to {type(text).__name__}")
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"default_headers: {quoted(name)} is no header name")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(f"default_headers must not hold {name}: the client sets it itself")
        if not all(c == "\t" or c.isprintable() for c in text):
            raise ConfigurationError(
                f"default_headers: the value of {shortened(name)} holds control characters"
            )
        pairs.append((as_str(name), as_str(text)))
    return tuple(pairs)


def environment_id(value: object) -> str | None:
    """Return the id of the environment as text, or None."""
    if value is None:
        return None
    import uuid  # here and not above: naming the client class shall stay cheap

    if not isinstance(value, str | uuid.UUID):
        raise checks.wrong_type("environment_id", "text or uuid.UUID", value)
    text = (as_str(value) if isinstance(value, str) else str(value)).strip()
    _reject_shell_syntax("environment_id (or IMGWIRE_ENVIRONMENT_ID)", text)
    if not text or not checks.is_printable_ascii(text):
        raise ConfigurationError(
            "environment_id must be the environment's UUID, without blanks or control characters"
        )
    return text


def user_agent(value: object) -> str | None:
    """Return the text that stands before the client's own User-Agent, or None."""
    if value is None:
        return None
    text = checks.text("user_agent", value)
    if not text.strip() or not (text.isascii() and text.isprintable()):
        raise ConfigurationError("user_agent must be printable ASCII text")
    return text.strip()


# --- connections and hooks --------------------------------------------------------------------------------------------


def max_connections(value: object) -> int:
    """Return the number of exchanges at once."""
    return checks.integer("max_connections", value, minimum=1, maximum=None)


def ssl(value: object) -> _ssl.SSLContext | str | None:
    """Return an `SSLContext`, the path of a CA bundle, or None."""
    if value is None:
        return None
    if isinstance(value, str | os.PathLike):
        return checks.path("ssl", cast("object", value))
    import ssl as _ssl  # here and not above: naming the client class shall stay cheap

    if isinstance(value, _ssl.SSLContext):
        return value
    raise checks.wrong_type("ssl", "an ssl.SSLContext or the path of a CA bundle", value)


def trust_env(value: object) -> bool:
    """Return whether proxies of the environment count."""
    return checks.flag("trust_env", value)


def connector(value: object) -> Callable[[], aiohttp.BaseConnector] | None:
    """Return the callable that makes a connector for each loop, or None."""
    if value is not None and (not callable(value) or checks.is_coroutine_callable(value)):
        given = "a coroutine function" if callable(value) else type(value).__name__
        raise TypeError(
            f"connector must be a plain callable that returns a new aiohttp.BaseConnector for each loop, not {given}"
        )
    return cast("Callable[[], aiohttp.BaseConnector] | None", value)


def hooks(value: object) -> Hooks:
    """Return the hooks; without functions for None."""
    if value is None:
        return Hooks()
    if isinstance(value, Hooks):
        return value
    raise checks.wrong_type("hooks", "Hooks(...)", value)
