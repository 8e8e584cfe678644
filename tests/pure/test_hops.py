"""Looks at the disk that share their way into a thread: everybody gets the own answer, and nobody waits for one that hangs."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from importlib.metadata import version

import anyio
import pytest

from imgwire_async import userland
from imgwire_async.hops import Hops


def hops(threads: int = 4) -> Hops:
    return Hops(anyio.CapacityLimiter(threads))


async def test_everybody_gets_the_own_answer() -> None:
    looks = hops()

    def odd(number: int) -> int:
        if number % 2 == 0:
            raise ValueError(number)
        return number

    asked = [looks.look(lambda number=number: odd(number)) for number in range(100)]  # type: ignore[misc]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert [answer.args[0] if isinstance(answer, ValueError) else answer for answer in answers] == list(
        range(100)
    )
    assert isinstance(answers[0], ValueError)
    assert answers[1] == 1


async def test_a_look_runs_in_another_thread() -> None:
    assert await hops().look(threading.get_ident) != threading.get_ident()


async def test_one_that_hangs_holds_up_neither_those_before_nor_those_behind_it() -> None:
    looks, go = hops(), threading.Event()
    before = [looks.look(lambda: "before") for _ in range(3)]
    hanging = looks.look(lambda: go.wait(10))
    behind = [looks.look(lambda: "behind") for _ in range(30)]
    try:
        async with asyncio.timeout(5):
            assert set(await asyncio.gather(*before, *behind)) == {"before", "behind"}
        assert not hanging.done()
    finally:
        go.set()
        assert await hanging


async def test_a_look_that_nobody_waits_for_any_more_is_not_made() -> None:
    looks, go, made = hops(threads=1), threading.Event(), list[str]()
    first = looks.look(lambda: go.wait(10))
    unwanted, wanted = looks.look(lambda: made.append("unwanted")), looks.look(lambda: made.append("wanted"))
    unwanted.cancel()
    go.set()
    await asyncio.gather(first, wanted)
    assert made == ["wanted"]


async def test_no_thread_to_be_had_is_told_to_everybody() -> None:
    class Broken(Hops):
        async def _hop(self) -> None:
            raise RuntimeError("can't start new thread")

    looks = Broken(anyio.CapacityLimiter(1))
    asked = [looks.look(lambda: None) for _ in range(20)]
    for each in asked:
        with pytest.raises(RuntimeError, match="new thread"):
            async with asyncio.timeout(5):
                await each


@pytest.mark.skipif(
    version("anyio").startswith("3."), reason="anyio 3 keeps the loop itself, with its threads"
)
def test_a_loop_that_ended_is_not_kept() -> None:
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def look() -> None:
        loops.append(weakref.ref(asyncio.get_running_loop()))
        await userland.glance(int)

    asyncio.run(look())
    gc.collect()
    assert loops[0]() is None
