"""`Batch`, the blocking form of `AsyncBatch`: loops, threads, user code, and how a run ends early."""

from __future__ import annotations

import gc
import inspect
import threading
import typing
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async import ImgwireClient, Timeouts, UploadItem
from imgwire_async.batch import AsyncBatch, Batch, BatchEvent, BatchResult, merge_journals, urls
from imgwire_async.emulator import Emulator

from .gifs import gif, write_gifs

Open = Callable[..., Batch]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def open_batch(emulator: Emulator, folder: Path) -> Iterator[Open]:
    """Return a function that creates a batch, with the same journal for all of them."""
    with ImgwireClient(emulator.api_key, base_url=emulator.base_url, timeout=Timeouts(stall=0.5)) as client:
        yield lambda **arguments: Batch(client, folder / "photos.journal", **arguments)


@pytest.fixture
def photos(folder: Path) -> Path:
    return write_gifs(folder / "photos", 8)


def done(batch: Batch) -> list[str]:
    return [record.key for record in batch.records(status="done")]


def test_a_second_run_uploads_nothing_again(open_batch: Open, photos: Path, folder: Path) -> None:
    with open_batch() as batch:
        results = list(batch.upload(photos))
        assert {type(result) for result in results} == {BatchResult}
        assert len(done(batch)) == 8
        assert batch.export(folder / "photos.csv").read_text("utf-8").count("\n") == 9
    with open_batch() as batch:
        assert list(batch.upload(photos)) == []
        assert {file.action for file in batch.plan(photos)} == {"done"}
        assert batch.summary().done_before == 8
    assert merge_journals([folder / "photos.journal"], folder / "all.journal").done_before == 8


def test_a_loop_that_breaks_ends_the_run(open_batch: Open, photos: Path) -> None:
    with open_batch(concurrency=2) as batch:
        first = ""
        for result in batch.upload(photos):
            first = result.key
            break
        # A second run cannot begin while the first one goes on.
        assert first not in {result.key for result in batch.upload(photos)}
        assert len(done(batch)) == 8


def test_leaving_the_block_ends_a_run_whose_iterator_is_still_there(open_batch: Open, photos: Path) -> None:
    with open_batch() as batch:
        results = batch.upload(photos)
        next(results)
    with pytest.raises(RuntimeError, match="`with` block of the batch was left"):
        next(results)
    with open_batch() as batch:
        list(batch.upload(photos))
        assert len(done(batch)) == 8


def test_an_exception_of_the_loop_ends_the_run(open_batch: Open, photos: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        with open_batch() as batch:
            for _ in batch.upload(photos):
                raise ZeroDivisionError
    with open_batch() as batch:
        list(batch.upload(photos))
        assert len(done(batch)) == 8


@pytest.mark.long
def test_a_generator_in_a_reference_cycle_ends_its_run_when_it_is_collected(
    open_batch: Open, photos: Path
) -> None:
    with open_batch() as batch:
        cycle: dict[str, Any] = {"results": batch.upload(photos)}
        cycle["cycle"] = cycle
        next(cycle["results"])
        del cycle
        gc.collect()
        list(batch.upload(photos))
        assert len(done(batch)) == 8


def test_a_second_upload_at_the_same_time_raises(open_batch: Open, photos: Path) -> None:
    with open_batch() as batch:
        first = batch.upload(photos)
        next(first)
        with pytest.raises(RuntimeError, match="already runs an upload"):
            next(batch.upload(photos))
        assert len(list(first)) == 7


def test_a_batch_is_for_use_inside_its_block(open_batch: Open, photos: Path) -> None:
    batch = open_batch()
    with pytest.raises(RuntimeError, match="before the `with` block"):
        next(batch.upload(photos))
    with batch:
        pass
    with pytest.raises(RuntimeError, match="after the `with` block"):
        batch.records()


def test_user_code_runs_in_the_thread_that_reads_the_results(open_batch: Open, folder: Path) -> None:
    threads: set[int] = set()
    kinds: set[str] = set()

    def on_event(event: BatchEvent) -> None:
        threads.add(threading.get_ident())
        kinds.add(event.kind)

    def files() -> Iterator[UploadItem]:
        for path in sorted(write_gifs(folder / "photos", 8).iterdir()):
            threads.add(threading.get_ident())
            yield UploadItem(path)

    with open_batch(on_event=on_event) as batch:
        assert len(list(batch.upload(files()))) == 8
    assert threads == {threading.get_ident()}
    assert {"found", "started", "uploaded", "done", "counted"} <= kinds


def test_stop_from_on_event_and_from_another_thread_ends_the_loop(open_batch: Open, folder: Path) -> None:
    photos = write_gifs(folder / "photos", 40)

    def on_event(event: BatchEvent) -> None:
        if event.kind == "uploaded":
            batch.stop()

    with open_batch(concurrency=1, on_event=on_event) as batch:
        assert 1 <= len(list(batch.upload(photos))) < 40
    with open_batch(concurrency=1) as batch:
        results = batch.upload(photos)
        next(results)
        thread = threading.Thread(target=batch.stop)
        thread.start()
        thread.join()
        assert len(list(results)) < 38


def test_an_on_event_that_raises_ends_the_run(open_batch: Open, photos: Path) -> None:
    def on_event(event: BatchEvent) -> None:
        if event.kind == "uploaded":
            raise LookupError("on_event")

    with open_batch(on_event=on_event) as batch:
        with pytest.raises(LookupError):
            list(batch.upload(photos))


def test_an_asynchronous_iterable_is_refused(open_batch: Open) -> None:
    async def files() -> Any:
        yield gif(1)

    with open_batch() as batch:
        with pytest.raises(TypeError, match="AsyncImgwireClient"):
            list(batch.upload(files()))


def test_each_thread_may_use_a_batch_of_its_own(emulator: Emulator, folder: Path) -> None:
    counts: list[int] = []

    def run(number: int) -> None:
        photos = write_gifs(folder / f"{number}", 5)
        with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            with Batch(client, folder / f"{number}.journal") as batch:
                counts.append(len(list(batch.upload(photos))))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [5] * 4


# --- both forms ---------------------------------------------------------------------------------------------

METHODS = sorted(
    name for name, value in vars(AsyncBatch).items() if inspect.isfunction(value) and name[0] != "_"
)


def test_both_have_the_same_public_names() -> None:
    assert sorted(name for name in vars(Batch) if not name.startswith("_")) == METHODS


@pytest.mark.parametrize("name", METHODS)
def test_parameters_and_docstrings_are_equal(name: str) -> None:
    one, other = getattr(AsyncBatch, name), getattr(Batch, name)
    assert inspect.signature(one).parameters == inspect.signature(other).parameters
    assert inspect.getdoc(one) == inspect.getdoc(other)
    assert "Async" not in inspect.signature(other).return_annotation
    assert (other.__module__, other.__qualname__) == ("imgwire_async.blocking_batch", f"Batch.{name}")
    assert not inspect.iscoroutinefunction(other)
    # Tools that read annotations can evaluate them.
    assert "return" in typing.get_type_hints(other)


def test_the_constructors_have_equal_parameters_and_docstrings() -> None:
    def parameters(kind: type) -> list[inspect.Parameter]:
        return [*inspect.signature(kind).parameters.values()][1:]

    def arguments(kind: type) -> str:
        return (inspect.getdoc(kind) or "").partition("\nArgs:\n")[2].partition("\nRaises:\n")[0]

    assert parameters(AsyncBatch) == parameters(Batch)
    assert arguments(AsyncBatch) == arguments(Batch) != ""


def test_urls_are_uploaded_without_an_event_loop(open_batch: Open, emulator: Emulator) -> None:
    found = [f"https://pictures.example/{number}.gif" for number in range(3)]
    emulator.urls.update({url: gif(number) for number, url in enumerate(found)})
    threads: set[str] = set()

    def read() -> Iterator[str]:
        for url in found:
            threads.add(threading.current_thread().name)
            yield url

    with open_batch() as batch:
        results = {result.key: result.status for result in batch.upload(urls(read()))}
        assert results == dict.fromkeys(found, "done")
        assert threads == {threading.current_thread().name}
        assert {file.action for file in batch.plan(urls(found))} == {"done"}


def test_asynchronous_urls_need_an_asynchronous_batch(open_batch: Open) -> None:
    async def read() -> AsyncIterator[str]:
        yield "https://pictures.example/a.gif"

    with open_batch() as batch, pytest.raises(TypeError, match="must be a plain iterable here"):
        list(batch.upload(urls(read())))
