"""Check the settings of a client.

Each function checks one setting, and returns the value that `Config` stores. It raises `TypeError` for a
wrong type, `ValueError` for a number out of range, and `ConfigurationError` for everything else. Neither an
error nor a local variable in its traceback shows a key, a token or a password.
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
    """Raise `ConfigurationError` if `text` contains shell syntax. The message does not contain `text`."""
    if (found := find_shell_syntax(text)) is not None:
        raise ConfigurationError(f"{name} {found}")


# --- key and token ------------------------------------------------------------------------------------------


def api_key(value: object) -> KeySource:
    """Return the API key, or the callable that returns it. A key from a callable is checked later."""
    if value is None:
        raise ConfigurationError(
            "no API key: pass api_key=, or set the environment variable IMGWIRE_API_KEY. "
            "To try the client without an account, use imgwire_async.emulator.Emulator and its .api_key"
        )
    if callable(value):
        return cast("KeySource", value)
    if not isinstance(value, str):
        raise checks.wrong_type("api_key", "text or a callable that returns it", value)
    return checked_key(value)


def checked_key(value: object) -> str:
    """Check an API key, and return it without surrounding whitespace."""
    if not isinstance(value, str):
        raise ConfigurationError(f"the api_key callable must return text, not {type(value).__name__}")
    # The variables `value` and `key` become a `Secret`, because an error report may show the variables of
    # this frame.
    value = key = Secret(value.strip())
    if not key:
        raise ConfigurationError(
            "the API key is empty: pass api_key=, or set the environment variable IMGWIRE_API_KEY"
        )
    _reject_shell_syntax("the API key (api_key= or IMGWIRE_API_KEY)", key)
    if key.lower().startswith("bearer "):
        raise ConfigurationError("the API key must not begin with Bearer: the client adds it")
    if not checks.is_printable_ascii(key):
        raise ConfigurationError(
            "the API key contains whitespace, control or non-ASCII characters: copy it again"
        )
    return key


def upload_token(value: object) -> KeySource | None:
    """Return the upload token, or the callable that returns it. A token from a callable is checked later."""
    if value is None or callable(value):
        return cast("KeySource | None", value)
    if not isinstance(value, str):
        raise checks.wrong_type("upload_token", "text or a callable that returns it", value)
    value = token = Secret(value.strip())
    if not token or not checks.is_printable_ascii(token):
        raise ConfigurationError("upload_token must be printable ASCII text without whitespace")
    return token


# --- URLs ---------------------------------------------------------------------------------------------------


def split_url(url: str) -> SplitResult:
    """Split a URL into its parts, as `urllib.parse.urlsplit` does."""
    # Imported here, because importing the client class has to stay fast.
    from urllib.parse import urlsplit

    return urlsplit(url)


# The name of the setting for messages, because either may have set it.
_BASE_URL = "base_url (or IMGWIRE_API_BASE_URL)"


def base_url(value: object) -> str:
    """Return the base URL of the API without the path `/api/v1`. None means the URL of the service."""
    url = checks.text("base_url", DEFAULT_BASE_URL if value is None else value).strip()
    _reject_shell_syntax(_BASE_URL, url)
    advice = "pass a URL such as https://api.imgwire.dev, optionally with a path"
    if "//" not in url and not url.lower().startswith(("http:", "https:")):
        problem = "has no scheme (https://, or http:// for a server on this machine)" if url else "is empty"
        raise ConfigurationError(f"{_BASE_URL} {problem}; {advice}")
    parts = _http_parts(url)
    if parts is None or not checks.is_printable_ascii(url):
        raise ConfigurationError(f"{_BASE_URL} is not an http or https URL; {advice}")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError(f"{_BASE_URL} must not contain user info; pass the key as api_key=")
    if parts.query or parts.fragment or "\\" in url:
        raise ConfigurationError(f"{_BASE_URL} must not contain a query or fragment; {advice}")
    path = parts.path.rstrip("/").removesuffix(API_ROOT).rstrip("/")
    if ".." in path.split("/"):
        raise ConfigurationError(f"{_BASE_URL} must not contain '..'; {advice}")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _http_parts(url: str) -> SplitResult | None:
    """Split an http or https URL with a valid host and port, or return None for any other text."""
    try:
        parts = split_url(url)
        if parts.port == 0:
            return None
    except ValueError:
        return None
    is_valid = parts.scheme in {"http", "https"} and is_host(parts.hostname) and is_authority(parts.netloc)
    return parts if is_valid else None


def proxy(value: object) -> str | None:
    """Return the URL of the proxy, or None for None."""
    return None if value is None else proxy_url(value, "proxy")


def proxy_url(value: object, name: str) -> str:
    """Return the URL of an http or https proxy. Other proxies are not supported.

    `name` is the name of the setting, for messages.
    """
    if not isinstance(value, str):
        raise checks.wrong_type(name, "text", value)
    # The URL may contain a password, so the variables `value` and `url` become a `Secret`.
    value = url = Secret(value if "://" in value else f"http://{value}")
    if not _is_proxy(url):
        if url.lower().startswith("socks"):
            raise ConfigurationError(
                f"{name} is a SOCKS proxy, which is not supported: use an http or https proxy, or pass trust_env=False and a "
                "connector= of aiohttp-socks"
            )
        _reject_shell_syntax(name, url.removeprefix("http://"))
        advice = "; in user and password write / as %2F, # as %23, ? as %3F, @ as %40" if "@" in url else ""
        raise ConfigurationError(
            f"{name} must be the URL of an http or https proxy (SOCKS is not supported){advice}"
        )
    if not _is_user_info(url):
        raise ConfigurationError(
            f"{name}: the user must not contain a colon, user and password must not contain control characters; "
            "percent-encode other special characters (@ as %40, € as %E2%82%AC)"
        )
    return url


def _is_proxy(url: str) -> bool:
    # The user and the password are left to `_is_user_info`, so that the message can name the wrong part.
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


# --- headers ------------------------------------------------------------------------------------------------

# Headers that the client sets itself. A default header with such a name would override the right value, or
# send a secret to the wrong host.
_RESERVED_HEADERS = frozenset({"authorization", "host", "cookie", "content-length", "transfer-encoding"}) | {
    "proxy-authorization",  # the password of a proxy belongs in proxy=
    "connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "upgrade",  # per connection
}  # fmt: skip

# The characters that a header name may contain, by RFC 9110, section 5.6.2.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


def default_headers(value: object) -> tuple[tuple[str, str], ...]:
    """Return the default headers as pairs of name and value. None means no headers."""
    expected = "a mapping of text to text"
    pairs: list[tuple[str, str]] = []
    for name, header_value in checks.mapping(
        "default_headers", {} if value is None else value, expected=expected
    ).items():
        if not isinstance(name, str) or not isinstance(header_value, str):
            advice = f" to {type(header_value).__name__}"
            raise checks.wrong_type("default_headers", expected, name, advice)
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"default_headers: {quoted(name)} is not a valid header name")
        if name.lower() in _RESERVED_HEADERS:
            raise ConfigurationError(f"default_headers must not contain {name}: the client sets this header")
        if not all(c == "\t" or c.isprintable() for c in header_value):
            raise ConfigurationError(
                f"default_headers: the value of {shortened(name)} contains control characters"
            )
        pairs.append((as_str(name), as_str(header_value)))
    return tuple(pairs)


def environment_id(value: object) -> str | None:
    """Return the id of the environment as text. None means the environment to which the API key belongs."""
    if value is None:
        return None
    # Imported here, because importing the client class has to stay fast.
    import uuid

    if not isinstance(value, str | uuid.UUID):
        raise checks.wrong_type("environment_id", "text or uuid.UUID", value)
    text = (as_str(value) if isinstance(value, str) else str(value)).strip()
    _reject_shell_syntax("environment_id (or IMGWIRE_ENVIRONMENT_ID)", text)
    if not text or not checks.is_printable_ascii(text):
        raise ConfigurationError(
            "environment_id (or IMGWIRE_ENVIRONMENT_ID) must be the UUID of an environment, without whitespace and control characters"
        )
    return text


def user_agent(value: object) -> str | None:
    """Return the text to put before the SDK's own User-Agent, or None."""
    if value is None:
        return None
    text = checks.text("user_agent", value)
    if not text.strip() or not (text.isascii() and text.isprintable()):
        raise ConfigurationError("user_agent must be printable ASCII text")
    return text.strip()


# --- connections and hooks ----------------------------------------------------------------------------------


def max_connections(value: object) -> int:
    """Return the maximum number of connections."""
    return checks.integer("max_connections", value, minimum=1, maximum=None)


def ssl(value: object) -> _ssl.SSLContext | str | None:
    """Return the `SSLContext`, or the path of a CA bundle, or None for the default certificates."""
    if value is None:
        return None
    if isinstance(value, str | os.PathLike):
        return checks.path("ssl", cast("object", value))
    # Imported here, because importing the client class has to stay fast.
    import ssl as _ssl

    if isinstance(value, _ssl.SSLContext):
        return value
    raise checks.wrong_type("ssl", "an ssl.SSLContext or the path of a CA bundle", value)


def trust_env(value: object) -> bool:
    """Return whether the client uses the proxies in environment variables."""
    return checks.flag("trust_env", value)


def connector(value: object) -> Callable[[], aiohttp.BaseConnector] | None:
    """Return the callable that creates a connector for each event loop, or None."""
    if value is not None and (not callable(value) or checks.is_coroutine_callable(value)):
        passed = "a coroutine function" if callable(value) else type(value).__name__
        raise TypeError(
            f"connector must be a plain callable that returns a new aiohttp.BaseConnector for each event loop, not {passed}"
        )
    return cast("Callable[[], aiohttp.BaseConnector] | None", value)


def hooks(value: object) -> Hooks:
    """Return the hooks. None means no hooks."""
    if value is None:
        return Hooks()
    if isinstance(value, Hooks):
        return value
    raise checks.wrong_type("hooks", "Hooks(...)", value)
