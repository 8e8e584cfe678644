"""The bridge when a call, a thread or an event loop ends at an unfavourable moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final

import pytest

from imgwire_async import APITimeoutError, ImgwireClient, Timeouts, _bridge, user_code
from imgwire_async.blocking import BlockingWrapper, blocking
from imgwire_async.emulator import Emulator

from .conftest import GIF, Script, until


class AsyncOdd:
    def __init__(self) -> None:
        self.cancel_second: Callable[[], object] = lambda: None

    async def run_two(self, first: Callable[[], object], second: Callable[[], object]) -> bool:
        """Run two functions in the caller, and return whether `second`, which waits, was cancelled."""
        tasks = [
            asyncio.ensure_future(user_code.run_callback(first)),
            asyncio.ensure_future(user_code.run_callback(second)),
        ]
        self.cancel_second = tasks[1].cancel
        await asyncio.wait(tasks)
        return tasks[1].cancelled()

    async def stubborn(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            yield 2

    async def slow_to_end(self) -> AsyncGenerator[int, None]:
        try:
            yield 1
        finally:
            self.may_end = asyncio.Event()
            await self.may_end.wait()


class Odd(BlockingWrapper):
    run_two: Final = blocking(AsyncOdd.run_two)
    stubborn: Final = blocking(AsyncOdd.stubborn)


def on_the_loop(function: Callable[[], object]) -> None:
    """Run a function in the loop thread, and return after it."""
    done = threading.Event()
    _bridge.loop_thread().post(lambda: (function(), done.set()))
    assert done.wait(10)


def test_user_code_is_not_run_when_its_call_was_cancelled() -> None:
    source = AsyncOdd()
    ran: list[int] = []
    assert Odd(source).run_two(lambda: on_the_loop(source.cancel_second), lambda: ran.append(2))
    assert ran == []


def test_a_result_of_user_code_is_dropped_after_its_call_has_ended(client: ImgwireClient) -> None:
    # The deadline passes while the callback runs. Its result comes too late, and the call raises its own
    # error.
    idle = _bridge.loop_thread()
    impatient = client.with_options(timeout=Timeouts(deadline=0.2))
    with pytest.raises(APITimeoutError):
        impatient.images.upload(GIF, file_name="dot.gif", on_created=lambda _: until(lambda: not idle.tasks))
    assert client.images.upload(GIF, file_name="dot.gif").original_filename == "dot.gif"


def test_a_generator_that_will_not_end_is_an_error_of_close() -> None:
    numbers = Odd(AsyncOdd()).stubborn()
    next(numbers)
    with pytest.raises(RuntimeError, match="GeneratorExit"):
        numbers.close()


def test_a_generator_that_its_loop_is_closing_already_is_left_to_it() -> None:
    odd = AsyncOdd()
    source = odd.slow_to_end()
    numbers = _bridge.iterate(source)
    next(numbers)
    closing: list[Any] = []
    on_the_loop(lambda: closing.append(asyncio.ensure_future(source.aclose())))  # type: ignore[arg-type]
    until(lambda: hasattr(odd, "may_end"))
    numbers.close()
    on_the_loop(odd.may_end.set)
    until(lambda: closing[0].done())


@pytest.mark.long
def test_a_loop_thread_that_ended_is_replaced_and_its_callers_get_an_error(script: Script) -> None:
    assert script.run("""
        import asyncio
        from imgwire_async import _bridge
        client = ImgwireClient()
        before = _bridge.loop_thread()

        def call():
            try:
                _bridge.call(asyncio.sleep, 3600)
            except RuntimeError as error:
                print(error)

        def end():
            raise SystemExit  # ends an event loop from inside, as only Ctrl-C does besides

        thread = threading.Thread(target=call)
        thread.start()
        while not before.tasks:
            time.sleep(0.005)
        before.post(end)
        thread.join()
        while _bridge.process.thread is before:
            time.sleep(0.005)
        print(len(client.images.list().data), _bridge.loop_thread() is before)
    """) == (0, "the call was cancelled: the loop thread has ended\n0 False\n", "")


def test_an_iterator_whose_event_loop_has_ended_can_be_closed(client: ImgwireClient) -> None:
    client.images.create(file_name="a.gif")
    pages = client.images.list_pages(limit=1)
    next(pages)
    thread = _bridge.loop_thread()
    thread.stop()
    until(lambda: _bridge.process.thread is None)
    pages.close()
    assert len(client.images.list().data) == 1


@pytest.mark.slow
def test_a_thread_that_cannot_start_raises_in_the_caller_and_may_be_retried(script: Script) -> None:
    assert script.run("""
        client = ImgwireClient()
        threading.stack_size(1 << 45)
        try:
            client.images.list()
        except RuntimeError as error:
            print(error)
        threading.stack_size(0)
        print(client.images.list().data)
    """) == (0, "can't start new thread\n[]\n", "")


@pytest.mark.slow
def test_a_signal_handler_may_call_the_client_at_any_point(script: Script) -> None:
    # Also while the loop thread starts, and while a call is passed to it.
    assert script.run("""
        from imgwire_async import _bridge
        client = ImgwireClient()
        client.images.list()
        inside, calls = [], []

        def handler(*_):
            if not inside:
                inside.append(True)
                calls.append(client.images.list())
                inside.clear()

        signal.signal(signal.SIGALRM, handler)
        for delay in range(1, 40):
            signal.setitimer(signal.ITIMER_REAL, 0)
            if delay % 4 == 0:
                _bridge.loop_thread().stop()
                while _bridge.process.thread is not None:
                    time.sleep(0.001)
            signal.setitimer(signal.ITIMER_REAL, delay / 20_000)
            client.images.list()
        time.sleep(0.01)
        print(len(calls) > 10, [thread.name for thread in threading.enumerate()].count("imgwire-async"))
    """) == (0, "True 1\n", "")


@pytest.mark.long
def test_an_event_loop_that_cannot_start_raises_in_the_caller_and_may_be_retried(script: Script) -> None:
    assert script.run("""
        import resource
        import imgwire_async.transport.transport  # opens files, so it must be imported before
        client = ImgwireClient()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            client.images.list()
        except OSError as error:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            print(error.strerror, len(client.images.list().data))
    """) == (0, "Too many open files 0\n", "")


@pytest.mark.long
def test_a_call_that_is_interrupted_before_its_start_sends_nothing(
    script: Script, emulator: Emulator
) -> None:
    assert script.run("""
        from imgwire_async import _bridge
        client = ImgwireClient()
        client.images.list()
        busy, free = threading.Event(), threading.Event()
        _bridge.loop_thread().post(lambda: (busy.set(), free.wait()))
        busy.wait()
        waiting = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))  # like Ctrl-C
        waiting.start()
        try:
            client.images.create(file_name="never.gif")
        except KeyboardInterrupt:
            free.set()
            waiting.join()
            print(len(client.images.list().data))
    """) == (0, "0\n", "")
    assert [request.method for request in emulator.requests] == ["GET", "GET"]


@pytest.mark.long
def test_ctrl_c_while_a_call_is_passed_to_the_loop_leaves_no_thread_waiting(script: Script) -> None:
    # At that moment a second thread calls, and relies on the wake-up that the first thread is about to send.
    assert script.run("""
        import asyncio, itertools
        from imgwire_async import _bridge
        client = ImgwireClient()
        client.images.list()
        loop = _bridge.loop_thread()
        hand_over = {loop.post, loop.loop.call_soon_threadsafe, loop.loop._write_to_self}
        hand_over = {function.__func__.__code__ for function in hand_over}
        other = threading.Event()

        class Strike:
            def __init__(self, at):
                self.left = at

            def __call__(self, frame, event, arg):
                if frame.f_code not in hand_over:
                    return None
                if event == "line":
                    self.left -= 1
                    if not self.left:
                        sys.settrace(None)
                        beside = threading.Thread(target=loop.post, args=(other.set,))
                        beside.start()
                        beside.join()
                        raise KeyboardInterrupt
                return self

        def interrupted(at):
            other.clear()
            sys.settrace(Strike(at))
            try:
                client.images.list()
            except KeyboardInterrupt:
                return True
            finally:
                sys.settrace(None)
            return False

        for at in itertools.count(1):
            if not interrupted(at):
                break
            if not other.wait(5):
                print("the loop sleeps after an interrupt at point", at)
                os._exit(1)
            client.images.list()
        print("over", at > 10)
    """) == (0, "over True\n", "")


def test_functions_posted_by_many_threads_run_once_in_the_order_of_each_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop, ran, done = _bridge.loop_thread(), list[tuple[int, int]](), threading.Event()

    def work(thread: int, number: int) -> None:
        ran.append((thread, number))
        if len(ran) == 8 * 200:
            done.set()
        if number % 50 == 0:
            raise ValueError("one of many")

    def post(thread: int) -> None:
        for number in range(200):
            assert loop.post(work, thread, number)

    threads = [threading.Thread(target=post, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done.wait(10)
    for thread in range(8):
        assert [number for found, number in ran if found == thread] == list(range(200))
    assert sum("failed in" in record.message for record in caplog.records) == 8 * 4
