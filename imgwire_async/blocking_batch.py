"""`Batch`: the blocking form of `AsyncBatch`, with the same parameters and results."""

from __future__ import annotations

import functools
import os
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from types import TracebackType
from typing import Any, Concatenate, Final, Literal, ParamSpec, Self, TypeVar

from imgwire_async import _bridge, checks
from imgwire_async._loop_thread import loop_thread
from imgwire_async.batch.batch import AsyncBatch
from imgwire_async.batch.interrupts import Watch
from imgwire_async.batch.reporter import BatchEvent
from imgwire_async.blocking import BlockingWrapper, ImgwireClient, blocking, plain, rename_methods
from imgwire_async.client import AsyncImgwireClient

P = ParamSpec("P")
T = TypeVar("T")


def _interruptible(
    method: Callable[Concatenate[Any, P], AsyncGenerator[T, None]],
) -> Callable[Concatenate[Any, P], Generator[T, None, None]]:
    """Return the blocking form of `method`, which Ctrl-C ends in order."""
    iterate = blocking(method)

    def blocking_method(self: Batch, /, *args: P.args, **kwargs: P.kwargs) -> Generator[T, None, None]:
        return self._results(iterate(self, *args, **kwargs))  # pyright: ignore[reportPrivateUsage]  # a method of the class

    # `iterate` has the names, the docstring and the types.
    functools.update_wrapper(blocking_method, iterate)
    blocking_method.__signature__ = iterate.__signature__  # type: ignore[attr-defined]  # read by inspect
    return blocking_method


@rename_methods
class Batch(BlockingWrapper):
    """Uploads of many files that survive interruptions: run the program again until all files are done.

    ```python
    with ImgwireClient() as client, Batch(client, "photos.journal") as batch:
        for result in batch.upload("photos"):
            if result.error is not None:
                print(result.key, result.error)
        print(batch.summary())
        batch.export("photos.csv")
    ```

    The blocking form of `AsyncBatch`. `on_event` and iterables of files run in the thread that reads the
    results. Events are passed in groups, and of the progress of a file only the newest.

    The first Ctrl-C stops an upload as `stop` does, but after at most 10 seconds. The second one ends it at
    once. The next run goes on in both cases.

    Args:
        client: The client that uploads. The batch does not close it.
        journal: Path of the journal, which is created if it is missing.
        concurrency: Maximum number of files in work, 1 to 10,000. None finds the best number during the run.
        rate: Maximum number of files that begin per second. None means no limit.
        wait: Maximum time in seconds to wait after each upload until the image is READY. True waits at most
            120 seconds, False does not wait.
        checksum: True compares files by their SHA-256, and not by their modification time.
        verify: True checks whether the images of earlier runs still exist, and uploads missing ones again.
        reconcile: Whether a run looks for records of interrupted uploads in the list of images. "all" looks
            for as long as needed, also for records of a lost journal.
        max_failures: Number of failed files after which a run stops, or text such as "5%", which counts after
            100 files.
        max_duration: Number of seconds after which a run stops.
        purpose: Any text, which is stored with the images. An item may override it.
        custom_metadata: Metadata of the images, as in `images.upload`. An item may override it.
        on_event: Called with a `BatchEvent` for what happens in a run. If it raises, the run ends.

    Raises:
        TypeError: An argument has the wrong type. `AsyncBatch` is for an `AsyncImgwireClient`.
        ValueError: An argument has a value that is not allowed.
        JournalError: The journal cannot be opened. Raised at the begin of the `with` block.
        JournalLockedError: Another batch uses the journal. Raised at the begin of the `with` block.
    """

    _original: AsyncBatch

    def __init__(
        self,
        client: ImgwireClient,
        journal: str | os.PathLike[str],
        *,
        concurrency: int | None = None,
        rate: float | None = None,
        wait: bool | float = False,
        checksum: bool = False,
        verify: bool = False,
        reconcile: bool | Literal["all"] = True,
        max_failures: int | str | None = None,
        max_duration: float | None = None,
        purpose: str | None = None,
        custom_metadata: Mapping[str, str | int | float | bool] | None = None,
        on_event: Callable[[BatchEvent], object] | None = None,
    ) -> None:
        original = AsyncBatch(
            _original_of(client),
            journal,
            concurrency=concurrency,
            rate=rate,
            wait=wait,
            checksum=checksum,
            verify=verify,
            reconcile=reconcile,
            max_failures=max_failures,
            max_duration=max_duration,
            purpose=purpose,
            custom_metadata=custom_metadata,
            on_event=on_event,
        )
        super().__init__(original)
        # The watch of a run that Ctrl-C has stopped and whose loop the user has left.
        self._interrupted: Watch | None = None

    upload: Final = _interruptible(AsyncBatch.upload)
    plan: Final = blocking(AsyncBatch.plan)
    summary: Final = plain(AsyncBatch.summary)
    stop: Final = plain(AsyncBatch.stop)
    records: Final = plain(AsyncBatch.records)
    export: Final = plain(AsyncBatch.export)
    abandoned: Final = plain(AsyncBatch.abandoned)

    def _results(self, results: Generator[T, None, None]) -> Generator[T, None, None]:
        """Yield the results of a run. The first Ctrl-C stops it, and is passed on at its end."""
        watch = Watch(self._original.stop, loop_thread().loop)
        watch.begin()
        try:
            yield from results
        finally:
            watch.end()
            if watch.is_pressed:
                self._interrupted = watch
        watch.deliver()

    def __enter__(self) -> Self:
        _bridge.call(self._original.__aenter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """End the run, if its iterator was only dropped, and close the journal."""
        _bridge.run_close(functools.partial(self._original.__aexit__, kind, error, traceback))
        if self._interrupted is not None:
            self._interrupted.deliver()


def _original_of(client: object) -> AsyncImgwireClient:
    """Return the client that a blocking client wraps.

    Raises `TypeError` for the asynchronous client, and names `AsyncBatch`.
    """
    if isinstance(client, ImgwireClient):
        original = client._original  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # of the package
        assert isinstance(original, AsyncImgwireClient)
        return original
    is_async = isinstance(client, AsyncImgwireClient)
    advice = "; use AsyncBatch with an AsyncImgwireClient" if is_async else ""
    raise checks.wrong_type("client", "an ImgwireClient", client, advice)
