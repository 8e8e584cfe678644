"""The asynchronous client: gives the resources their transport, opens and closes."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypedDict, Unpack

from imgwire_async import checks
from imgwire_async.errors import CLIENT_CLOSED
from imgwire_async.exchange import Exchange
from imgwire_async.hooks import Hooks
from imgwire_async.lazy import LazyModule
from imgwire_async.policies import RetryPolicy, Timeouts
from imgwire_async.redaction import as_secret
from imgwire_async.transport.capture import Capture

if TYPE_CHECKING:
    import ssl as _ssl

    import aiohttp

    from imgwire_async.config import Options
    from imgwire_async.protocol import request as messages
    from imgwire_async.protocol.request import Transport
    from imgwire_async.resources.cors_origins import AsyncCorsOrigins
    from imgwire_async.resources.custom_domain import AsyncCustomDomain
    from imgwire_async.resources.images import AsyncImages
    from imgwire_async.resources.metrics import AsyncMetrics
    from imgwire_async.transport.shared_state import SharedState
else:
    _ssl, aiohttp, messages = map(LazyModule, ("ssl", "aiohttp", "imgwire_async.protocol.request"))


class ChangedOptions(TypedDict, total=False):
    """What `with_options` may change; None stands for the library's default."""

    timeout: Timeouts | float | None
    retries: RetryPolicy | int | None
    default_headers: Mapping[str, str] | None
    environment_id: str | None
    hooks: Hooks | None


def new_shared_state(given: Mapping[str, object]) -> SharedState:
    """Return the state of a new client from its arguments and the environment. Warn where the key would cross a network in clear text."""
    # The class is named more often than a client is made, and more cheaply so.
    from imgwire_async.config import configure, from_environment
    from imgwire_async.logs import configure_from_env, logger
    from imgwire_async.transport.shared_state import SharedState

    config = configure(given, from_environment(os.environ))
    configure_from_env(os.environ.get("IMGWIRE_LOG", ""))
    if config.sends_key_in_clear:
        logger.warning(
            "base_url %s is plain http: the API key crosses the network in clear text", config.base_url
        )
    return SharedState(config)


def lazy_transport(shared: SharedState, options: Options) -> Callable[[], Transport]:
    """Return a function that returns the transport for a client's options: made, and aiohttp loaded, when it is first called."""

    @functools.cache  # no method of the client: that would tie it into a reference cycle, and cost more on each call
    def transport() -> Transport:
        from imgwire_async.transport.transport import AiohttpTransport

        return AiohttpTransport(shared, options)

    return transport


class BaseClient:
    """Settings and life of a client; both clients inherit its constructor, so that they take the same arguments."""

    def __init__(
        self,
        api_key: str | Callable[[], str | Awaitable[str]] | None = None,
        *,
        environment_id: str | None = None,
        base_url: str | None = None,
        timeout: Timeouts | float | None = Timeouts(),  # noqa: B008  # frozen
        retries: RetryPolicy | int | None = RetryPolicy(),  # noqa: B008  # frozen
        max_connections: int = 100,
        default_headers: Mapping[str, str] | None = None,
        user_agent: str | None = None,
        proxy: str | None = None,
        ssl: _ssl.SSLContext | str | os.PathLike[str] | None = None,
        trust_env: bool = True,
        connector: Callable[[], aiohttp.BaseConnector] | None = None,
        hooks: Hooks | None = None,
        upload_token: str | Callable[[], str | Awaitable[str]] | None = None,
    ) -> None:
        # Hidden before anything can fail: the frame of an error shows its variables.
        api_key, proxy, upload_token = as_secret(api_key), as_secret(proxy), as_secret(upload_token)
        given = {
            "api_key": api_key,
            "environment_id": environment_id,
            "base_url": base_url,
            "timeout": timeout,
            "retries": retries,
            "max_connections": max_connections,
            "default_headers": default_headers,
            "user_agent": user_agent,
            "proxy": proxy,
            "ssl": ssl,
            "trust_env": trust_env,
            "connector": connector,
            "hooks": hooks,
            "upload_token": upload_token,
        }
        shared = new_shared_state(given)
        self._setup(shared, shared.config.options, owner=True)

    def _setup(self, shared: SharedState, options: Options, *, owner: bool) -> None:
        self._shared = shared
        self._options = options
        self._owner = owner
        self._transport = lazy_transport(shared, options)

    @property
    def closed(self) -> bool:
        """Whether the client was closed; calls then raise `RuntimeError`."""
        return self._shared.closed

    def _enter(self) -> None:
        """Load the transport now, and not in the midst of the first call. Raises `RuntimeError` when the client was closed."""
        if self.closed:
            raise RuntimeError(CLIENT_CLOSED)
        self._transport()

    def capture(self) -> AbstractContextManager[list[Exchange]]:
        """`with client.capture() as exchanges:` collects what this client sends in this context, also in tasks it starts.

        The list holds an `Exchange` for each call, in the order in which they ended; a plain `with` in both clients.
        """
        return Capture(self._shared)

    def with_options(self, **changes: Unpack[ChangedOptions]) -> Self:
        """A light client with other options that shares connections, slots, rate gate and key with this one.

        Takes `timeout`, `retries`, `default_headers`, `environment_id` and `hooks`, as the client does; another name is a
        `TypeError`. Absent options are inherited; None means the library's default. Closing it does nothing.
        """
        clone = object.__new__(type(self))
        clone._setup(self._shared, self._options.with_changes(changes), owner=False)
        return clone

    def __repr__(self) -> str:
        from imgwire_async.config import masked_key

        state = " closed" if self.closed else ""
        return f"<{type(self).__name__} {self._shared.config.base_url} key {masked_key(self._shared.config.api_key)}{state}>"

    def __copy__(self) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be copied: share it. One client serves any number of tasks and threads; "
            "with_options() gives one with other options over the same connections."
        )

    def __deepcopy__(self, memo: object, /) -> NoReturn:
        self.__copy__()

    def __reduce_ex__(self, protocol: object, /) -> NoReturn:
        raise TypeError(
            f"{type(self).__name__} cannot be pickled: it holds connections and a key. Give workers the settings, or a key "
            "callable, and let each make its own client."
        )


class ResourceClass:
    """Stands in a client's class for one of its resources, and gives the class of that; each client has a resource of its own.

    So mocks that are made from the class know the resource's methods, and `help()` shows them. Loaded when asked for.
    """

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __get__(self, client: object, owner: type[Any] | None = None) -> Any:
        from importlib import import_module

        return getattr(import_module(self._module), self._name)


class AsyncImgwireClient(BaseClient):
    """A client for asyncio. One object serves the whole application: any number of tasks, one loop or several.

    ```python
    async with AsyncImgwireClient() as client:  # the key from IMGWIRE_API_KEY
        image = await client.images.upload("hero.jpg", wait=True)
    ```

    Its operations stand under `images`, `cors_origins`, `custom_domain` and `metrics`. Every argument may be left out:

    * `api_key`: text, or a plain or async callable that is asked on first use and again after a 401; else
      `IMGWIRE_API_KEY`.
    * `environment_id`: sent as `X-Environment-Id`; else `IMGWIRE_ENVIRONMENT_ID`, else not sent.
    * `base_url`: the API's origin, with a path if need be; else `IMGWIRE_API_BASE_URL`, else `https://api.imgwire.dev`.
    * `timeout`: `Timeouts`, or the seconds of one attempt. `retries`: a `RetryPolicy`, or a number of retries.
    * `max_connections`: API exchanges at once in one event loop, and as many PUTs and as many GETs of
      bytes beside them.
    * `default_headers`: go to the API only. `user_agent`: is put before our own.
    * `proxy`: one URL for all hosts; without it `trust_env` reads `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`, which never
      concern this machine's own hosts. `ssl`: an `SSLContext`, or the path of a CA bundle. `connector`: a callable that
      returns an `aiohttp.BaseConnector`, called once per loop.
    * `hooks`: functions that are told what goes over the wire.
    * `upload_token`: for a client key, the token of uploads that bring none of their own: text, or a plain or async callable,
      asked for each file right before its record is made.

    Making a client does no I/O and needs no running loop; forgetting to close it leaks nothing. Raises `ConfigurationError`
    for a missing key or a text that cannot be used, `TypeError` or `ValueError` for other arguments. Calls after closing
    raise `RuntimeError`.
    """

    if TYPE_CHECKING:
        images: AsyncImages
        cors_origins: AsyncCorsOrigins
        custom_domain: AsyncCustomDomain
        metrics: AsyncMetrics
    else:
        images = ResourceClass("imgwire_async.resources.images", "AsyncImages")
        cors_origins = ResourceClass("imgwire_async.resources.cors_origins", "AsyncCorsOrigins")
        custom_domain = ResourceClass("imgwire_async.resources.custom_domain", "AsyncCustomDomain")
        metrics = ResourceClass("imgwire_async.resources.metrics", "AsyncMetrics")

    def _setup(self, shared: SharedState, options: Options, *, owner: bool) -> None:
        super()._setup(shared, options, owner=owner)
        # With the first client, not with the class: whoever only names the class does not pay for them.
        from imgwire_async.resources.cors_origins import AsyncCorsOrigins
        from imgwire_async.resources.custom_domain import AsyncCustomDomain
        from imgwire_async.resources.images import AsyncImages
        from imgwire_async.resources.metrics import AsyncMetrics

        self.images = AsyncImages(self._transport)
        self.cors_origins = AsyncCorsOrigins(self._transport)
        self.custom_domain = AsyncCustomDomain(self._transport)
        self.metrics = AsyncMetrics(self._transport)

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str | int] | None = None,
        json: Any = None,
        idempotent: bool = False,
    ) -> messages.APIResponse:
        """Send any request below `/api/v1` and return the answer, with the same retries, errors and checks.

        For operations that this version does not know. `path` begins with `/`; `params` become the query, `json` the body.
        `idempotent=True` lets a POST be sent again after a lost answer. A path that could lead elsewhere is a `ValueError`
        before any request. [any operation below /api/v1]
        """
        from imgwire_async.protocol.request import Request
        from imgwire_async.resources import arguments

        repeatable = True if checks.flag("idempotent", idempotent) else None
        request = Request(
            arguments.http_method(method),
            arguments.api_path(path),
            object,
            params=arguments.query(params),
            json=json,
            repeatable=repeatable,
        )
        return await self._transport().send(request)

    async def aclose(self) -> None:
        """Close the connections of the running loop, and let other loops close theirs. Idempotent; later calls raise."""
        if self._owner:
            await self._shared.sessions.aclose()

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
