"""The blocking client: the methods of the asynchronous client, with the same parameters and results.

Each method calls the asynchronous method of the same name in the background event loop, and waits for its
result. The docstring and the signature are those of the asynchronous method.
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
Class = TypeVar("Class", bound=type)


class BlockingWrapper:
    """The base class of blocking objects. Each object calls the methods of an asynchronous object."""

    def __init__(self, original: object) -> None:
        self._original: Any = original


def rename_methods(cls: Class) -> Class:
    """Give the functions of a class its module and their qualified names, which a repr shows.

    Return the class. Otherwise they have the names of the asynchronous methods, such as "AsyncImages.list",
    which `functools.update_wrapper` has copied.
    """
    for name, method in vars(cls).items():
        if inspect.isfunction(method):
            method.__module__, method.__qualname__ = cls.__module__, f"{cls.__qualname__}.{name}"
    return cls


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
    """Return the blocking form of `method`, with the same parameters and docstring.

    The blocking form of a coroutine function returns its result. The blocking form of an async generator is a
    generator. The blocking form of an async context manager is a context manager.
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
    """Return the blocking form of `method`, which yields the items of a list.

    `pages` is the method that yields the pages of the same list. The blocking form iterates over the pages,
    so that the calling thread waits for the event loop once per page, not once per item.
    """

    def blocking_method(self: Any, /, *args: Any, **kwargs: Any) -> Generator[T, None, None]:
        return _items(_bridge.iterate(pages(self._original, *args, **kwargs)))

    return _copy_metadata(method, blocking_method)


def plain(method: Callable[Concatenate[Any, P], R]) -> Callable[Concatenate[Any, P], R]:
    """Return the blocking form of a method that is not asynchronous. It runs in the caller's thread."""

    def blocking_method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return method(self._original, *args, **kwargs)

    return _copy_metadata(method, blocking_method)


def _items(pages: Generator[Page[T], None, None]) -> Generator[T, None, None]:
    """Yield the items of all pages."""
    with closing(pages):
        for page in pages:
            yield from page.data


def _copy_metadata(method: Callable[..., Any], blocking_method: Callable[..., Any]) -> Callable[..., Any]:
    """Copy name, docstring and signature of `method` to `blocking_method`, and return `blocking_method`.

    In the result type, a blocking type replaces the asynchronous type, for example `Generator` replaces
    `AsyncGenerator`.
    """
    functools.update_wrapper(blocking_method, method)
    blocking_method.__module__ = __name__
    signature = inspect.signature(method)
    result_type = re.sub(
        r"AsyncGenerator\[(.*), None\]$", r"Generator[\1, None, None]", signature.return_annotation
    )
    result_type = re.sub(r"Async(?=[A-Z])", "", result_type)
    blocking_method.__signature__ = signature.replace(return_annotation=result_type)  # type: ignore[attr-defined]  # read by inspect
    # The annotations stay strings, because `typing.get_type_hints` evaluates them in the module of `method`.
    blocking_method.__annotations__ = {**method.__annotations__, "return": result_type}
    return blocking_method


@rename_methods
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


@rename_methods
class CorsOrigins(BlockingWrapper):
    """`client.cors_origins`: list, create, update and delete host patterns such as `*.example.com`."""

    list: Final = blocking(AsyncCorsOrigins.list)
    list_pages: Final = blocking(AsyncCorsOrigins.list_pages)
    list_all: Final = blocking_items(AsyncCorsOrigins.list_all, AsyncCorsOrigins.list_pages)
    create: Final = blocking(AsyncCorsOrigins.create)
    retrieve: Final = blocking(AsyncCorsOrigins.retrieve)
    update: Final = blocking(AsyncCorsOrigins.update)
    delete: Final = blocking(AsyncCorsOrigins.delete)


@rename_methods
class CustomDomain(BlockingWrapper):
    """`client.custom_domain`: create, retrieve, check and delete the custom domain of the environment."""

    retrieve: Final = blocking(AsyncCustomDomain.retrieve)
    create: Final = blocking(AsyncCustomDomain.create)
    delete: Final = blocking(AsyncCustomDomain.delete)
    test_connection: Final = blocking(AsyncCustomDomain.test_connection)
    wait_until_connected: Final = blocking(AsyncCustomDomain.wait_until_connected)


@rename_methods
class Metrics(BlockingWrapper):
    """`client.metrics`: time series and totals of uploads, requests, traffic and storage."""

    get_datasets: Final = blocking(AsyncMetrics.get_datasets)
    get_stats: Final = blocking(AsyncMetrics.get_stats)


@rename_methods
class ImgwireClient(BaseClient, BlockingWrapper):
    """A client for blocking code. One object serves a whole application, with any number of threads.

    ```python
    with ImgwireClient() as client:  # the key from IMGWIRE_API_KEY
        image = client.images.upload("hero.jpg", wait=True)
    ```

    The operations are methods of `images`, `cors_origins`, `custom_domain` and `metrics`, with the names,
    parameters and results of `AsyncImgwireClient`. All blocking clients of a process share one background
    thread with an event loop. Your own code runs in the thread that waits for the result: iterators, file
    objects, callbacks, hooks, and the callables for `api_key` and `upload_token`. These callables must not be
    coroutine functions.

    Creating a client does no I/O and starts no thread. A client that is never closed leaks nothing. Calls
    after closing raise `RuntimeError`.

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
        images: Images
        cors_origins: CorsOrigins
        custom_domain: CustomDomain
        metrics: Metrics
    else:
        images, cors_origins, custom_domain, metrics = (
            ResourceClass(__name__, kind.__name__) for kind in (Images, CorsOrigins, CustomDomain, Metrics)
        )

    def _setup(self, shared: SharedState, options: Options, *, owns_connections: bool) -> None:
        super()._setup(shared, options, owns_connections=owns_connections)
        for name in ("api_key", "upload_token"):
            checks.no_coroutine_function(name, getattr(shared.config, name))
        self._original = original = object.__new__(AsyncImgwireClient)
        original._setup(shared, options, owns_connections=owns_connections)  # pyright: ignore[reportPrivateUsage]  # the wrapped client
        self._transport = original._transport  # pyright: ignore[reportPrivateUsage]
        self.images = Images(original.images)
        self.cors_origins = CorsOrigins(original.cors_origins)
        self.custom_domain = CustomDomain(original.custom_domain)
        self.metrics = Metrics(original.metrics)

    request: Final = blocking(AsyncImgwireClient.request)

    def close(self) -> None:
        """End open calls and close the connections.

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
