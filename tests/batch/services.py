"""An emulator, a client and a journal, as a run finds them after another run was killed."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
from yarl import URL

from imgwire_async import AsyncImgwireClient, Timeouts, UploadItem
from imgwire_async.batch import records
from imgwire_async.batch.items import Identity
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.keys import KEY_PREFIX
from imgwire_async.batch.records import JournalRow, RowOwner
from imgwire_async.batch.service import Service, service_of
from imgwire_async.batch.settle import Settled, settle
from imgwire_async.emulator import Emulator
from imgwire_async.models import Image, StandardUpload
from imgwire_async.protocol import codec
from imgwire_async.uploads.hooks import UploadHooks
from imgwire_async.uploads.requests import create_request
from imgwire_async.uploads.upload import Upload

from .journals import begin, opened

# A picture of 3 x 2 pixels.
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAEElEQVR4nGMQaPgAQQxwFgBU1AkBfzrtswAAAABJRU5ErkJggg=="
)


def key_of(name: str, generation: int = 0) -> str:
    """Return the idempotency key of a file in these tests."""
    return f"{KEY_PREFIX}{name}-{generation}"


@attrs.define
class Scene:
    """An emulator, a client, and the journal of a run that begins after another run was killed."""

    emulator: Emulator
    client: AsyncImgwireClient
    journal: Journal
    before: RowOwner
    owner: RowOwner
    reports: list[tuple[int, int]] = attrs.field(factory=list[tuple[int, int]])
    held: list[str | None] = attrs.field(factory=list["str | None"])

    @property
    def service(self) -> Service:
        """What the run needs of the client."""
        return service_of(self.client)

    # --- what a killed run leaves ---------------------------------------------------------------------------

    async def begin(self, name: str, data: bytes = PNG) -> StandardUpload:
        """Create a record without bytes."""
        body = {
            "file_name": name,
            "mime_type": "image/png",
            "content_length": len(data),
            "idempotency_key": key_of(name),
        }
        response = await self.service.transport.send(create_request(body, None))
        return codec.decode(response, StandardUpload)

    async def put(self, upload: StandardUpload, data: bytes = PNG) -> None:
        """Send the bytes of a record."""
        url, headers = URL(upload.upload_url, encoded=True), {"Content-Type": "image/png"}
        async with (
            aiohttp.ClientSession() as session,
            session.put(url, data=data, headers=headers) as response,
        ):
            assert response.status == 200

    async def create(self, name: str, *, data: bytes = PNG) -> str:
        """Create a record and send its bytes. Return its id."""
        upload = await self.begin(name, data)
        await self.put(upload, data)
        return upload.image.id

    def doubt(self, name: str, image_id: str | None = None, *, age: float = 0, **changes: Any) -> JournalRow:
        """Write and return a row of the killed run."""
        row = records.started(
            None,
            self.before,
            name,
            Identity(len(PNG), mtime_ns=1),
            idempotency_key=key_of(name),
            generation=0,
            now=time.time() - age,
        )
        if image_id is not None:
            row = records.with_record(row, image_id, "https://cdn")
        row = attrs.evolve(row, **changes)
        self.journal.put_blocking([row])
        return row

    # --- what the next run does -----------------------------------------------------------------------------

    async def settle(self, stop: asyncio.Event | None = None, **options: Any) -> Settled:
        """Settle the rows in doubt."""
        return await settle(
            self.service,
            self.journal,
            self.owner,
            stop=stop or asyncio.Event(),
            report=lambda left, total: self.reports.append((left, total)),
            on_held=self.held.append,
            **options,
        )

    async def upload(self, name: str) -> Image:
        """Upload a file whose row is still in doubt, as a run does."""
        row = self.row(name)

        async def next_key(count: int) -> str:
            return key_of(name, row.generation + count)

        async def ignore(_: Image) -> None: ...

        hooks = UploadHooks(next_key, ignore, ignore)
        return await Upload(self.service.transport, UploadItem(PNG, file_name=name), hooks=hooks).run()

    def row(self, name: str) -> JournalRow:
        """Return the row of a file."""
        return self.journal.lookup(self.owner.destination, [name])[name]

    def stored(self, name: str) -> list[str]:
        """Return the ids of all images with bytes of a file."""
        return [
            image.id
            for image in self.emulator.images.values()
            if image.stored is not None and image.original_filename == name
        ]


@contextlib.asynccontextmanager
async def scene(
    folder: Path, stall: float = 0.3, *, retries: int = 0, **switches: Any
) -> AsyncGenerator[Scene, None]:
    """Start an emulator and open a journal, in which another run has begun before."""
    async with Emulator(**switches) as emulator:
        settings: dict[str, Any] = {"retries": retries, "timeout": Timeouts(stall=stall)}
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, **settings) as client:
            with opened(folder / "photos.journal") as journal:
                yield Scene(emulator, client, journal, begin(journal), begin(journal))
