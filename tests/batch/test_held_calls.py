"""Requests wait while the service is not available, instead of failing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from recording import in_no_time, now

from imgwire_async import APIConnectionError, NotFoundError, RateLimitError, ServerError
from imgwire_async.batch.held_calls import HeldCalls, run_for_all, run_until
from imgwire_async.batch_errors import BatchError


def down() -> APIConnectionError:
    return APIConnectionError("no connection")


def limited() -> RateLimitError:
    return RateLimitError("429", status=429)


def broken() -> ServerError:
    return ServerError("500", status=500)


class Server:
    """A service that fails until a time, and afterwards responds."""

    def __init__(self, error: Callable[[], Exception], until: float) -> None:
        self.requests: list[float] = []
        self.held: list[str | None] = []
        self._error = error
        self._until = now() + until
        self.calls: HeldCalls = HeldCalls(self.send, self.held.append)

    async def send(self) -> str:
        self.requests.append(now())
        await asyncio.sleep(0.01)
        if now() < self._until:
            raise self._error()
        return "found"


@pytest.mark.parametrize(
    ("error", "reason"), [(down, "no connection"), (limited, "rate limit"), (broken, "server error")]
)
def test_an_outage_of_two_hours_is_survived(error: Callable[[], Exception], reason: str) -> None:
    async def work() -> None:
        server = Server(error, until=2 * 3600)
        assert await server.calls.run(server.send) == "found"
        assert server.held == [reason, None]
        # One probe a minute, and the check after some failures.
        assert 2 * 60 <= len(server.requests) <= 2.8 * 2 * 60

    in_no_time(work)


def test_only_one_request_at_a_time_is_sent_while_the_service_is_not_available() -> None:
    async def work() -> None:
        server = Server(down, until=3600)
        started_at = now()
        results: list[str] = []

        async def send(_: int) -> None:
            results.append(await server.calls.run(server.send))

        await run_for_all(range(50), send, 20)
        assert results == ["found"] * 50
        # The first requests of all tasks, the probes, and one request of each task after the outage.
        assert len([time for time in server.requests if started_at + 2 < time < started_at + 3600]) < 200
        # All tasks go on at once after the outage.
        assert now() - server.requests[-1] < 1
        assert server.requests[-1] - started_at < 3600 + 70
        assert server.held == ["no connection", None]

    in_no_time(work)


def test_an_error_that_is_not_transient_is_raised_at_once() -> None:
    async def missing() -> str:
        raise NotFoundError("404", status=404)

    async def work() -> None:
        server = Server(down, until=0)
        with pytest.raises(NotFoundError):
            await server.calls.run(missing)
        assert server.held == []

    in_no_time(work)


def test_a_response_after_an_outage_may_be_an_error() -> None:
    async def work() -> None:
        server = Server(down, until=100)

        async def send() -> str:
            await server.send()
            raise NotFoundError("404", status=404)

        with pytest.raises(NotFoundError):
            await server.calls.run(send)
        assert server.held == ["no connection", None]

    in_no_time(work)


def test_a_request_that_always_fails_ends_if_the_service_responds_to_others() -> None:
    async def always_broken() -> str:
        raise broken()

    async def work() -> None:
        server = Server(down, until=0)
        with pytest.raises(ServerError):
            await server.calls.run(always_broken)
        assert server.held == ["server error", None]
        assert await server.calls.run(server.send) == "found"

    in_no_time(work)


# --- tasks --------------------------------------------------------------------------------------------------


def test_the_first_error_ends_all_calls() -> None:
    ended: list[int] = []

    async def fail_at_three(number: int) -> None:
        if number == 3:
            raise KeyError(number)
        try:
            await asyncio.sleep(1_000)
        finally:
            ended.append(number)

    async def work() -> None:
        await run_for_all([], fail_at_three, 9)
        with pytest.raises(KeyError):
            await run_for_all(range(100), fail_at_three, 10)
        assert {*ended} == {*range(10)} - {3}

    in_no_time(work)


def test_work_ends_when_it_must_stop() -> None:
    async def wait(seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def fail() -> None:
        raise KeyError("x")

    async def work() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(10, stop.set)
        assert await run_until(stop, wait(5))
        assert not await run_until(stop, wait(50))
        assert not await run_until(stop, wait(50))
        assert now() < start + 11
        with pytest.raises(KeyError):
            await run_until(asyncio.Event(), fail())

    async def timed() -> None:
        nonlocal start
        start = now()
        await work()

    start = 0.0
    in_no_time(timed)


def test_tasks_that_other_code_cancels_end_the_run_with_an_error() -> None:
    async def work() -> None:
        task: asyncio.Task[Any] = asyncio.ensure_future(asyncio.sleep(100))
        asyncio.get_running_loop().call_later(1, task.cancel)

        async def wait() -> None:
            await task

        with pytest.raises(BatchError, match="other code cancelled"):
            await run_until(asyncio.Event(), wait())

    in_no_time(work)
