"""Fork a process while a client is in use, and use the client in the child."""

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

# Seconds for a few calls in a child, also on a busy machine.
CHILD_TIMEOUT = 60.0

warnings.filterwarnings("ignore", message=".*fork.*deadlock", category=DeprecationWarning)


faulthandler.register(signal.SIGUSR1)


def fork_with_hooks() -> int:
    """Fork with `os.fork()`, which runs the hooks of Python."""
    return os.fork()


def fork_without_hooks() -> int:
    """Fork with the C library, like uWSGI, so that no hook of Python runs.

    The calling thread holds the lock of the interpreter during the fork, which is necessary.
    """
    return int(ctypes.PyDLL(None).fork())


def run_in_child(fork: Callable[[], int], work: Callable[[], None]) -> None:
    """Call `work` in a forked child. Raise if it fails or takes longer than a minute.

    Call this in a thread without an event loop.
    """
    # Wait until the thread that started this one sleeps.
    time.sleep(0.05)
    read_end, write_end = os.pipe()
    child = fork()
    if child == 0:
        code = 1
        try:
            os.write(write_end, b"1")
            work()
            code = 0
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)
    end = time.monotonic() + CHILD_TIMEOUT
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            os.close(read_end)
            os.close(write_end)
            assert os.waitstatus_to_exitcode(status) == 0, f"a child of {fork.__name__} failed"
            return
        time.sleep(0.02)
    # The child prints the stacks of its threads.
    os.kill(child, signal.SIGUSR1)
    time.sleep(0.5)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as pipe:
        if fork is fork_without_hooks and not pipe.read():
            # Another thread waited for the lock of the interpreter at that moment. In such a child CPython
            # itself hangs, before it runs any of our code.
            print("a child of a fork without hooks did not start", flush=True)
            return
    raise AssertionError(f"a child of {fork.__name__} hangs")


def use_blocking_client(blocking_client: ImgwireClient) -> None:
    """Make a few calls with the blocking client."""
    image = blocking_client.images.upload(png(2, 1), wait=True)
    blocking_client.images.retrieve(image.id)
    blocking_client.images.delete(image.id)


def use_both_clients(blocking_client: ImgwireClient, client: AsyncImgwireClient) -> None:
    """Make a few calls with both clients, the asynchronous one in a new event loop."""
    use_blocking_client(blocking_client)
    asyncio.run(client.images.list(limit=1))
