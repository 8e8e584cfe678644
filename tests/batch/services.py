"""A client of the emulator, and records that a killed run may have left there."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import aiohttp
import attrs
from yarl import URL

from imgwire_async import AsyncImgwireClient, Timeouts
from imgwire_async.batch import records
from imgwire_async.batch.items import Identity
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.keys import KEY_PREFIX
from imgwire_async.batch.records import JournalRow, RowOwner
from imgwire_async.batch.service import Service
from imgwire_async.batch.settle import Settled, settle
from imgwire_async.emulator import Emulator
from imgwire_async.models import StandardUpload
from imgwire_async.protocol import codec
from imgwire_async.uploads.requests import create_request

from .journals import begin, opened

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAMAAAACCAIAAAASFvFNAAAAEElEQVR4nGMQaPgAQQxwFgBU1AkBfzrtswAAAABJRU5ErkJggg=="
)


def service_of(client: AsyncImgwireClient) -> Service:
    """Return what a run needs of a client."""
    return Service(client.images, client._shared, client._transport)


def key_of(name: str) -> str:
    """Return the idempotency key of a file in these tests."""
    return f"{KEY_PREFIX}{name}"


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
        return service_of(self.client)

    async def create(self, name: str, *, stored: bool, data: bytes = PNG) -> str:
        """Create a record as a killed run did, send its bytes or not, and return its id."""
        upload = await self.begin(name, len(data))
        if stored:
            await self.put(upload.upload_url, data)
        return upload.image.id

    async def begin(self, name: str, size: int = len(PNG)) -> StandardUpload:
        """Create a record without bytes."""
        body = {
            "file_name": name,
            "mime_type": "image/png",
            "content_length": size,
            "idempotency_key": key_of(name),
        }
        transport = self.client._transport()
        return codec.decode(await transport.send(create_request(body, None)), StandardUpload)

    async def put(self, url: str, data: bytes = PNG) -> None:
        """Send bytes to a presigned URL."""
        address, headers = URL(url, encoded=True), {"Content-Type": "image/png"}
        async with (
            aiohttp.ClientSession() as session,
            session.put(address, data=data, headers=headers) as response,
        ):
            assert response.status == 200

    def doubt(self, name: str, image_id: str | None = None, **changes: Any) -> JournalRow:
        """Write and return a row of the killed run."""
        row = records.started(
            None,
            self.before,
            name,
            Identity(len(PNG), mtime_ns=1),
            idempotency_key=key_of(name),
            generation=0,
            now=changes.pop("started_at", self.emulator.clock.now().timestamp()),
        )
        if image_id is not None:
            row = records.with_record(row, image_id, "https://cdn")
        row = attrs.evolve(row, **changes)
        self.journal.put_blocking([row])
        return row

    def row(self, name: str) -> JournalRow:
        """Return the row of a file."""
        return self.journal.lookup(self.owner.destination, [name])[name]

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


@contextlib.asynccontextmanager
async def scene(folder: Path, stall: float = 0.5, **switches: Any) -> AsyncGenerator[Scene, None]:
    """Start an emulator and open a journal, in which another run has begun before."""
    async with Emulator(**switches) as emulator:
        settings: dict[str, Any] = {"retries": 0, "timeout": Timeouts(stall=stall)}
        async with AsyncImgwireClient(emulator.api_key, base_url=emulator.base_url, **settings) as client:
            with opened(folder / "photos.journal") as journal:
                yield Scene(emulator, client, journal, begin(journal), begin(journal))
