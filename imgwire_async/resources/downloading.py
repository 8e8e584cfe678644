"""Bytes out of the service: one picture from the CDN, or a job's archive, into memory, a stream or a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, TypeAlias

import attrs

from imgwire_async import checks, userland
from imgwire_async.atomic import PartFile, check_place, is_directory
from imgwire_async.errors import DownloadError, ImgwireError, name_closed
from imgwire_async.formatting import path_for_message, shorten_file_name, shortened
from imgwire_async.models import Image, ImageDownloadJob
from imgwire_async.protocol.request import Fetched, NoAnswerError, Transport, segment
from imgwire_async.protocol.signed_urls import is_expired
from imgwire_async.resources.arguments import Id
from imgwire_async.resources.content import Content
from imgwire_async.resources.getting import Getting, Refusal, Source
from imgwire_async.resources.waiting import packed
from imgwire_async.results import DownloadProgress

if TYPE_CHECKING:
    from imgwire_async.urls.types import Preset, Rules

OnProgress: TypeAlias = "Callable[[DownloadProgress], object]"

_BATCH = 256 * 1024  # bytes that go to the disk in one step
_SOMEWHERE = (
    "https://cdn.invalid/organization/environment/image"  # rules are tried here while the image is not known
)


@attrs.frozen
class Wanted:
    """Which picture, and how it shall look. Checked when it is made, before any request."""

    image: Image | Id
    preset: Preset | None
    rules: Rules

    def __attrs_post_init__(self) -> None:
        if isinstance(self.image, Image):
            self.url(self.image)
            return
        from imgwire_async.urls.build import build_url

        segment("image", self.image)
        build_url(_SOMEWHERE, preset=self.preset, **self.rules)

    def url(self, image: Image) -> str:
        """Its address."""
        return image.url(preset=self.preset, **self.rules)

    def __str__(self) -> str:
        return f"image {shortened(str(self.image.id if isinstance(self.image, Image) else self.image))}"


class Landing:
    """The file that a download becomes. Arguments are checked when it is made, the disk by `check`, which comes first."""

    def __init__(self, path: object, *, overwrite: object, on_progress: OnProgress | None) -> None:
        text = checks.path("path", path)
        checks.callable_("on_progress", on_progress)
        self._names_directory = os.path.basename(text) in {"", "."}  # noqa: PTH119  # a Path has forgotten how it was written
        self._path = Path(text)
        self._place = self._path
        self._overwrite = checks.flag("overwrite", overwrite)
        self._on_progress = on_progress

    def check(self) -> None:
        """Raise what stands against it on the disk: a directory, an existing file, a missing parent. Blocks."""
        if self._names_directory:
            raise is_directory(self._path)
        # The working directory may change. Links and ".." stay: behind a link the text alone would lead elsewhere.
        self._place = self._path.absolute()
        try:
            check_place(self._place, overwrite=self._overwrite)
        except OSError as error:
            shorten_file_name(error)
            raise

    def __str__(self) -> str:
        return path_for_message(str(self._path))

    @property
    def outcome(self) -> str:
        """What a failure leaves, as a sentence and a blank."""
        kept = "; the file that was there before is untouched" if self._overwrite else ""
        return f"Nothing was written to {self}{kept}. "

    async def receive(self, getting: Getting) -> Path:
        """The path, once the file is there, whole. A failure leaves nothing.

        A cancellation that comes after the file took its place leaves it there, whole.
        """
        part = PartFile(self._place, overwrite=self._overwrite)
        try:
            async with getting:
                await getting.run(partial(self._save, part))
            await userland.disk(part.publish)
        except asyncio.CancelledError:
            if not (part.published and getting.deadline_passed):
                raise
        finally:
            if part.abandon():
                await userland.tidy(part.discard)
        return self._path

    async def _save(self, part: PartFile, answer: Fetched) -> None:
        await userland.disk(part.begin)
        batch: list[bytes] = []
        written = 0
        async for piece in answer:
            batch.append(piece)
            if answer.received - written >= _BATCH:
                await userland.disk(part.write, batch)
                batch, written = [], answer.received
            await self._tell(answer)
        await userland.disk(part.write, batch)

    async def _tell(self, answer: Fetched) -> None:
        if self._on_progress is not None:
            progress = DownloadProgress(received=answer.received, total=answer.total, path=self._path)
            await userland.call(self._on_progress, progress)


class Chunks(AsyncIterator[bytes]):
    """The bytes of a picture as they come. Holds a connection, but no slot, until they end or it is closed."""

    def __init__(self, image: Image, getting: Getting, answer: Fetched, first: bytes) -> None:
        self._image = image
        self._getting = getting
        self._answer = answer
        self._first: bytes | None = first
        self._ended = False

    @property
    def begun(self) -> bool:
        """Whether some of them were given out already."""
        return self._first is None

    async def __anext__(self) -> bytes:
        if self._ended:
            raise StopAsyncIteration
        first, self._first = self._first, None
        if first is not None:
            return first
        try:
            piece = await anext(self._answer, None)
        except NoAnswerError as error:
            trouble = error
        else:
            if piece is not None:
                return piece
            self._ended = True
            await self._getting.leave()
            raise StopAsyncIteration
        with _about(self._image):
            raise self._getting.error(trouble)

    async def aclose(self) -> None:
        """End the download, at whatever point. Idempotent."""
        self._first = None
        await self._getting.leave()


class Stream(AbstractAsyncContextManager[AsyncIterator[bytes]]):
    """`async with` gives the bytes of a picture as they come; leaving it, at whatever point, ends the download.

    Nothing here outlives a step (no clock, no task, no generator), so its steps may run in different tasks.
    """

    def __init__(self, opened: Callable[[], Awaitable[Chunks]]) -> None:
        self._opened = opened
        self._entered = False
        self._chunks: Chunks | None = None

    async def __aenter__(self) -> AsyncIterator[bytes]:
        if self._entered:
            raise RuntimeError("a stream is entered once; call stream() again for another")
        self._entered = True
        self._chunks = await self._opened()
        return self._chunks

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._chunks is not None:
            await self._chunks.aclose()


@attrs.frozen(kw_only=True)
class Downloading:
    """What downloads need of the client."""

    transport: Transport
    retrieve: Callable[[Id], Awaitable[Image]]
    retrieve_job: Callable[[Id], Awaitable[ImageDownloadJob]]

    async def save(self, wanted: Wanted, landing: Landing) -> Path:
        """The path, once the picture is there."""
        async with self._operation("images.download", f"download of {wanted} to {landing}"):
            await userland.disk(landing.check)
            image = await self._known(wanted)
            with _about(image):
                source = Source(wanted.url(image), Content.PICTURE, str(wanted), landing.outcome)
                return await landing.receive(Getting(self.transport, source))

    async def read(self, wanted: Wanted, max_bytes: int) -> bytes:
        """The picture's bytes, at most so many."""

        async def collect(answer: Fetched) -> bytes:
            pieces: list[bytes] = []
            _require_fit(answer.total or 0, max_bytes, answer, wanted)
            async for piece in answer:
                _require_fit(answer.received, max_bytes, answer, wanted)
                pieces.append(piece)
            return b"".join(pieces)

        async with self._operation("images.read", f"read of {wanted}"):
            image = await self._known(wanted)
            with _about(image):
                async with self._getting(wanted, image) as getting:
                    return await getting.run(collect)

    async def opened(self, wanted: Wanted) -> Chunks:
        """The picture's bytes as they come; the first of them are there."""
        async with self._operation("images.stream", f"stream of {wanted}"):
            image = await self._known(wanted)
            getting = self._getting(wanted, image)
            with _about(image):
                try:
                    answer, first = await getting.run(_begun)
                    await getting.free_slot()  # or streams that are held would keep all else from beginning
                    return Chunks(image, getting, answer, first)
                except BaseException:
                    await getting.leave()
                    raise

    async def archive(self, job: ImageDownloadJob | Id, landing: Landing) -> Path:
        """The path, once the job's archive is there. An expired link is replaced once."""
        job_id = shortened(str(job.id if isinstance(job, ImageDownloadJob) else job))
        what = f"download of bulk download job {job_id} to {landing}"
        async with self._operation("images.download_archive", what):
            await userland.disk(landing.check)
            if not isinstance(job, ImageDownloadJob):
                job = await self.retrieve_job(job)
            source = _archive(job, landing)
            getting = Getting(self.transport, source)
            try:
                return await landing.receive(getting)
            except DownloadError:
                may_ask = self.transport.options.retries.max_retries > 0
                if not may_ask or not _is_over(source.url, getting.refusal):
                    raise
                fresh = _archive(await self.retrieve_job(job.id), landing)
                if fresh.url == source.url:  # a dead link is never used twice
                    raise
            return await landing.receive(Getting(self.transport, fresh))

    @asynccontextmanager
    async def _operation(self, name: str, what: str) -> AsyncGenerator[None, None]:
        """One operation, whose name an error of a closed client tells."""
        try:
            async with self.transport.operation(name, what):
                yield
        except RuntimeError as error:
            name_closed(error, what)
            raise

    async def _known(self, wanted: Wanted) -> Image:
        return wanted.image if isinstance(wanted.image, Image) else await self.retrieve(wanted.image)

    def _getting(self, wanted: Wanted, image: Image) -> Getting:
        return Getting(self.transport, Source(wanted.url(image), Content.PICTURE, str(wanted)))


async def _begun(answer: Fetched) -> tuple[Fetched, bytes]:
    # Until the first bytes are there, another attempt harms nobody.
    return answer, await anext(answer)


@contextmanager
def _about(image: Image) -> Generator[None, None, None]:
    """Errors tell which image they are about."""
    try:
        yield
    except ImgwireError as error:
        if error.image is None:
            error.image = image
        raise


def _require_fit(size: int, max_bytes: int, answer: Fetched, wanted: Wanted) -> None:
    if size > max_bytes:
        raise DownloadError(
            f"{wanted}: {answer.exchange}: it has {size if size == answer.total else f'at least {size}'} bytes, more than "
            f"max_bytes={max_bytes}. Allow more, or use download() or stream(), which hold little of it in memory.",
            status=answer.status,
            exchange=answer.exchange,
        )


def _archive(job: ImageDownloadJob, landing: Landing) -> Source:
    """Return the address of a finished job's archive, and where it goes. Raises unless the job is finished."""
    if not packed(job):
        raise DownloadError(
            f"bulk download job {job.id} is {job.status.value}, so there is no archive yet: "
            "job = await client.images.wait_for_bulk_download(job), then download_archive(job, ...)."
        )
    if job.download_url is None:
        raise DownloadError(
            f"bulk download job {job.id} is READY but has no download_url. Retrieve it again; if it stays so, report this "
            "to the service."
        )
    name = f"archive of bulk download job {job.id}"
    return Source(job.download_url, Content.ARCHIVE, name, landing.outcome)


def _is_over(url: str, refusal: Refusal | None) -> bool:
    """Whether the answer means that this link had its time, so that a fresh one may do."""
    if refusal is None:
        return False
    return refusal.status in {404, 410} or is_expired(url, refusal.status, refusal.text, refusal.headers)
