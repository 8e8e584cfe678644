"""Notices that this process was forked, also by a fork that Python does not see.

A C library that forks, as uWSGI does by default, runs no `os.register_at_fork` hook. So whatever a fork breaks is used only
after `check()`, which compares the process id with the one it knows.
"""

from __future__ import annotations

import functools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol


class Renewable(Protocol):
    """An object with a lock or a table that a forked child cannot use."""

    def after_fork(self) -> None:
        """Begin anew. Runs in the child, before anything else uses the object there; must not call `check`."""
        ...


_pid = os.getpid()
# By process id, for the parent's may be held for ever. A signal handler may come in the midst, so the same thread may come twice.
_locks: dict[int, threading.RLock] = {}
_functions: list[Callable[[], object]] = []
_objects: weakref.WeakSet[Renewable] = weakref.WeakSet()
_immortal: list[object] = []


def run_in_child(function: Callable[[], object]) -> None:
    """Run a function once in each forked child, before anything there is used."""
    _functions.append(function)


def renew_in_child(thing: Renewable) -> None:
    """Call `thing.after_fork()` once in each forked child, as long as the object lives."""
    _objects.add(thing)


def check() -> None:
    """In a forked child, renew what the fork broke. Costs a look at the process id."""
    if os.getpid() != _pid:
        _renew()


def _renew() -> None:
    global _pid  # noqa: PLW0603  # a process has one
    pid = os.getpid()
    with _locks.setdefault(pid, threading.RLock()):
        if pid == _pid:  # another thread of the child came first
            return
        for function in _functions:
            function()
        for thing in list(_objects):
            thing.after_fork()
        _pid = pid


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=check)


def make_immortal(thing: object) -> None:
    """Never let an object be collected, not even at the end of the interpreter.

    A child shares sockets and an epoll set with its parent: what closes them in the child would break them in the parent.
    """
    pin = _pin()
    if pin is None:
        _immortal.append(thing)
    else:
        pin(thing)


@functools.cache
def _pin() -> Callable[[object], object] | None:
    """Gives an object one reference too many; None on PyPy, which has no such thing and collects nothing at its end."""
    try:
        import ctypes

        increment = ctypes.pythonapi.Py_IncRef
    except (ImportError, AttributeError):
        return None
    return lambda thing: increment(ctypes.py_object(thing))
