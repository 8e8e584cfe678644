"""The settings of a client, which are checked once and never change.

An environment variable replaces an argument that is None. Variables for proxies are read elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import attrs

from imgwire_async import settings
from imgwire_async.formatting import shortened
from imgwire_async.hooks import Hooks
from imgwire_async.policies import RetryPolicy, Timeouts, as_retry_policy, as_timeouts
from imgwire_async.redaction import Secret
from imgwire_async.settings import DEFAULT_BASE_URL, KeySource

if TYPE_CHECKING:
    import ssl as _ssl

    import aiohttp

# Requests to these hosts stay on this machine, so the API key may be sent to them without encryption.
_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

# The environment variables that replace missing arguments, keyed by the name of the argument.
ENV_VARS = {
    "api_key": "IMGWIRE_API_KEY",
    "environment_id": "IMGWIRE_ENVIRONMENT_ID",
    "base_url": "IMGWIRE_API_BASE_URL",
}


@attrs.frozen(kw_only=True)
class Options:
    """The settings that `with_options` can change."""

    timeout: Timeouts = attrs.field(factory=Timeouts)
    retries: RetryPolicy = attrs.field(factory=RetryPolicy)
    default_headers: tuple[tuple[str, str], ...] = ()
    environment_id: str | None = None
    hooks: Hooks = attrs.field(factory=Hooks)

    def with_changes(self, changes: Mapping[str, object]) -> Options:
        """Check the new values in `changes`, and return a copy of these options with the new values.

        `changes` is keyed by the name of the option. None means the default of the option. Raises `TypeError`
        for an unknown option.
        """
        unknown = sorted(set(changes) - set(_OPTION_CHECKS))
        if unknown:
            raise TypeError(
                f"with_options() takes {', '.join(_OPTION_CHECKS)}, not {shortened(', '.join(unknown))}"
            )
        return attrs.evolve(self, **{name: _OPTION_CHECKS[name](value) for name, value in changes.items()})


# Maps the name of an option to the function that checks it. The functions are not attrs converters of the
# fields, because `attrs.evolve` would call the converters of unchanged options again.
_OPTION_CHECKS: dict[str, Callable[[object], Any]] = {
    "timeout": as_timeouts,
    "retries": as_retry_policy,
    "default_headers": settings.default_headers,
    "environment_id": settings.environment_id,
    "hooks": settings.hooks,
}


def _to_options(value: Options | Mapping[str, object]) -> Options:
    return value if isinstance(value, Options) else Options().with_changes(value)


@attrs.frozen(kw_only=True)
class Config:
    """All settings of a client, checked by their converters. The repr shows no API key, token or proxy."""

    api_key: KeySource = attrs.field(converter=settings.api_key, repr=False)
    base_url: str = attrs.field(default=DEFAULT_BASE_URL, converter=settings.base_url)
    options: Options = attrs.field(factory=Options, converter=_to_options)
    max_connections: int = attrs.field(default=100, converter=settings.max_connections)
    user_agent: str | None = attrs.field(default=None, converter=settings.user_agent)
    proxy: str | None = attrs.field(default=None, converter=settings.proxy, repr=False)
    ssl: _ssl.SSLContext | str | None = attrs.field(default=None, converter=settings.ssl)
    trust_env: bool = attrs.field(default=True, converter=settings.trust_env)
    connector: Callable[[], aiohttp.BaseConnector] | None = attrs.field(
        default=None, converter=settings.connector
    )
    upload_token: KeySource | None = attrs.field(default=None, converter=settings.upload_token, repr=False)

    @property
    def secure(self) -> bool:
        """Whether the URL of the API is https. If it is, the URLs of storage and CDN must be https, too."""
        return self.base_url.startswith("https:")

    @property
    def sends_key_in_clear(self) -> bool:
        """Whether the API key is sent over a network without encryption."""
        return not self.secure and settings.split_url(self.base_url).hostname not in _LOOPBACK_HOSTS


def from_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return the values of the environment variables in `ENV_VARS`, keyed by the name of the argument.

    Variables that are empty or not set are left out.
    """
    return {name: Secret(environ[variable]) for name, variable in ENV_VARS.items() if environ.get(variable)}


def configure(arguments: Mapping[str, object], environment: Mapping[str, str]) -> Config:
    """Return the settings of a client.

    `arguments` contains the arguments of its constructor, keyed by name, with secrets as `Secret`. Values in
    `environment` (the result of `from_environment`) replace arguments that are None.
    """
    merged = {
        **arguments,
        **{name: text for name, text in environment.items() if arguments.get(name) is None},
    }
    options = {name: merged.pop(name) for name in _OPTION_CHECKS if name in merged}
    return Config(options=options, **merged)


def masked_key(key: KeySource) -> str:
    """Return what the repr of a client shows of its API key: a few characters at both ends of a long key."""
    if not isinstance(key, str):
        return "<callable>"
    return f"{key[:6]}...{key[-4:]}" if len(key) > 16 else "********"
