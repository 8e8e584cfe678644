"""Processes that are forked off while a client is at work, and what they can still do with it."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable

from wire.pictures import png

from imgwire_async import AsyncImgwireClient, ImgwireClient

PATIENCE = 60.0  # seconds for a child that makes a few calls, however busy the machine is

warnings.filterwarnings("ignore", message=".*fork.*deadlock", category=DeprecationWarning)


faulthandler.register(signal.SIGUSR1)


def fork_seen() -> int:
    """`os.fork()`, which Python prepares itself and its hooks for."""
    return os.fork()


def fork_unseen() -> int:
    """The C library's fork, as uWSGI and other hosts of Python do it: no hook runs.

    The calling thread keeps the interpreter's lock, as it must.
    """
    return int(ctypes.PyDLL(None).fork())


def in_a_child(fork: Callable[[], int], work: Callable[[], None]) -> None:
    """Do `work` in a forked child, from a thread without a loop; raises when it fails, or hangs for a minute."""
    time.sleep(0.05)  # until the thread that started this one has gone to sleep
    alive, beginning = os.pipe()
    child = fork()
    if child == 0:
        code = 1
        try:
            os.write(beginning, b"1")
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            os.close(alive)
            os.close(beginning)
            assert os.waitstatus_to_exitcode(status) == 0, f"a child of {fork.__name__} failed"
            return
        time.sleep(0.02)
    os.kill(child, signal.SIGUSR1)  # it shows where it hangs
    time.sleep(0.5)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(beginning)
    with os.fdopen(alive, "rb") as begun:
        if fork is fork_unseen and not begun.read():
            # A thread asked for the interpreter at that moment: in such a child CPython itself hangs, before any line of ours.
            print("a child of an unseen fork never began", flush=True)
            return
    raise AssertionError(f"a child of {fork.__name__} hangs")


def with_the_twin(twin: ImgwireClient) -> None:
    """A few calls of the blocking client in a child."""
    image = twin.images.upload(png(2, 1), wait=True)
    twin.images.retrieve(image.id)
    twin.images.delete(image.id)


def with_both(twin: ImgwireClient, client: AsyncImgwireClient) -> None:
    """A few calls of both clients in a child, the async one in a loop of its own."""
    with_the_twin(twin)
    asyncio.run(client.images.list(limit=1))
