"""Quick looks at the disk that share their way into a worker thread.

A hop into a thread and back costs about as much as sending a small file does. So looks that come while others are under way
wait for the next hop, and go together: many uploads at once need few hops, a single one is not delayed. One look that hangs,
on a network drive perhaps, holds nobody up for longer than a moment.
"""

from __future__ import annotations

import abc
import asyncio
import functools
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

from imgwire_async.threads import ThreadPool, seen

TOGETHER = 16  # looks per hop; more leave too few on their way elsewhere
_A_MOMENT = 0.005  # seconds; looks take a tenth of that, as long as a disk behaves
_LONGEST = 0.1  # seconds between two looks at a thread that hangs

# Rounds of the loop that a hop waits for each further passenger that the last one had. A busy loop frees about one upload in two
# rounds; an idle one makes a round in some microseconds.
_ROUNDS = 3


class _Then(NamedTuple):
    """What becomes of what was seen: the answer that waits for it, and what is called with it before, or instead."""

    answer: asyncio.Future[Any]
    finish: Callable[[Any], Any] | None
    late: Callable[[Any], object] | None


_Look = tuple[_Then, Callable[[], Any]]
_Sight = tuple[_Then, Any, BaseException | None]


class Gathering(abc.ABC):
    """Decides when a hop leaves: at once for who comes alone, a little later where many come one after the other.

    It counts in rounds of the loop: whoever is expected comes in one of the next, and a loop that has nothing else to do is
    through them at once. Nobody waits for longer than a moment, though.
    """

    patience: float = _A_MOMENT

    def __init__(self) -> None:
        self._took = 1  # passengers of the last hop
        self._gathering = False

    @abc.abstractmethod
    def _waiting_now(self) -> int:
        """How many want to go."""

    @abc.abstractmethod
    def _go(self) -> None:
        """Begin a hop."""

    def _gather(self) -> None:
        """Somebody waits, and no hop is under way."""
        if not self._gathering:
            self._gathering = True
            loop = asyncio.get_running_loop()
            self._await_others(_ROUNDS * (self._took - 1), loop.time() + self.patience, loop)

    def _await_others(self, rounds: int, latest: float, loop: asyncio.AbstractEventLoop) -> None:
        waiting = self._waiting_now()
        if rounds > 0 and waiting < TOGETHER and loop.time() < latest:
            loop.call_soon(self._await_others, rounds - 1, latest, loop)
            return
        self._gathering = False
        self._took = max(1, min(waiting, TOGETHER))
        if waiting:  # else somebody was in a hurry and took them all
            self._go()


class Hops(Gathering):
    """Takes looks on one loop and makes them in the threads of `pool`, as many hops at once as that has places."""

    def __init__(self, pool: ThreadPool) -> None:
        super().__init__()
        self._pool = pool
        # Both ends of these are atomic, so loop and threads may use them without a lock.
        self._asked: deque[_Look] = deque()
        self._seen: deque[_Sight] = deque()
        self._under_way: set[asyncio.Future[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._pause = _A_MOMENT

    def look(
        self,
        function: Callable[[], Any],
        finish: Callable[[Any], Any] | None = None,
        late: Callable[[Any], object] | None = None,
    ) -> asyncio.Future[Any]:
        """What `function` returns or raises, run in a thread soon, and what `finish` makes of it on the loop.

        When nobody waits any more, what was seen is given to `late`, in a thread; without one it is dropped at once.
        """
        loop = asyncio.get_running_loop()  # not kept: who keeps this one would keep the loop for good
        answer: asyncio.Future[Any] = loop.create_future()
        self._asked.append((_Then(answer, finish, late), function))
        if not self._under_way:
            self._gather()
        elif self._timer is None or self._pause > _A_MOMENT:
            self._wait(_A_MOMENT)
        return answer

    def _waiting_now(self) -> int:
        if not self._under_way:  # else a thread takes from the same end
            while self._asked and self._asked[0][0].answer.cancelled():
                self._asked.popleft()
        return len(self._asked)

    def _go(self) -> None:
        # No task: who cancels all tasks of the loop must not take away what others wait for.
        hop = self._pool.submit(self._look_around)
        self._under_way.add(hop)
        hop.add_done_callback(self._back)

    def _back(self, hop: asyncio.Future[None]) -> None:
        self._under_way.discard(hop)
        self._tell()
        if self._timer is not None and not self._asked and not self._under_way:
            self._timer.cancel()
            self._timer = None
        if (trouble := hop.exception()) is not None:  # no thread could be had
            self._seen.extend((then, None, trouble) for then, _ in self._asked)
            self._asked.clear()
            self._tell()
        elif not self._under_way and self._waiting_now():
            self._gather()

    def forget(self) -> None:
        """Drop all that waits here, as the loop ends: it would keep the loop."""
        self._asked.clear()
        self._seen.clear()
        self._under_way.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._pause = seconds
        self._timer = asyncio.get_running_loop().call_later(seconds, self._hurry)

    def _hurry(self) -> None:
        """Some wait longer than a look takes: a thread hangs, or has much to do. Tell what it has seen, and send another."""
        self._timer = None
        idle = not self._asked and not self._seen
        self._tell()
        if self._asked and self._pool.has_place:
            self._go()
        if self._under_way:  # one that hangs for long shall not wake the loop all the time
            self._wait(min(2 * self._pause, _LONGEST) if idle else _A_MOMENT)

    def _tell(self) -> None:
        while self._seen:
            (answer, finish, late), value, error = self._seen.popleft()
            if answer.done():  # who asked was cancelled
                if late is not None and error is None:
                    self._pool.submit(functools.partial(late, value)).add_done_callback(seen)
                continue
            if finish is not None and error is None:
                try:
                    value = finish(value)
                except Exception as trouble:  # noqa: BLE001  # for whoever asked
                    error = trouble
            if error is None:
                answer.set_result(value)
            else:
                answer.set_exception(error)

    def _look_around(self) -> None:
        """In a worker thread."""
        for _ in range(TOGETHER):
            try:
                then, function = self._asked.popleft()
            except IndexError:
                return
            if then.answer.cancelled():
                continue
            try:
                self._seen.append((then, function(), None))
            except Exception as error:  # noqa: BLE001  # for whoever asked
                self._seen.append((then, None, error))
