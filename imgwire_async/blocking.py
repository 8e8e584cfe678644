"""The blocking twin of the asynchronous client: the same names, parameters and answers, without `await`.

Every method is the asynchronous one, waited for; what it does is written there, and nothing is written twice.
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
    """Holds the asynchronous object whose methods it calls."""

    def __init__(self, original: object) -> None:
        self._original: Any = original


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
    """The blocking form of a method, with its parameters and its docstring.

    A coroutine function becomes a plain one, an async generator a generator, and an async context manager of an async
    iterator a context manager of an iterator.
    """
    if inspect.iscoroutinefunction(method):

        def twin(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return _bridge.call(method, self._original, *args, **kwargs)
    else:
        across: Any = _bridge.iterate if inspect.isasyncgenfunction(method) else _bridge.enter

        def twin(self: Any, /, *args: Any, **kwargs: Any) -> Any:
            return across(method(self._original, *args, **kwargs))

    return _like(method, twin)


def chained(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T, None]],
    pages: Callable[Concatenate[Any, P], AsyncGenerator[Page[T], None]],
) -> Callable[Concatenate[Any, P], Generator[T, None, None]]:
    """The blocking form of a method that gives the items of `pages`: the bridge is crossed once a page, not once an item."""

    def twin(self: Any, /, *args: Any, **kwargs: Any) -> Generator[T, None, None]:
        return _items(_bridge.iterate(pages(self._original, *args, **kwargs)))

    return _like(method, twin)


def _items(pages: Generator[Page[T], None, None]) -> Generator[T, None, None]:
    with closing(pages):
        for page in pages:
            yield from page.data


def _like(method: Callable[..., Any], twin: Callable[..., Any]) -> Callable[..., Any]:
    functools.update_wrapper(twin, method)
    twin.__module__ = __name__
    twin.__qualname__ = method.__qualname__.replace("Async", "", 1)
    signature = inspect.signature(method)
    answer = re.sub(
        r"AsyncGenerator\[(.*), None\]$", r"Generator[\1, None, None]", signature.return_annotation
    )
    answer = re.sub(r"Async(?=[A-Z])", "", answer)
    twin.__signature__ = signature.replace(return_annotation=answer)  # type: ignore[attr-defined]  # read by inspect
    # As text, too: `typing.get_type_hints` reads it where the method was written.
    twin.__annotations__ = {**method.__annotations__, "return": answer}
    return twin


class Images(BlockingWrapper):
    """`client.images`: upload, find, wait for, fetch and delete images."""

    list: Final = blocking(AsyncImages.list)
    list_pages: Final = blocking(AsyncImages.list_pages)
    list_all: Final = chained(AsyncImages.list_all, AsyncImages.list_pages)
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
    """`client.cors_origins`: patterns such as `app.example.com`, `*.example.com`, `localhost:3000`."""

    list: Final = blocking(AsyncCorsOrigins.list)
    list_pages: Final = blocking(AsyncCorsOrigins.list_pages)
    list_all: Final = chained(AsyncCorsOrigins.list_all, AsyncCorsOrigins.list_pages)
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
    """`client.metrics`. Dates must carry a timezone; `tz` is the IANA name by whose days and hours points are cut."""

    get_datasets: Final = blocking(AsyncMetrics.get_datasets)
    get_stats: Final = blocking(AsyncMetrics.get_stats)


class ImgwireClient(BaseClient, BlockingWrapper):
    """A client for code that blocks. One object serves the whole application: any number of threads.

    ```python
    with ImgwireClient() as client:  # the key from IMGWIRE_API_KEY
        image = client.images.upload("hero.jpg", wait=True)
    ```

    Its operations stand under `images`, `cors_origins`, `custom_domain` and `metrics`.

    The same arguments, names and answers as `AsyncImgwireClient`, which does the work, on one background thread for all
    clients of the process. Iterators, file objects, callbacks, hooks, and what is called for a key or a token run in the thread that waits for the
    call; a coroutine function among them is a `TypeError`. Making a client does no I/O and starts no thread; forgetting to
    close it leaks nothing.
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
        original._setup(shared, options, owner=owner)  # pyright: ignore[reportPrivateUsage]  # this client's other form
        self._transport = original._transport  # pyright: ignore[reportPrivateUsage]
        self.images = Images(original.images)
        self.cors_origins = CorsOrigins(original.cors_origins)
        self.custom_domain = CustomDomain(original.custom_domain)
        self.metrics = Metrics(original.metrics)

    request: Final = blocking(AsyncImgwireClient.request)

    def close(self) -> None:
        """Close the connections; calls under way end. Idempotent; later calls raise."""
        _bridge.run_last(self._original.aclose)

    def __enter__(self) -> Self:
        self._enter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
