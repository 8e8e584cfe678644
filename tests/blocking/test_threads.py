"""One client in many threads, inside a running event loop, and in the loop thread itself."""

from __future__ import annotations

import asyncio
import inspect
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import anyio.to_thread
import pytest

from imgwire_async import AsyncImgwireClient, ImgwireClient, _bridge
from imgwire_async.emulator import Emulator

from .conftest import GIF, held, open_handlers, until

ENDLESS = float("inf")


def loop_threads() -> int:
    return sum(1 for thread in threading.enumerate() if thread.name == "imgwire-async")


def test_many_threads_share_one_client_one_loop_thread_and_one_session(
    client: ImgwireClient, threads: ThreadPoolExecutor
) -> None:
    image = client.images.upload(GIF, file_name="dot.gif")

    def work(_: int) -> set[str]:
        return {client.images.retrieve(image.id).id for _ in range(10)}

    assert set().union(*threads.map(work, range(32))) == {image.id}
    assert loop_threads() == 1
    assert len(client._shared.sessions._by_loop) == 1


@pytest.mark.long
def test_concurrent_first_calls_start_one_loop_thread(script: Any) -> None:
    assert script.run("""
        client = ImgwireClient()
        barrier = threading.Barrier(32)
        results = []

        def first():
            barrier.wait()
            results.append(client.images.list().data)

        threads = [threading.Thread(target=first) for _ in range(32)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        names = [thread.name for thread in threading.enumerate()]
        print(len(results), names.count("imgwire-async"), len(client._shared.sessions._by_loop))
    """) == (0, "32 1 1\n", "")


def test_several_clients_share_one_loop_thread(emulator: Emulator) -> None:
    clients = [ImgwireClient(emulator.api_key, base_url=emulator.base_url) for _ in range(3)]
    for client in clients:
        client.images.list()
    assert loop_threads() == 1
    for client in clients:
        client.close()


def test_callers_in_many_threads_share_one_call_of_the_key_callable(
    emulator: Emulator, threads: ThreadPoolExecutor
) -> None:
    key_calls: list[int] = []
    together = threading.Barrier(33)

    def key() -> str:
        key_calls.append(threading.get_ident())
        until(lambda: len(_bridge.loop_thread().tasks) >= 32, "the others wait for this result")
        return emulator.api_key

    with ImgwireClient(key, base_url=emulator.base_url) as client:

        def call() -> int:
            together.wait()
            return len(client.images.list().data)

        calls = [threads.submit(call) for _ in range(32)]
        together.wait()
        assert [call.result(20) for call in calls] == [0] * 32
    assert len(key_calls) == 1


def test_the_next_caller_fetches_the_key_when_the_first_caller_is_interrupted(
    emulator: Emulator,
) -> None:
    leaving, key_calls = threading.Event(), list[str]()

    def key() -> str:
        key_calls.append(threading.current_thread().name)
        if len(key_calls) == 1:
            leaving.wait(10)
            raise SystemExit  # like Ctrl-C during the callable
        return emulator.api_key

    with ImgwireClient(key, base_url=emulator.base_url) as client:

        def call() -> None:
            with pytest.raises(SystemExit):
                client.images.list()

        first = threading.Thread(target=call, name="first")
        first.start()
        until(lambda: key_calls)
        with ThreadPoolExecutor(1, thread_name_prefix="second") as pool:
            second = pool.submit(client.images.list)
            until(lambda: len(_bridge.loop_thread().tasks) >= 2)
            leaving.set()
            assert second.result(20).data == []
        first.join()
    assert [name[:6] for name in key_calls] == ["first", "second"]


def test_the_client_works_inside_a_running_loop(client: ImgwireClient) -> None:
    async def cell() -> int:
        client.images.upload(GIF, file_name="dot.gif")
        client.images.upload(iter([GIF]), file_name="dot.gif")
        return sum(1 for _ in client.images.list_all(limit=1))

    assert asyncio.run(cell()) == 2


def test_both_clients_work_side_by_side_in_one_loop(client: ImgwireClient, emulator: Emulator) -> None:
    async def both() -> tuple[int, int]:
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url) as other:
            image = await other.images.upload(GIF, file_name="dot.gif")
            return len(client.images.list().data), len(
                [i async for i in other.images.list_all() if i.id == image.id]
            )

    assert asyncio.run(both()) == (1, 1)


@pytest.mark.parametrize("use", ["call", "iterate"])
def test_a_call_on_the_loop_thread_raises_an_error(client: ImgwireClient, use: str) -> None:
    caught: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            if use == "call":
                client.images.retrieve("x")
            else:
                next(client.images.list_all())
        except BaseException as error:
            caught.append(error)
        done.set()

    _bridge.loop_thread().post(work)
    assert done.wait(10)
    assert isinstance(caught[0], RuntimeError)
    assert "AsyncImgwireClient" in str(caught[0])


def test_closing_on_the_loop_thread_does_not_wait(emulator: Emulator) -> None:
    client = ImgwireClient(emulator.api_key, base_url=emulator.base_url)
    client.images.list()
    _bridge.loop_thread().post(client.close)
    until(lambda: client.closed)
    until(lambda: not client._shared.sessions._by_loop)


def test_closing_ends_the_calls_of_other_threads_with_a_clear_error(
    client: ImgwireClient, emulator: Emulator, threads: ThreadPoolExecutor
) -> None:
    emulator.faults.add("GET", "/api/v1/images/", times=None, stall=ENDLESS)
    calls = [threads.submit(client.images.list) for _ in range(4)]
    until(lambda: open_handlers(emulator) == 4)
    client.close()
    for call in calls:
        with pytest.raises(RuntimeError, match="the client is closed"):
            call.result(10)
    with pytest.raises(RuntimeError, match="the client is closed"):
        client.images.list()
    until(lambda: open_handlers(emulator) == 0)


def test_a_call_in_a_worker_thread_may_be_abandoned(client: ImgwireClient, emulator: Emulator) -> None:
    emulator.faults.add("GET", "/api/v1/images/", stall=ENDLESS)
    new_name = "abandon_on_cancel" in inspect.signature(anyio.to_thread.run_sync).parameters
    abandon: dict[str, Any] = {"abandon_on_cancel" if new_name else "cancellable": True}

    async def main() -> float:
        started_at = time.monotonic()
        with anyio.move_on_after(0.1) as scope:
            await anyio.to_thread.run_sync(client.images.list, **abandon)
        assert scope.cancel_called
        return time.monotonic() - started_at

    assert asyncio.run(main()) < 2
    assert open_handlers(emulator) == 1  # the thread continues, because no thread can be ended from outside
    client.close()
    until(lambda: open_handlers(emulator) == 0)


def test_a_deadline_ends_a_call_and_releases_its_connection(
    client: ImgwireClient, emulator: Emulator
) -> None:
    from imgwire_async import APITimeoutError, Timeouts

    emulator.faults.add("GET", "/api/v1/images/", stall=ENDLESS)
    with pytest.raises(APITimeoutError) as caught:
        client.with_options(timeout=Timeouts(deadline=0.1)).images.list()
    assert caught.value.which == "deadline"
    until(lambda: held(client) == 0)
    until(lambda: open_handlers(emulator) == 0)


def test_the_emulator_runs_in_a_thread_beside_blocking_code() -> None:
    with Emulator() as emulator, ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
        assert client.images.upload(GIF, file_name="dot.gif", wait=True).status == "READY"
        assert [request.method for request in emulator.requests][:2] == ["POST", "PUT"]
