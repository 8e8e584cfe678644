"""Ctrl-C during a batch run: the first one stops the run in order, and the second one ends it at once.

This holds only in the main thread, and only while SIGINT belongs to Python or to `asyncio.Runner`. A handler
of a framework or an application stays as it is.

A `Watch` belongs to one run. All watches share one signal handler, which is installed with the first of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any, TypeAlias, cast

Handler: TypeAlias = "Callable[[int, Any], Any]"

# How many seconds the uploads in progress may take after the first Ctrl-C.
LIMIT = 10.0

# The watches whose runs go on, and the handler that SIGINT had before. Only the main thread installs and
# removes the handler.
_watches: list[Watch] = []
_former: Handler | None = None


class Watch:
    """Stops one run at the first Ctrl-C, and passes the Ctrl-C on when the run has ended.

    `stop` asks the run to end. It is called inside a signal handler, so it must return at once. `loop` is the
    event loop of the run. `limit` is the time in seconds after which the run is interrupted.

    The thread that reads the results calls `begin`, `end` and `deliver`.
    """

    def __init__(
        self, stop: Callable[[], object], loop: asyncio.AbstractEventLoop, *, limit: float = LIMIT
    ) -> None:
        self._stop = stop
        self._loop = loop
        self._limit = limit
        self._pid = os.getpid()
        self._timer: asyncio.TimerHandle | None = None
        # Whether Ctrl-C has stopped the run, and whether the former handler has been called for it.
        self.is_pressed: bool = False
        self._is_delivered = False

    @property
    def is_of_this_process(self) -> bool:
        """Whether the run is one of this process. A forked child has the handler and no run."""
        return self._pid == os.getpid()

    def begin(self) -> None:
        """Install the signal handler. Do nothing in another thread, or if SIGINT has a handler of its own."""
        if threading.current_thread() is threading.main_thread() and _install():
            _watches.append(self)

    def end(self) -> None:
        """Remove the signal handler, if no other run needs it. Idempotent."""
        if self not in _watches:
            return
        _watches.remove(self)
        if self.is_pressed and any(watch.is_pressed for watch in _watches):
            # The run that ends last passes the Ctrl-C on. Otherwise it would be interrupted.
            self._is_delivered = True
        # A closed loop has no timers.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._cancel_timer)
        if not _watches:
            _restore()

    def deliver(self) -> None:
        """Call the former handler if Ctrl-C has stopped the run, after `end`.

        That handler raises `KeyboardInterrupt`, or cancels the main task of `asyncio.run`.
        """
        if self.is_pressed and not self._is_delivered:
            self._is_delivered = True
            _call_former(None)

    def on_first(self) -> None:
        """Stop the run. Called in the signal handler."""
        self.is_pressed = True
        self._stop()
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._begin_limit)

    def on_second(self) -> None:
        """Note that the former handler is called now."""
        self._is_delivered = True

    # --- on the event loop ----------------------------------------------------------------------------------

    def _begin_limit(self) -> None:
        # A signal handler must not write: it may have interrupted a write to the same stream.
        if sys.stderr is not None:  # pyright: ignore[reportUnnecessaryComparison]  # None without a console
            sys.stderr.write(
                f"Interrupted: no new file is begun, and the uploads in progress end within {self._limit:g} s. Run the same "
                "program again to go on. Press Ctrl-C again to end at once.\n"
            )
            sys.stderr.flush()
        self._timer = self._loop.call_later(self._limit, self._expire)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _expire(self) -> None:
        """Act as if the user had pressed Ctrl-C again."""
        if self in _watches and not self._is_delivered:
            _interrupt_main_thread()


def _on_sigint(signum: int, frame: Any) -> None:
    """Stop the runs of this process, or call the former handler."""
    own = [watch for watch in _watches if watch.is_of_this_process]
    if own and not any(watch.is_pressed for watch in own):
        for watch in own:
            watch.on_first()
        return
    for watch in own:
        watch.on_second()
    _call_former(frame, signum)


def _call_former(frame: Any, signum: int = signal.SIGINT) -> None:
    if _former is not None:
        _former(signum, frame)


def _install() -> bool:
    """Install the signal handler. Return False if SIGINT has a handler that is not Python's or asyncio's."""
    global _former  # noqa: PLW0603  # one handler per process
    current = signal.getsignal(signal.SIGINT)
    if current is _on_sigint:
        return True
    if current is not signal.default_int_handler and _main_task_of(current) is None:
        return False
    _former = current  # type: ignore[assignment]  # one of two functions, see above
    try:
        signal.signal(signal.SIGINT, _on_sigint)
    except ValueError:
        # A subinterpreter, as in mod_wsgi, has no signals.
        return False
    return True


def _restore() -> None:
    """Install the former handler again, unless other code has replaced ours meanwhile."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread may do so. Until then our handler calls the former one.
        return
    if signal.getsignal(signal.SIGINT) is not _on_sigint:
        return
    main_task = _main_task_of(_former)
    # When `asyncio.Runner` ended before the run, it would have installed Python's handler.
    is_over = main_task is not None and main_task.done()
    signal.signal(signal.SIGINT, signal.default_int_handler if is_over else _former)


def _main_task_of(handler: object) -> asyncio.Task[Any] | None:
    """Return the task that a handler of `asyncio.Runner` cancels. None for any other handler."""
    if isinstance(handler, functools.partial):
        method: object = handler.func  # pyright: ignore[reportUnknownMemberType]  # a partial of any function
        if isinstance(getattr(method, "__self__", None), asyncio.Runner):
            # The handler of Python 3.11 and later, `Runner._on_sigint`.
            return cast("asyncio.Task[Any] | None", handler.keywords.get("main_task"))
    return None


def _interrupt_main_thread() -> None:
    """Run the handler of SIGINT in the main thread soon, also if that thread waits for a lock."""
    identifier = threading.main_thread().ident
    if hasattr(signal, "pthread_kill") and identifier is not None:
        signal.pthread_kill(identifier, signal.SIGINT)
    else:
        import _thread

        _thread.interrupt_main()
