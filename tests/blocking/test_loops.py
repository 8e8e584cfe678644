"""The asynchronous client has a session per event loop, and that loop closes the session."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import threading
import time
from collections.abc import AsyncIterator, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest

from imgwire_async import AsyncImgwireClient, ImgwireClient, Timeouts
from imgwire_async.emulator import Emulator

from .conftest import Script, held, open_handlers, until

ENDLESS = float("inf")


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    yield client
    await client.aclose()


def sessions(client: AsyncImgwireClient) -> dict[Any, Any]:
    return client._shared.sessions._by_loop


async def soon(condition: Any, seconds: float = 10.0) -> None:
    """Run the event loop until the condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.005)


def run_in_new_loop(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@pytest.mark.long
def test_one_client_serves_several_event_loops_in_turn_and_leaks_nothing(script: Script) -> None:
    assert script.run("""
        import asyncio, anyio
        client = AsyncImgwireClient()

        async def main():
            return len((await client.images.list()).data)

        for _ in range(3):
            print(asyncio.run(main()), end=" ")
        for _ in range(2):
            print(anyio.run(main), end=" ")
        print(len(client._shared.sessions._by_loop))
    """) == (0, "0 0 0 0 0 1\n", "")


@pytest.mark.long
@pytest.mark.skipif(importlib.util.find_spec("asgiref") is None, reason="needs asgiref")
def test_the_client_works_in_the_event_loops_of_asgiref(script: Script) -> None:
    assert script.run(
        """
        from asgiref.sync import async_to_sync
        client = AsyncImgwireClient()

        async def view():
            return len((await client.images.list()).data)

        print([async_to_sync(view)() for _ in range(3)])
    """
    ) == (0, "[0, 0, 0]\n", "")


@pytest.mark.slow
def test_a_client_that_is_never_closed_leaks_nothing(script: Script) -> None:
    assert script.run("""
        import asyncio

        async def dropped_at_the_end():
            client = AsyncImgwireClient()
            await client.images.list()

        async def dropped_on_the_way():
            await dropped_at_the_end()
            await asyncio.sleep(0.01)

        async def left_half_way():
            global pages, results, kept
            kept = AsyncImgwireClient()
            pages = kept.images.list_all(limit=1)
            results = kept.images.upload_many([GIF] * 50)
            await anext(results)
            await anext(pages)

        async def closed_twice():
            async with AsyncImgwireClient() as client:
                await client.images.list()
                await client.aclose()

        async def cut_off():
            client = AsyncImgwireClient()
            task = asyncio.create_task(client.images.list())
            await asyncio.sleep(0)
            sys.exit(3)

        for main in (dropped_at_the_end, dropped_on_the_way, left_half_way, closed_twice) * 2:
            asyncio.run(main())
        asyncio.run(cut_off())
    """) == (3, "", "")


@pytest.mark.slow
def test_an_event_loop_that_was_closed_by_hand_leaves_no_warning(script: Script) -> None:
    # Without -X dev, because in dev mode asyncio itself reports the open transports of such a loop.
    assert script.run("""
        import asyncio, warnings
        warnings.simplefilter("ignore", ResourceWarning)
        client = AsyncImgwireClient()
        for _ in range(3):
            loop = asyncio.new_event_loop()
            loop.run_until_complete(client.images.list())
            loop.close()
        left_open = asyncio.new_event_loop()
        left_open.run_until_complete(client.images.list())
        print(len(client._shared.sessions._by_loop))
    """) == (0, "1\n", "")


@pytest.mark.slow
def test_a_client_of_a_stopped_loop_may_be_dropped_inside_another_loop(script: Script) -> None:
    assert script.run("""
        import asyncio, gc
        client = AsyncImgwireClient()
        stopped = asyncio.new_event_loop()
        stopped.run_until_complete(client.images.list())
        (here,) = client._shared.sessions._by_loop.values()
        api = here.api
        del here

        async def main():
            global client
            del client
            gc.collect()
            print(api.closed)

        asyncio.run(main())
        gc.collect()
        stopped.run_until_complete(asyncio.sleep(0))  # closes the sockets of closed transports
        stopped.close()
    """) == (0, "True\n", "")


DROPPED = """
    import asyncio, gc
    from concurrent.futures import ThreadPoolExecutor

    def used(loop):
        client = AsyncImgwireClient()
        loop.run_until_complete(client.images.list())
        (here,) = client._shared.sessions._by_loop.values()
        return [client], here.api

    def drop(box):
        box.clear()
        gc.collect()

    async def drop_in_a_loop(box):
        asyncio.get_running_loop().call_soon(drop, box)
        await asyncio.sleep(0.01)

    def drop_inside_another_loop(box):
        asyncio.run(drop_in_a_loop(box))

    def in_another_thread(work, *args):
        thread.submit(work, *args).result(20)

    thread = ThreadPoolExecutor(1)
    here = lambda work, *args: work(*args)
    open_files = lambda: len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    # Imports of the first client, and the connection pool of the server, stay.
    with asyncio.Runner() as runner:
        runner.run(asyncio.sleep(0))
        drop(used(runner.get_loop())[0])
"""


@pytest.mark.long
def test_a_dropped_client_is_closed_by_its_own_loop_and_by_no_other_thread(script: Script) -> None:
    assert script.run(
        DROPPED
        + """
    def close(loop):
        loop.run_until_complete(asyncio.sleep(0.01))
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    before = open_files()
    for where in (here, in_another_thread):
        for how in (drop, drop_inside_another_loop):
            idle = asyncio.new_event_loop()
            box, api = used(idle)
            ran_in = []
            idle.call_soon(lambda: ran_in.append(threading.get_ident()))  # runs when the loop runs next
            where(how, box)
            close(idle)
            assert ran_in == [threading.get_ident()], (where, how)
            assert api.closed, (where, how)

            closed = asyncio.new_event_loop()
            box, api = used(closed)
            close(closed)
            where(how, box)
            assert api.closed, (where, how)
            del box, api, idle, closed
            gc.collect()

    async def while_it_runs(how):
        client = AsyncImgwireClient()
        await client.images.list()
        (here,) = client._shared.sessions._by_loop.values()
        box, api = [client], here.api
        del client, here
        if how is None:
            drop(box)
        else:
            await asyncio.to_thread(how, box)
        for _ in range(1000):
            if api.closed:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(how)

    for how in (None, drop, drop_inside_another_loop):
        asyncio.run(while_it_runs(how))
    gc.collect()
    assert open_files() == before, (before, open_files())
    print("end")
    """
    ) == (0, "end\n", "")


@pytest.mark.slow
def test_a_client_dropped_in_another_thread_is_closed_at_exit_at_the_latest(script: Script) -> None:
    assert script.run(
        DROPPED
        + """
    loops = [asyncio.new_event_loop() for _ in range(3)]
    used_ones = [used(loop) for loop in loops[:2]]
    in_another_thread(drop, used_ones[0][0])  # its loop never runs again

    def in_a_thread_that_ends():
        used_ones.append(used(loops[2]))
    ended = threading.Thread(target=in_a_thread_that_ends)
    ended.start()
    ended.join()
    drop(used_ones[2][0])  # no other thread can run this loop
    print([api.closed for _, api in used_ones])

    import atexit
    def last():
        print([api.closed for _, api in used_ones])
        for loop in loops:
            loop.close()
    """,
        first="""
    import atexit
    atexit.register(lambda: last())  # registered before the import of the package, so it runs after the package's handler
    """,
    ) == (0, "[False, False, True]\n[True, True, True]\n", "")


async def test_concurrent_first_calls_create_one_session(client: AsyncImgwireClient) -> None:
    await asyncio.gather(*(client.images.list() for _ in range(20)))
    assert len(sessions(client)) == 1


async def test_a_dropped_client_ends_its_connections_while_the_loop_runs(emulator: Emulator) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    await client.images.list()
    (here,) = sessions(client).values()
    api, files = here.api, here.uploads
    del client, here
    gc.collect()
    await soon(lambda: api.closed and files.closed)


def test_two_loops_in_two_threads_use_one_client_at_once(emulator: Emulator) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    together = threading.Barrier(2)

    async def main() -> int:
        await asyncio.to_thread(together.wait)
        pages = await asyncio.gather(*(client.images.list() for _ in range(50)))
        await asyncio.to_thread(together.wait)
        return len(pages) + 100 * len(sessions(client))

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_in_new_loop, main()) for _ in range(2)]
        assert [run.result(30) for run in runs] == [250, 250]


def test_closing_in_one_loop_lets_the_other_loop_close_its_own_session(emulator: Emulator) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    used, closed = threading.Event(), threading.Event()
    kept: list[Any] = []

    async def other() -> None:
        await client.images.list()
        kept.extend(sessions(client).values())
        used.set()
        await asyncio.to_thread(closed.wait)
        assert not kept[0].api.closed
        with pytest.raises(RuntimeError, match="the client is closed"):
            await client.images.list()

    async def closing() -> None:
        await asyncio.to_thread(used.wait)
        await client.aclose()
        closed.set()

    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(run_in_new_loop, work()) for work in (other, closing)]
        for run in runs:
            run.result(30)
    assert kept[0].api.closed
    assert kept[0].uploads.closed


def test_closing_after_the_loop_has_ended_prints_nothing(emulator: Emulator) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    asyncio.run(_list(client))
    asyncio.run(client.aclose())
    asyncio.run(client.aclose())
    assert client.closed


async def _list(client: AsyncImgwireClient) -> int:
    return len((await client.images.list()).data)


@pytest.mark.parametrize("way", ["timeout", "move_on_after", "cancel"])
async def test_cancelled_calls_release_slots_and_connections(
    client: AsyncImgwireClient, emulator: Emulator, way: str
) -> None:
    emulator.faults.add("GET", "/api/v1/images/", times=None, stall=ENDLESS)
    if way == "timeout":
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await client.images.list()
    elif way == "move_on_after":
        with anyio.move_on_after(0.05) as scope:
            await client.images.list()
        assert scope.cancel_called
    else:
        tasks = [asyncio.create_task(client.images.list()) for _ in range(50)]
        await soon(lambda: open_handlers(emulator) == 50)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        assert all(task.cancelled() for task in tasks)
    await soon(lambda: held(client) == 0)
    await soon(lambda: open_handlers(emulator) == 0)
    emulator.faults.clear()
    assert await _list(client) == 0


def test_without_an_asyncio_loop_the_error_says_what_to_do(emulator: Emulator) -> None:
    client = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)
    call = client.images.list()
    with pytest.raises(RuntimeError, match="blocking ImgwireClient in a worker thread"):
        call.send(None)


@pytest.mark.skipif(importlib.util.find_spec("trio") is None, reason="needs trio")
def test_the_advice_for_trio_works(emulator: Emulator) -> None:
    import trio  # not through anyio, because anyio 3 does not support current trio

    other = AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url)

    async def main() -> int:
        with pytest.raises(RuntimeError, match="does not run on trio"):
            await other.images.list()
        with pytest.raises(RuntimeError, match="does not run on trio"):
            await other.with_options(timeout=Timeouts(deadline=5)).images.list()
        with ImgwireClient(emulator.api_key, base_url=emulator.base_url) as client:
            return len((await trio.to_thread.run_sync(client.images.list)).data)

    assert trio.run(main) == 0
    until(lambda: open_handlers(emulator) == 0)
