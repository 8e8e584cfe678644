"""The blocking client: the methods of the asynchronous client, with the same parameters and results.

Each method calls the asynchronous one in the background event loop and waits for it. Docstrings and
signatures are taken from there.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Generator, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, closing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar, overload

from imgwire_async import _bridge, checks
from imgwire_async.client import AsyncImgwireClient, BaseClient, ResourceClass
from imgwire_async.resources.cors_origins import AsyncCorsOrigins
from imgwire_async.resources.custom_domain import AsyncCustomDomain
from imgwire_async.resources.images import AsyncImages
from imgwire_async.resources.metrics import AsyncMetrics
from imgwire_async.results import Page

if TYPE_CHECKING:
    from imgwire_async.config import Options
    from imgwire_async.transport.shared_state import SharedState

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")


class BlockingWrapper:
    """Base class of objects that hold an asynchronous object, whose methods they call."""

    def __init__(self, original: object) -> None:
        self._original: Any = original

    def __init_subclass__(cls) -> None:
        # The methods come from functions of asynchronous classes, and would keep the names of those in
        # tracebacks.
        for name, method in vars(cls).items():
            if inspect.isfunction(method):
                method.__qualname__ = f"{cls.__qualname__}.{name}"


@overload
def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Any, P], R]: ...
@overload
def blocking(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Any, P], Generator[T, None, None]]: ...
@overload
def blocking(
    method: Callable[Concatenate[Any, P], AbstractAsyncContextManager[AsyncIterator[T]]],
) -> Callable[Concatenate[Any, P], AbstractContextManager[Iterator[T]]]: ...
def blocking(method: Callable[..., Any]) -> Callable[..., Any]:
    """Return the blocking form of a method, with its parameters and its docstring.

    A coroutine function becomes a plain function, an async generator a generator, and an async context
    manager of an async iterator a context manager of an iterator.
    """
    if inspect.iscoroutinefunction(method):

        def blocking_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return _bridge.call(method, self._original, *args, **kwargs)
    else:
        wrap: Any = _bridge.iterate if inspect.isasyncgenfunction(method) else _bridge.enter

        def blocking_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return wrap(method(self._original, *args, **kwargs))

    return _copy_metadata(method, blocking_method)


def blocking_items(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T, None]],
    pages: Callable[Concatenate[Any, P], AsyncGenerator[Page[T], None]],
) -> Callable[Concatenate[Any, P], Generator[T, None, None]]:
    """Return the blocking form of a method that yields the items of the pages that `pages` yields.

    The calling thread waits for the background event loop once per page, not once per item.
    """

    def blocking_method(self: Any, /, *args: Any, **kwargs: Any) -> Generator[T, None, None]:
        return _items(_bridge.iterate(pages(self._original, *args, **kwargs)))

    return _copy_metadata(method, blocking_method)


def _items(pages: Generator[Page[T], None, None]) -> Generator[T, None, None]:
    """Yield the items of all pages."""
    with closing(pages):
        for page in pages:
            yield from page.data


def _copy_metadata(method: Callable[..., Any], blocking_method: Callable[..., Any]) -> Callable[..., Any]:
    """Copy name, docstring and annotations of `method`, without async types, and return `blocking_method`."""
    functools.update_wrapper(blocking_method, method)
    blocking_method.__module__ = __name__
    signature = inspect.signature(method)
    result_type = re.sub(
        r"AsyncGenerator\[(.*), None\]$", r"Generator[\1, None, None]", signature.return_annotation
    )
    result_type = re.sub(r"Async(?=[A-Z])", "", result_type)
    blocking_method.__signature__ = signature.replace(return_annotation=result_type)  # type: ignore[attr-defined]  # read by inspect
    # Text, because `typing.get_type_hints` evaluates it in the module of the asynchronous method.
    blocking_method.__annotations__ = {**method.__annotations__, "return": result_type}
    return blocking_method


class Images(BlockingWrapper):
    """`client.images`: upload, list, retrieve, wait for, download and delete images."""

    list: Final = blocking(AsyncImages.list)
    list_pages: Final = blocking(AsyncImages.list_pages)
    list_all: Final = blocking_items(AsyncImages.list_all, AsyncImages.list_pages)
    retrieve: Final = blocking(AsyncImages.retrieve)
    create: Final = blocking(AsyncImages.create)
    upload: Final = blocking(AsyncImages.upload)
    upload_many: Final = blocking(AsyncImages.upload_many)
    upload_via_url: Final = blocking(AsyncImages.upload_via_url)
    wait_until_ready: Final = blocking(AsyncImages.wait_until_ready)
    create_upload_token: Final = blocking(AsyncImages.create_upload_token)
    delete: Final = blocking(AsyncImages.delete)
    bulk_delete: Final = blocking(AsyncImages.bulk_delete)
    create_bulk_download_job: Final = blocking(AsyncImages.create_bulk_download_job)
    retrieve_bulk_download_job: Final = blocking(AsyncImages.retrieve_bulk_download_job)
    wait_for_bulk_download: Final = blocking(AsyncImages.wait_for_bulk_download)
    download_archive: Final = blocking(AsyncImages.download_archive)
    download: Final = blocking(AsyncImages.download)
    read: Final = blocking(AsyncImages.read)
    stream: Final = blocking(AsyncImages.stream)


class CorsOrigins(BlockingWrapper):
    """`client.cors_origins`: host patterns such as `app.example.com`, `*.example.com`, `localhost:3000`."""

    list: Final = blocking(AsyncCorsOrigins.list)
    list_pages: Final = blocking(AsyncCorsOrigins.list_pages)
    list_all: Final = blocking_items(AsyncCorsOrigins.list_all, AsyncCorsOrigins.list_pages)
    create: Final = blocking(AsyncCorsOrigins.create)
    retrieve: Final = blocking(AsyncCorsOrigins.retrieve)
    update: Final = blocking(AsyncCorsOrigins.update)
    delete: Final = blocking(AsyncCorsOrigins.delete)


class CustomDomain(BlockingWrapper):
    """`client.custom_domain`. There is no update: delete the domain and create another."""

    retrieve: Final = blocking(AsyncCustomDomain.retrieve)
    create: Final = blocking(AsyncCustomDomain.create)
    delete: Final = blocking(AsyncCustomDomain.delete)
    test_connection: Final = blocking(AsyncCustomDomain.test_connection)
    wait_until_connected: Final = blocking(AsyncCustomDomain.wait_until_connected)


class Metrics(BlockingWrapper):
    """`client.metrics`: time series and totals of uploads, requests, traffic and storage."""

    get_datasets: Final = blocking(AsyncMetrics.get_datasets)
    get_stats: Final = blocking(AsyncMetrics.get_stats)


class ImgwireClient(BaseClient, BlockingWrapper):
    """A client for blocking code. One object serves a whole application, with any number of threads.

    ```python
    with ImgwireClient() as client:  # the key from IMGWIRE_API_KEY
        image = client.images.upload("hero.jpg", wait=True)
    ```

    The operations are methods of `images`, `cors_origins`, `custom_domain` and `metrics`, with the names,
    parameters and results of `AsyncImgwireClient`. All blocking clients of a process share one background
    thread with an event loop. User code runs in the thread that waits for the result: iterators, file
    objects, callbacks, hooks, and the callables for `api_key` and `upload_token`. None of it may be a
    coroutine function.

    Creating a client does no I/O and starts no thread. A client that is never closed leaks nothing. Calls
    after closing raise `RuntimeError`.

    Args:
        api_key: API key, as text or as a callable that returns it. The callable is called on first use, and
            again after a 401. None reads `IMGWIRE_API_KEY`.
        environment_id: Environment to send as `X-Environment-Id`. None reads `IMGWIRE_ENVIRONMENT_ID`, and
            sends no header when that is not set.
        base_url: Origin of the API, with a path if it has one. None reads `IMGWIRE_API_BASE_URL`, and takes
            `https://api.imgwire.dev` when that is not set.
        timeout: A `Timeouts`, or the seconds that one attempt may take. None takes the defaults of
            `Timeouts`.
        retries: A `RetryPolicy`, or the maximum number of retries. None takes the defaults of `RetryPolicy`.
        max_connections: Maximum number of API requests at the same time in one event loop. The same number of
            PUTs and of GETs of files may run beside them.
        default_headers: Headers for requests to the API, and for no other host.
        user_agent: Text to put before the SDK's own `User-Agent`.
        proxy: URL of one proxy for all hosts.
        ssl: An `SSLContext`, or the path of a file with CA certificates.
        trust_env: True reads `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` when `proxy` is None.
            Hosts of this machine are always reached without a proxy.
        connector: A callable that returns an `aiohttp.BaseConnector`. It is called once per event loop.
        hooks: A `Hooks` with functions that are called for requests, responses and retries.
        upload_token: Token for uploads with a client key, as text or as a callable that returns it. The
            callable is called for each file, right before its record is created.

    Raises:
        ConfigurationError: The key is missing, or a text cannot be used.
        TypeError: An argument has the wrong type.
        ValueError: An argument has a value that cannot be used.
    """

    if TYPE_CHECKING:
        images: Images
        cors_origins: CorsOrigins
        custom_domain: CustomDomain
        metrics: Metrics
    else:
        images, cors_origins, custom_domain, metrics = (
            ResourceClass(__name__, kind.__name__) for kind in (Images, CorsOrigins, CustomDomain, Metrics)
        )

    def _setup(self, shared: SharedState, options: Options, *, owner: bool) -> None:
        super()._setup(shared, options, owner=owner)
        for name in ("api_key", "upload_token"):
            checks.no_coroutine_function(name, getattr(shared.config, name))
        self._original = original = object.__new__(AsyncImgwireClient)
        original._setup(shared, options, owner=owner)  # pyright: ignore[reportPrivateUsage]  # the wrapped client
        self._transport = original._transport  # pyright: ignore[reportPrivateUsage]
        self.images = Images(original.images)
        self.cors_origins = CorsOrigins(original.cors_origins)
        self.custom_domain = CustomDomain(original.custom_domain)
        self.metrics = Metrics(original.metrics)

    request: Final = blocking(AsyncImgwireClient.request)

    def close(self) -> None:
        """Close the connections and end open calls.

        Closing twice is allowed. Later calls raise `RuntimeError`.
        """
        _bridge.run_close(self._original.aclose)

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
