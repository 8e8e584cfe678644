"""The API key: a text, or a callable that is asked on first use and again after a 401."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable

from imgwire_async import forks, threads, userland
from imgwire_async.settings import KeySource, clean_key


class Keys:
    """The key that is in use. Callers of one loop that need a new one share one question.

    Work of a caller in another thread who looks away just now, between two steps of an iterator, asks for itself: its question
    may wait long for an answer, and nobody else shall wait with it.
    """

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._asking: dict[object, asyncio.Task[str]] = {}
        self.known: str | None = source if isinstance(source, str) else None
        forks.renew_after_fork(self)

    @property
    def renewable(self) -> bool:
        """Whether asking again may give another key."""
        return not isinstance(self._source, str)

    def forget(self, stale: str) -> None:
        """Let the next call ask anew, unless somebody has a newer key already."""
        if self.renewable and self.known == stale:
            self.known = None

    async def get(self) -> str:
        """The key, asked for if it is not known. What the callable raises passes unchanged."""
        while self.known is None:
            loop = asyncio.get_running_loop()
            place = (loop, userland.absent())
            task = self._asking.get(place)
            if task is None:
                # At once: what is asked while the caller listens is answered for sure, a moment later it may look away.
                task = loop.create_task(self._ask(userland.asked(self._question)))
                self._asking[place] = task
                task.add_done_callback(functools.partial(self._answered, place))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if not userland.was_cancelled_elsewhere(task):
                    raise
                # The one who had asked left, and took the question along: ask again.
        return self.known

    def after_fork(self) -> None:
        """In a forked child: what was asked in the parent is answered there."""
        if self._asking:
            forks.keep_for_good(self._asking)  # the tasks belong to the parent's loops
            self._asking = {}

    def _answered(self, place: object, task: asyncio.Task[str]) -> None:
        self._asking.pop(place, None)
        threads.seen(task)  # also when the one who had asked is gone

    async def _ask(self, answer_to_come: asyncio.Future[str | Awaitable[str]] | None) -> str:
        self.known = key = clean_key(await userland.answer(self._question, answer_to_come))
        return key

    def _question(self) -> str | Awaitable[str]:
        if self.known is not None:  # somebody else was told while this question waited
            return self.known
        assert not isinstance(self._source, str)
        return self._source()
