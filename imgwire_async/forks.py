"""Detect that this process was forked, and renew the objects that a fork breaks.

`os.register_at_fork` is not enough, because a C program may fork without calling the registered functions.
uWSGI does this by default. So code calls `check()` before it uses an object that a fork breaks. `check()`
compares the id of the process with the id that it saw last.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol


class Renewable(Protocol):
    """An object whose state a forked child cannot use, for example because it contains a lock."""

    def after_fork(self) -> None:
        """Reset the state in the child. `check` calls this method, so this method must not call `check`."""
        ...


_pid = os.getpid()
# The lock of each process, by process id. A child must not use the parent's lock, which a thread of the
# parent may hold at the moment of the fork. Locks are reentrant, because a signal handler may call `check`
# while its thread runs `_renew`.
_locks: dict[int, threading.RLock] = {}
_functions: list[Callable[[], object]] = []
_objects: weakref.WeakSet[Renewable] = weakref.WeakSet()
_immortal_objects: list[object] = []


def run_in_child(function: Callable[[], object]) -> None:
    """Register a function that runs once in each forked child, at the first `check` in that child."""
    _functions.append(function)


def renew_in_child(renewable: Renewable) -> None:
    """Register an object whose `after_fork()` runs once in each forked child, while the object exists."""
    _objects.add(renewable)


def check() -> None:
    """Renew the registered objects if this process is a new child.

    In any other process this function is cheap: it only reads the process id.
    """
    if os.getpid() != _pid:
        _renew()


def _renew() -> None:
    global _pid  # noqa: PLW0603  # one per process
    pid = os.getpid()
    with _locks.setdefault(pid, threading.RLock()):
        if pid == _pid:
            # Another thread of the child has renewed the objects while this thread waited for the lock.
            return
        for function in _functions:
            function()
        for renewable in list(_objects):
            renewable.after_fork()
        _pid = pid


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=check)


def make_immortal(instance: object) -> None:
    """Keep an object alive until the process ends, so that its finalizer never runs.

    A forked child shares sockets and the epoll set with its parent. A finalizer that closed them in the child
    would break them in the parent. The interpreter does not finalize the object at exit either.
    """
    increment = _reference_incrementer()
    if increment is None:
        _immortal_objects.append(instance)
    else:
        increment(instance)


@functools.cache
def _reference_incrementer() -> Callable[[object], object] | None:
    """Return a function that increments the reference count of an object, or None on PyPy.

    PyPy has no reference counts. It does not finalize objects at exit, so a reference is enough there.
    """
    try:
        import ctypes

        increment = ctypes.pythonapi.Py_IncRef
    except (ImportError, AttributeError):
        return None
    return lambda instance: increment(ctypes.py_object(instance))
