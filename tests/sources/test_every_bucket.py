"""What must hold for every source, over a bucket of nanio through s3fs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from batch.source_cases import Case
from batch.test_every_source import *  # noqa: F403  # the tests and their fixtures

from imgwire_async import AsyncImgwireClient, Timeouts
from imgwire_async.emulator import Emulator

from .s3_server import options_of


class BucketCase(Case):
    """A bucket."""

    @property
    def kind(self) -> str:
        return "s3"

    def __init__(self, folder: Path, emulator: Emulator, origin: str) -> None:
        import s3fs

        super().__init__(folder, emulator)
        self._fs: Any = s3fs.S3FileSystem(**options_of(origin), use_listings_cache=False)
        self.name = folder.name.replace("_", "-").lower()
        self.path = Path(origin.rpartition(":")[2], self.name)
        self._fs.call_s3("create_bucket", Bucket=self.name)
        self._content: dict[str, bytes] = {}

    def write(self, pictures: Mapping[str, bytes]) -> None:
        for name in self._content.keys() - pictures.keys():
            self._fs.call_s3("delete_object", Bucket=self.name, Key=f"photos/{name}")
        for name, data in pictures.items():
            if self._content.get(name) != data:
                self._fs.call_s3("put_object", Bucket=self.name, Key=f"photos/{name}", Body=data)
        self._content = {**pictures}

    def spoil(self, pictures: Mapping[str, bytes], name: str) -> None:
        self.write({**pictures, name: b"no picture"})

    def lose(self) -> None:
        self.write({})


@pytest.fixture
async def client(emulator: Emulator) -> AsyncIterator[AsyncImgwireClient]:
    # A busy machine needs seconds for requests to a bucket.
    async with AsyncImgwireClient(
        emulator.api_key, base_url=emulator.base_url, timeout=Timeouts(stall=10)
    ) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def case(nanio: str, folder: Path, emulator: Emulator) -> Case:
    made = BucketCase(folder, emulator, nanio)
    made.write(PICTURES)  # noqa: F405
    return made
