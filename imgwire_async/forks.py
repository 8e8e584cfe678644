"""Detect that this process was forked, and renew the objects that a fork breaks.

A C program that forks, as uWSGI does by default, does not run the hooks of `os.register_at_fork`. So code
calls `check()` before it uses an object that a fork breaks. `check()` compares the process id with the last
known one.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol


class Renewable(Protocol):
    """An object with state, such as a lock, that a forked child cannot use."""

    def after_fork(self) -> None:
        """Reset the state. Called in the child before other code uses the object; must not call `check`."""
        ...


_pid = os.getpid()
# By process id, because a thread of the parent may hold the parent's lock at the moment of the fork.
# Reentrant, because a signal handler may call `check` while the same thread runs `_renew`.
_locks: dict[int, threading.RLock] = {}
_functions: list[Callable[[], object]] = []
_objects: weakref.WeakSet[Renewable] = weakref.WeakSet()
_immortal: list[object] = []


def run_in_child(function: Callable[[], object]) -> None:
    """Register a function that runs once in each forked child, in the first call of `check` there."""
    _functions.append(function)


def renew_in_child(renewable: Renewable) -> None:
    """Register an object whose `after_fork()` runs once in each forked child. The reference is weak."""
    _objects.add(renewable)


def check() -> None:
    """Renew the registered objects if this process is a new child.

    Otherwise this only reads the process id.
    """
    if os.getpid() != _pid:
        _renew()


def _renew() -> None:
    global _pid  # noqa: PLW0603  # one per process
    pid = os.getpid()
    with _locks.setdefault(pid, threading.RLock()):
        if pid == _pid:
            # Another thread of the child has done it.
            return
        for function in _functions:
            function()
        for renewable in list(_objects):
            renewable.after_fork()
        _pid = pid


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=check)


def make_immortal(instance: object) -> None:
    """Keep an object alive until the process ends, also during the shutdown of the interpreter.

    A forked child shares sockets and the epoll set with its parent. A finalizer that closed them in the child
    would break them in the parent.
    """
    increment = _reference_incrementer()
    if increment is None:
        _immortal.append(instance)
    else:
        increment(instance)


@functools.cache
def _reference_incrementer() -> Callable[[object], object] | None:
    """Return a function that increments the reference count of an object, or None on PyPy.

    PyPy has no reference counts, and it does not collect objects when it shuts down.
    """
    try:
        import ctypes

        increment = ctypes.pythonapi.Py_IncRef
    except (ImportError, AttributeError):
        return None
    return lambda instance: increment(ctypes.py_object(instance))
