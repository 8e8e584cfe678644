"""The files of a run whose bytes are stored, and whose images are not READY yet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from imgwire_async.batch.items import Entry
from imgwire_async.batch.run_work import Work
from imgwire_async.batch.wait_list import WaitList
from imgwire_async.models import Image

# Seconds to wait for a picture that the service fetches, in a batch that does not wait for others.
_TIMEOUT = 120.0


class Waits:
    """The files that wait for their images. They belong to the event loop of the run.

    With `timeout` all files wait for so many seconds. With None only pictures that the service fetches wait.
    """

    def __init__(
        self, retrieve: Callable[[str], Awaitable[Image]], *, timeout: float | None, max_checks: int
    ) -> None:
        self.timeout: float = _TIMEOUT if timeout is None else timeout
        self._all_wait = timeout is not None
        self._images: WaitList[Work] = WaitList(retrieve, timeout=self.timeout, max_checks=max_checks)
        self._works: set[Work] = set()

    def __len__(self) -> int:
        """Return the number of files that wait."""
        return len(self._works)

    def applies_to(self, entry: Entry) -> bool:
        """Return whether a file waits for its image."""
        return self._all_wait or ((remote := entry.remote) is not None and remote.wait)

    @property
    def is_full(self) -> bool:
        """Whether so many files wait that the run should pause."""
        return self._images.is_full

    async def wait_for_room(self) -> None:
        """Wait until `is_full` is false."""
        await self._images.wait_until_room()

    def add(self, work: Work, *, check_now: bool = False) -> None:
        """Wait for the image of a file. With `check_now` its bytes were stored some time ago."""
        assert work.row.image_id is not None
        # The content of the file is no longer needed.
        work.upload = None
        self._works.add(work)
        self._images.add(work.row.image_id, work, check_now=check_now)

    async def next(self) -> tuple[Work, Image | Exception]:
        """Return a file with its image, which is READY, or with the error of the wait."""
        while True:
            work, outcome = await self._images.next()
            # `take_all` may have returned the file before.
            if work in self._works:
                self._works.remove(work)
                return work, outcome

    def take_all(self) -> list[Work]:
        """Return the files that still wait, and forget them."""
        works = [*self._works]
        self._works.clear()
        return works

    async def aclose(self) -> None:
        """Stop waiting."""
        await self._images.aclose()
