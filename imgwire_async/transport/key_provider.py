"""The API key: a fixed text, or a callable that is called on first use and again after a 401."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable

from imgwire_async import cancellation, forks, threads, user_code
from imgwire_async.settings import KeySource, checked_key


class KeyProvider:
    """Provides the current API key.

    API calls of one event loop that need a new key share one call of the key callable.

    With the blocking client the callable runs in the caller's thread. While that thread runs other code, for
    example between two steps of an iterator, the API calls of that caller fetch the key separately. So other
    API calls do not wait for that thread.
    """

    def __init__(self, source: KeySource) -> None:
        self._source = source
        self._pending: dict[object, asyncio.Task[str]] = {}
        self.cached: str | None = source if isinstance(source, str) else None
        forks.renew_in_child(self)

    @property
    def renewable(self) -> bool:
        """Whether the key comes from a callable, which may return a new one."""
        return not isinstance(self._source, str)

    def invalidate(self, rejected: str) -> None:
        """Let the next API call fetch a new key, unless the `rejected` key was replaced already."""
        if self.renewable and self.cached == rejected:
            self.cached = None

    async def get(self) -> str:
        """Return the key.

        If it is not cached, call the key callable, whose exceptions are raised unchanged.
        """
        while self.cached is None:
            loop = asyncio.get_running_loop()
            owner = (loop, user_code.busy_caller())
            task = self._pending.get(owner)
            if task is None:
                # Submit the function at once, while the caller's thread may still wait. Later it may be busy.
                task = loop.create_task(self._fetch(user_code.submit_to_caller(self._call_source)))
                self._pending[owner] = task
                task.add_done_callback(functools.partial(self._on_done, owner))
            try:
                return await asyncio.shield(task)
            except asyncio.CancelledError:
                if not cancellation.was_cancelled_elsewhere(task):
                    raise
                # The task was cancelled together with the call that started it: start a new task.
        return self.cached

    def after_fork(self) -> None:
        """Forget the parent's pending tasks in a forked child."""
        if self._pending:
            # The tasks belong to the parent's event loops.
            forks.make_immortal(self._pending)
            self._pending = {}

    def _on_done(self, owner: object, task: asyncio.Task[str]) -> None:
        self._pending.pop(owner, None)
        # All waiting calls may have been cancelled, so that no other code retrieves the exception.
        threads.consume_exception(task)

    async def _fetch(self, submitted: asyncio.Future[str | Awaitable[str]] | None) -> str:
        self.cached = key = checked_key(await user_code.call_maybe_async(self._call_source, submitted))
        return key

    def _call_source(self) -> str | Awaitable[str]:
        # Another task may have fetched a key while this function waited for the caller's thread.
        if self.cached is not None:
            return self.cached
        assert not isinstance(self._source, str)
        return self._source()
