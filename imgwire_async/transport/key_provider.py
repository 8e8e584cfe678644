"""The API key: a fixed string, or a callable that is called on first use and again after a 401."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable

from imgwire_async import cancellation, forks, threads, user_code
from imgwire_async.settings import KeySource, checked_key


class KeyProvider:
    """Provides the current API key.

    The key is a fixed string, or comes from a callable of the user. If several API calls of one event loop
    need a new key at once, they share one call of the callable.

    With the blocking client the callable runs in the caller's thread. If that thread is busy with other code,
    for example between two steps of an iterator, the API calls of this caller and the API calls of other
    callers do not share one call of the callable. So the API calls of other callers do not have to wait for
    the busy thread.
    """

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._pending: dict[object, asyncio.Task[str]] = {}
        self.cached: str | None = source if isinstance(source, str) else None
        forks.renew_in_child(self)

    @property
    def is_renewable(self) -> bool:
        """Whether the key comes from a callable, which may return a new one."""
        return not isinstance(self._source, str)

    def invalidate(self, rejected: str) -> None:
        """Forget the `rejected` key if it is still cached, so that the next API call fetches a new key."""
        if self.is_renewable and self.cached == rejected:
            self.cached = None

    async def get(self) -> str:
        """Return the cached key, or call the user's callable to get the key.

        Exceptions of the callable are raised unchanged.
        """
        while self.cached is None:
            loop = asyncio.get_running_loop()
            owner = (loop, user_code.busy_caller())
            task = self._pending.get(owner)
            if task is None:
                # Submit `_call_source` to the caller's thread now, and not in the new task. Now the thread
                # may still be waiting for a function to run. When the task starts, the thread may be busy
                # with other code.
                task = loop.create_task(self._fetch(user_code.submit_to_caller(self._call_source)))
                self._pending[owner] = task
                task.add_done_callback(functools.partial(self._on_done, owner))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if not cancellation.was_cancelled_elsewhere(task):
                    raise
                # The shared task was cancelled, for example with the caller whose thread had to run the
                # callable. This call was not cancelled, so it starts a new task.
        return self.cached

    def after_fork(self) -> None:
        """Forget the parent's pending tasks in a forked child."""
        if self._pending:
            # The tasks belong to the parent's event loops, so their finalizers must not run here.
            forks.make_immortal(self._pending)
            self._pending = {}

    def _on_done(self, owner: object, task: asyncio.Task[str]) -> None:
        self._pending.pop(owner, None)
        # If all waiting calls were cancelled, no other code retrieves the exception, and asyncio would log
        # it.
        threads.consume_exception(task)

    async def _fetch(self, submitted: asyncio.Future[str | Awaitable[str]] | None) -> str:
        self.cached = key = checked_key(await user_code.call_maybe_async(self._call_source, submitted))
        return key

    def _call_source(self) -> str | Awaitable[str]:
        # This function may have waited for a busy caller's thread. Another task may have fetched a key since
        # then.
        if self.cached is not None:
            return self.cached
        assert not isinstance(self._source, str)
        return self._source()
