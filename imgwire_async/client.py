"""The asynchronous client, and the base class that it shares with the blocking client."""

from __future__ import annotations

import functools
import os
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Self, TypedDict, Unpack

from imgwire_async import checks
from imgwire_async.exchange import Exchange
from imgwire_async.hooks import Hooks
from imgwire_async.lazy import LazyModule
from imgwire_async.messages import CLIENT_CLOSED
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
    """The keyword arguments of `with_options`. None restores the default of the SDK."""

    timeout: Timeouts | float | None
    retries: RetryPolicy | int | None
    default_headers: Mapping[str, str] | None
    environment_id: str | None
    hooks: Hooks | None


def new_shared_state(arguments: Mapping[str, object]) -> SharedState:
    """Create the state that a new client shares with the clients that its `with_options` returns.

    `arguments` are the arguments of the constructor. Environment variables replace missing arguments. Logs a
    warning when the client would send the API key over the network without encryption.
    """
    # Imported here, because importing the client class has to stay fast.
    from imgwire_async.config import configure, from_environment
    from imgwire_async.logs import configure_from_env, logger
    from imgwire_async.transport.shared_state import SharedState

    config = configure(arguments, from_environment(os.environ))
    configure_from_env(os.environ.get("IMGWIRE_LOG", ""))
    if config.sends_key_in_clear:
        logger.warning(
            "base_url %s is plain http: the API key crosses the network in clear text", config.base_url
        )
    return SharedState(config)


def lazy_transport(shared: SharedState, options: Options) -> Callable[[], Transport]:
    """Return a function that creates the transport of a client when it is first called.

    Later calls return the same transport. Creating it loads aiohttp, which is slow.
    """

    # This is not a cached method of the client, because a cached method would be slower. The client and its
    # cache would refer to each other, too.
    @functools.cache
    def transport() -> Transport:
        from imgwire_async.transport.transport import AiohttpTransport

        return AiohttpTransport(shared, options)

    return transport


class BaseClient:
    """The base class of both clients, with the constructor, the options and the closed state."""

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
        # Wrap the secrets before any line can raise, because an error report may show the variables of this
        # frame.
        api_key, proxy, upload_token = as_secret(api_key), as_secret(proxy), as_secret(upload_token)
        arguments = {
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
        shared = new_shared_state(arguments)
        self._setup(shared, shared.config.options, owns_connections=True)

    def _setup(self, shared: SharedState, options: Options, *, owns_connections: bool) -> None:
        self._shared = shared
        self._options = options
        self._owns_connections = owns_connections
        self._transport = lazy_transport(shared, options)

    @property
    def closed(self) -> bool:
        """Whether the client was closed. A call of a closed client raises `RuntimeError`."""
        return self._shared.closed

    def _enter(self) -> None:
        """Create the transport now, so that the first call is not slower than others.

        Raises `RuntimeError` if the client is closed.
        """
        if self.closed:
            raise RuntimeError(CLIENT_CLOSED)
        self._transport()

    def capture(self) -> AbstractContextManager[list[Exchange]]:
        """Collect an `Exchange` for each call of this client inside a `with` block.

        `with client.capture() as exchanges: ...`

        The list is in the order in which the calls end. It includes the calls of tasks that are started
        inside the block. The asynchronous client also takes `with` here, not `async with`.
        """
        return Capture(self._shared)

    def with_options(self, **changes: Unpack[ChangedOptions]) -> Self:
        """Return a client with changed options, which shares the connections and API key of this client.

        `changes` may be `timeout`, `retries`, `default_headers`, `environment_id` and `hooks`, with the
        values that the constructor takes. All other options are those of this client. None restores the
        default of the SDK. The two clients also share the rate limit. Closing the new client does nothing;
        closing this client closes the connections. Raises `TypeError` for an unknown option.
        """
        clone = object.__new__(type(self))
        clone._setup(self._shared, self._options.with_changes(changes), owns_connections=False)
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
    """A class attribute of a client, such as `images`, whose value is the class of the resource.

    The class is imported when the attribute is read. With this attribute, a mock that is made from the class
    of the client has the methods of the resource, and `help()` shows them. The attribute of an instance is
    the resource itself.
    """

    def __init__(self, module: str, name: str) -> None:
        self._module = module
        self._name = name

    def __get__(self, client: object, owner: type[Any] | None = None) -> Any:
        from importlib import import_module

        return getattr(import_module(self._module), self._name)


class AsyncImgwireClient(BaseClient):
    """A client for asyncio. One object serves a whole application, with any number of tasks and event loops.

    ```python
    async with AsyncImgwireClient() as client:  # the key from IMGWIRE_API_KEY
        image = await client.images.upload("hero.jpg", wait=True)
    ```

    The operations are methods of `images`, `cors_origins`, `custom_domain` and `metrics`. Creating a client
    does no I/O and needs no running event loop. A client that is never closed leaks nothing. Calls after
    closing raise `RuntimeError`. The callables for `api_key` and `upload_token` may be plain or async.

    Args:
        api_key: API key, as text or as a callable that returns it. The callable is called on first use, and
            again after a 401. None reads `IMGWIRE_API_KEY`.
        environment_id: The id of the environment, sent as the header `X-Environment-Id`. None reads
            `IMGWIRE_ENVIRONMENT_ID`. If this variable is not set either, the client sends no header.
        base_url: The URL of the API. None reads `IMGWIRE_API_BASE_URL`. If this variable is not set either,
            the URL is `https://api.imgwire.dev`.
        timeout: A `Timeouts`, or the maximum number of seconds of one attempt. None means `Timeouts()`.
        retries: A `RetryPolicy`, or the maximum number of retries. None means `RetryPolicy()`.
        max_connections: Maximum number of API requests at the same time in one event loop. Two
            separate limits of this number apply to PUT requests that send files and to GET requests that
            fetch files.
        default_headers: Headers for requests to the API. They are not sent to other hosts.
        user_agent: Text to put before the SDK's own `User-Agent`.
        proxy: URL of one proxy for all hosts.
        ssl: An `SSLContext`, or the path of a file with CA certificates.
        trust_env: True reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` when `proxy` is None.
            Hosts of this machine are reached directly, unless `proxy` is given.
        connector: A callable that returns an `aiohttp.BaseConnector`. It is called once per event loop.
        hooks: A `Hooks` object with functions that are called for requests, responses and retries.
        upload_token: Token for uploads with a client key, as text or as a callable that returns it. The
            callable is called for each file, right before its record is created.

    Raises:
        ConfigurationError: The API key is missing, or the text of a setting is not valid (a URL, a header).
        TypeError: An argument has the wrong type.
        ValueError: A number is out of range, or `ssl` cannot be the path of a file.
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

    def _setup(self, shared: SharedState, options: Options, *, owns_connections: bool) -> None:
        super()._setup(shared, options, owns_connections=owns_connections)
        # Imported here, because importing the client class has to stay fast.
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
        """Send a request to any operation of the API, and return the response.

        Use it for operations for which this version of the SDK has no method. Retries and errors are the same
        as for all other calls.

        Args:
            method: HTTP method, such as `"GET"`.
            path: Path below `/api/v1`, which begins with one `/`.
            params: Query parameters: a mapping of names to text or integers.
            json: Body, anything that JSON can represent. None sends no body.
            idempotent: True allows a retry of a POST after a lost response.

        Returns:
            The response, with status, headers and body.

        Raises:
            TypeError: An argument has the wrong type.
            ValueError: An argument has a wrong value, for example a `path` with `..`. No request was sent.

        [any operation below /api/v1]
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
        """End open calls, and close the connections that the client uses in the running event loop.

        Any other event loop that has used this client ends its calls and closes its connections, too. Closing
        twice is allowed. Later calls raise `RuntimeError`.
        """
        if self._owns_connections:
            await self._shared.sessions.aclose()

    async def __aenter__(self) -> Self:
        self._enter()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.aclose()
