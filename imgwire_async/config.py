"""The settings of a client, checked once and frozen. The environment is read here and nowhere else, proxies apart."""

from __future__ import annotations

import os
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias, cast

import attrs

from imgwire_async import checks
from imgwire_async.errors import ConfigurationError
from imgwire_async.formatting import number_for_message, quoted, shortened
from imgwire_async.hooks import Hooks
from imgwire_async.hosts import is_authority, is_host
from imgwire_async.leftovers import leftover
from imgwire_async.plain import plain_int, plain_text
from imgwire_async.policies import RetryPolicy, Timeouts, retry_policy, timeouts
from imgwire_async.redaction import Secret, as_secret

if TYPE_CHECKING:
    import ssl as _ssl
    from urllib.parse import SplitResult

    import aiohttp

DEFAULT_BASE_URL = "https://api.imgwire.dev"
API_ROOT = "/api/v1"
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

VARIABLES = ("IMGWIRE_API_KEY", "IMGWIRE_ENVIRONMENT_ID", "IMGWIRE_API_BASE_URL")

KeySource: TypeAlias = "str | Callable[[], str | Awaitable[str]]"


def _hooks(value: object) -> Hooks:
    if value is None:
        return Hooks()
    if isinstance(value, Hooks):
        return value
    raise TypeError(f"hooks must be Hooks(...), not {type(value).__name__}")


# A key, a host or a session in a default header would go to the wrong place or win over the right one.
_OWN_HEADERS = frozenset({"authorization", "host", "cookie", "content-length", "transfer-encoding"}) | {
    "proxy-authorization",  # would go to the API; a proxy's password belongs in proxy=
    "connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "upgrade",  # belong to the connection
}  # fmt: skip


_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2


def _headers(value: object) -> tuple[tuple[str, str], ...]:
    if value is None:
        return ()
    if not isinstance(value, Mapping):
        raise TypeError(f"default_headers must be a mapping of text to text, not {type(value).__name__}")
    pairs: list[tuple[str, str]] = []
    given: Mapping[object, object] = value  # pyright: ignore[reportUnknownVariableType]  # checked item by item below
    for name, text in given.items():
        if not isinstance(name, str) or not isinstance(text, str):
            raise TypeError(
                f"default_headers must be a mapping of text to text, not {type(name).__name__} to {type(text).__name__}"
            )
        if not _HEADER_NAME.fullmatch(name):
            raise ConfigurationError(f"default_headers: {quoted(name)} is no header name")
        if name.lower() in _OWN_HEADERS:
            raise ConfigurationError(f"default_headers must not hold {name}: the client sets it itself")
        if not all(c == "\t" or c.isprintable() for c in text):
            raise ConfigurationError(
                f"default_headers: the value of {shortened(name)} holds control characters"
            )
        pairs.append((plain_text(name), plain_text(text)))
    return tuple(pairs)


def _environment_id(value: object) -> str | None:
    if value is None:
        return None
    import uuid  # here and not above: naming the client class shall stay cheap

    if not isinstance(value, str | uuid.UUID):
        raise TypeError(f"environment_id must be text or uuid.UUID, not {type(value).__name__}")
    text = (plain_text(value) if isinstance(value, str) else str(value)).strip()
    _refuse_leftover("environment_id (or IMGWIRE_ENVIRONMENT_ID)", text)
    if not text or not checks.is_printable_ascii(text):
        raise ConfigurationError(
            "environment_id must be the environment's UUID, without blanks or control characters"
        )
    return text


@attrs.frozen(kw_only=True)
class Options:
    """What `with_options` may change for a call."""

    timeout: Timeouts = attrs.field(factory=Timeouts)
    retries: RetryPolicy = attrs.field(factory=RetryPolicy)
    default_headers: tuple[tuple[str, str], ...] = ()
    environment_id: str | None = None
    hooks: Hooks = attrs.field(factory=Hooks)

    def changed(self, changes: Mapping[str, object]) -> Options:
        """These options with `changes`; None means the library's default, another name is a `TypeError`."""
        unknown = sorted(set(changes) - set(_READ))
        if unknown:
            raise TypeError(f"with_options() takes {', '.join(_READ)}; not {shortened(', '.join(unknown))}")
        return attrs.evolve(self, **{name: _READ[name](value) for name, value in changes.items()})


_READ: dict[str, Callable[[object], Any]] = {
    "timeout": timeouts,
    "retries": retry_policy,
    "default_headers": _headers,
    "environment_id": _environment_id,
    "hooks": _hooks,
}


def _key(value: Any) -> KeySource:
    if callable(value):
        return cast("KeySource", value)  # what it returns is checked each time
    if not isinstance(value, str):
        raise TypeError(f"api_key must be text or a callable that returns it, not {type(value).__name__}")
    return clean_key(value)


def clean_key(value: object) -> str:
    """The key without blanks around it; what cannot be a key is refused without being repeated."""
    if not isinstance(value, str):
        raise ConfigurationError(f"the api_key callable must return text, not {type(value).__name__}")
    value = key = Secret(value.strip())
    if not key:
        raise ConfigurationError(
            "the API key is empty; set api_key= or the environment variable IMGWIRE_API_KEY"
        )
    _refuse_leftover("the API key (api_key= or IMGWIRE_API_KEY)", key)
    if key.lower().startswith("bearer "):
        raise ConfigurationError("the API key is given without the word Bearer; the client adds it")
    if not checks.is_printable_ascii(key):
        raise ConfigurationError("the API key holds blanks, control or non-ASCII characters; copy it again")
    return key


def _refuse_leftover(name: str, text: str) -> None:
    """Refuse what a shell or a template left in a setting, without repeating it."""
    if (found := leftover(text)) is not None:
        raise ConfigurationError(f"{name} {found}")


def _upload_token(value: Any) -> KeySource | None:
    if value is None or callable(value):
        return cast("KeySource | None", value)  # what it returns is checked each time
    if not isinstance(value, str):
        raise TypeError(
            f"upload_token must be text or a callable that returns it, not {type(value).__name__}"
        )
    value = token = Secret(value.strip())
    if not token or not checks.is_printable_ascii(token):
        raise ConfigurationError("upload_token must be printable ASCII text without blanks")
    return token


def _split(url: str) -> SplitResult:
    from urllib.parse import urlsplit  # with the first client, not with its class

    return urlsplit(url)


def _base_url(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"base_url must be text, not {type(value).__name__}")
    url = value.strip()
    _refuse_leftover("base_url (or IMGWIRE_API_BASE_URL)", url)
    advice = "give an origin such as https://api.imgwire.dev, optionally with a path"
    try:
        parts = _split(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        port_is_valid = False
        parts = _split("")
    if "//" not in url and not url.lower().startswith(("http:", "https:")):
        lack = "has no scheme: begin it with https:// (or http://, on this machine)" if url else "is empty"
        raise ConfigurationError(f"base_url {lack}; {advice}")
    if (
        not checks.is_printable_ascii(url)
        or parts.scheme not in {"http", "https"}
        or not is_host(parts.hostname)
        or not is_authority(parts.netloc)
        or not port_is_valid
    ):
        raise ConfigurationError(f"base_url is no http(s) URL; {advice}")
    if parts.username is not None or parts.password is not None:
        raise ConfigurationError("base_url must not hold user info; give the key as api_key=")
    if parts.query or parts.fragment or "\\" in url:
        raise ConfigurationError(f"base_url must not hold a query or fragment; {advice}")
    path = parts.path.rstrip("/").removesuffix(API_ROOT).rstrip("/")
    if ".." in path.split("/"):
        raise ConfigurationError(f"base_url must not hold '..'; {advice}")
    return f"{parts.scheme}://{parts.netloc}{path}"


def _max_connections(value: object) -> int:
    count = plain_int(value)
    if count is None:
        raise TypeError(f"max_connections must be an int, not {type(value).__name__}")
    if count < 1:
        raise ValueError(f"max_connections must be 1 or more, not {number_for_message(count)}")
    return count


def _user_agent(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise TypeError(f"user_agent must be text, not {type(value).__name__}")
    if not value.strip() or not (value.isascii() and value.isprintable()):
        raise ConfigurationError("user_agent must be printable ASCII text")
    return value.strip()


def proxy_url(value: object, name: str) -> str:
    """A proxy's URL, checked: http(s) only, since nothing else can be spoken."""
    if not isinstance(value, str):
        raise TypeError(f"{name} must be text, not {type(value).__name__}")
    value = url = Secret(value if "://" in value else f"http://{value}")  # it may hold a password
    if not _is_proxy(url):
        if url.lower().startswith("socks"):
            raise ConfigurationError(
                f"{name} names a socks proxy, which is not supported: give an http or https proxy, or trust_env=False together "
                "with a connector= of aiohttp-socks"
            )
        _refuse_leftover(name, url.removeprefix("http://"))
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
    try:
        parts = _split(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError:
        return False
    rest = f"{parts.netloc.rpartition('@')[2]}{url.rpartition('@')[2]}"
    return (
        port_is_valid
        and parts.scheme in {"http", "https"}
        and is_host(parts.hostname)
        and is_authority(parts.netloc)
        and checks.is_printable_ascii(rest)
    )


def _is_user_info(url: str) -> bool:
    from urllib.parse import unquote_to_bytes

    parts = _split(url)
    user, password = unquote_to_bytes(parts.username or ""), unquote_to_bytes(parts.password or "")
    return (
        checks.is_printable_ascii(url)
        and b":" not in user
        and not any(c < 32 or c == 127 for c in user + password)
    )


def _ssl_setting(value: object) -> _ssl.SSLContext | str | None:
    if value is None:
        return None
    if isinstance(value, str | os.PathLike):
        return checks.path("ssl", cast("object", value))
    import ssl as _ssl  # here and not above: naming the client class shall stay cheap

    if isinstance(value, _ssl.SSLContext):
        return value
    raise TypeError(f"ssl must be an ssl.SSLContext or the path of a CA bundle, not {type(value).__name__}")


def _connector(value: Any) -> Callable[[], aiohttp.BaseConnector] | None:
    if value is not None and (not callable(value) or checks.is_coroutine_callable(value)):
        raise TypeError(
            "connector must be a plain callable that returns a new aiohttp.BaseConnector for each loop, not "
            f"{'a coroutine function' if callable(value) else type(value).__name__}"
        )
    return cast("Callable[[], aiohttp.BaseConnector] | None", value)


@attrs.frozen(kw_only=True)
class Config:
    """All settings of a client. `api_key` never stands in its repr."""

    api_key: KeySource = attrs.field(repr=False)
    base_url: str
    options: Options
    max_connections: int = 100
    user_agent: str | None = None
    proxy: str | None = attrs.field(default=None, repr=False)  # may hold a password
    ssl: _ssl.SSLContext | str | None = None
    trust_env: bool = True
    connector: Callable[[], aiohttp.BaseConnector] | None = None
    upload_token: KeySource | None = attrs.field(default=None, repr=False)

    @property
    def secure(self) -> bool:
        """Whether the API is reached over https; then storage and CDN must be, too."""
        return self.base_url.startswith("https:")

    @property
    def exposed(self) -> bool:
        """Whether the key crosses a network in clear text."""
        return not self.secure and _split(self.base_url).hostname not in LOOPBACK


def configure(
    api_key: object,
    *,
    environment_id: object,
    base_url: object,
    timeout: object,
    retries: object,
    max_connections: object,
    default_headers: object,
    user_agent: object,
    proxy: object,
    ssl: object,
    trust_env: object,
    connector: object,
    hooks: object,
    environ: Mapping[str, str],
    upload_token: object = None,
) -> Config:
    """The settings as one frozen value. What is given beats the environment, the environment beats the default."""
    api_key, proxy, upload_token = as_secret(api_key), as_secret(proxy), as_secret(upload_token)
    if api_key is None:
        api_key = as_secret(environ.get("IMGWIRE_API_KEY") or None)
        if api_key is None:
            raise ConfigurationError(
                "no API key: pass api_key=, or set the environment variable IMGWIRE_API_KEY. "
                "To try things without an account use imgwire_async.emulator.Emulator and its .api_key"
            )
    if environment_id is None:
        environment_id = environ.get("IMGWIRE_ENVIRONMENT_ID") or None
    if base_url is None:
        base_url = environ.get("IMGWIRE_API_BASE_URL") or DEFAULT_BASE_URL
    return Config(
        api_key=_key(api_key),
        base_url=_base_url(base_url),
        options=Options().changed(
            {
                "timeout": timeout,
                "retries": retries,
                "default_headers": default_headers,
                "environment_id": environment_id,
                "hooks": hooks,
            }
        ),
        max_connections=_max_connections(max_connections),
        user_agent=_user_agent(user_agent),
        proxy=None if proxy is None else proxy_url(proxy, "proxy"),
        ssl=_ssl_setting(ssl),
        trust_env=checks.flag("trust_env", trust_env),
        connector=_connector(connector),
        upload_token=_upload_token(upload_token),
    )


def masked(key: KeySource) -> str:
    """A key as it may be shown: the first and last characters of a long one, nothing of a short one."""
    if not isinstance(key, str):
        return "<callable>"
    return f"{key[:6]}...{key[-4:]}" if len(key) > 16 else "********"
