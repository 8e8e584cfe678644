"""The state of the service: one environment with all its records."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice

from attrs import evolve

from imgwire_async.emulator.bodies import StoredBody
from imgwire_async.emulator.configuration import Switches
from imgwire_async.emulator.lifecycle import advance, image_after_poll, image_after_upload, job_after_poll
from imgwire_async.emulator.records import (
    CorsOrigin,
    CustomDomain,
    DownloadJob,
    Image,
    PresignedUrl,
    UploadToken,
)

__all__ = ["ImagesView", "Store", "new_id"]

_TOKEN_LIFE = timedelta(seconds=900)


def new_id() -> str:
    """A fresh UUID as text."""
    return str(uuid.uuid4())


class Store:
    """All records. Owned by the emulator and written by its loop only; `reset` of the emulator makes a new one."""

    def __init__(self, switches: Switches, environment_id: str) -> None:
        self.switches = switches
        self.environment_id = environment_id
        self.images: dict[str, Image] = {}
        self.deleted: list[Image] = []
        self.by_idempotency_key: dict[str, str] = {}  # idempotency key -> image id
        self.upload_urls: dict[str, PresignedUrl] = {}  # signature -> url of an upload
        self.archive_urls: dict[str, PresignedUrl] = {}  # signature -> url of an archive
        self.last_upload_url: dict[str, PresignedUrl] = {}  # image id -> its newest url
        self.tokens: dict[str, UploadToken] = {}  # token text -> token
        self.cors_origins: dict[str, CorsOrigin] = {}
        self.jobs: dict[str, DownloadJob] = {}
        self.domain: CustomDomain | None = None
        self._client_pending: set[str] = set()

    # images

    def add_image(self, image: Image) -> None:
        """Keep a new image; its idempotency key stands for it from now on."""
        self.images[image.id] = image
        if image.idempotency_key is not None:
            self.by_idempotency_key[image.idempotency_key] = image.id
        if image.by_client_key:
            self._client_pending.add(image.id)

    def get_image(self, image_id: str, now: datetime) -> Image | None:
        """The image as it is now, None when there is none or it is deleted."""
        found = self.images.get(image_id)
        return None if found is None else self._save(advance(found, now, self.switches))

    def poll_image(self, image_id: str, now: datetime) -> Image | None:
        """The image as it is now; the look counts as a poll for the next one."""
        found = self.get_image(image_id, now)
        if found is not None:
            self._save(image_after_poll(found))
        return found

    def find_by_idempotency_key(self, idempotency_key: str | None, now: datetime) -> Image | None:
        """The living image that this idempotency key made before."""
        image_id = None if idempotency_key is None else self.by_idempotency_key.get(idempotency_key)
        return None if image_id is None else self.get_image(image_id, now)

    def list_page(self, page: int, limit: int, now: datetime) -> list[Image]:
        """One page of the images, newest first."""
        start = (page - 1) * limit
        chosen = list(islice(reversed(self.images.values()), start, start + limit))
        return [self._save(advance(image, now, self.switches)) for image in chosen]

    def store_bytes(self, image: Image, stored: StoredBody, now: datetime) -> Image:
        """The bytes of an image are here."""
        self._client_pending.discard(image.id)
        return self._save(advance(image_after_upload(image, stored, now), now, self.switches))

    def delete_image(self, image: Image, now: datetime) -> None:
        """Take an image away; what it used stays known to the metrics."""
        del self.images[image.id]
        self._client_pending.discard(image.id)
        self.deleted.append(evolve(image, deleted_at=now, stored=None))

    def all_images(self, now: datetime) -> Iterator[Image]:
        """Living images as they are now, then the deleted ones."""
        for image_id in list(self.images):
            found = self.get_image(image_id, now)
            if found is not None:
                yield found
        yield from self.deleted

    @property
    def client_pending(self) -> int:
        """How many images of the client key still wait for their bytes."""
        return len(self._client_pending)

    def _save(self, image: Image) -> Image:
        self.images[image.id] = image
        return image

    # upload URLs and tokens

    def add_upload_url(self, signature: str, url: PresignedUrl) -> None:
        """Keep a presigned upload URL under its signature."""
        self.upload_urls[signature] = url
        self.last_upload_url[url.target_id] = url

    def mark_url_used(self, signature: str) -> None:
        """This URL has taken its bytes."""
        self.upload_urls[signature] = evolve(self.upload_urls[signature], used=True)

    def create_token(self, now: datetime) -> UploadToken:
        """A fresh upload token."""
        token = UploadToken(
            id=new_id(),
            environment_id=self.environment_id,
            token=f"ut_{secrets.token_urlsafe(24)}",
            expires_at=now + _TOKEN_LIFE,
            created_at=now,
            updated_at=now,
        )
        self.tokens[token.token] = token
        return token

    def mark_token_used(self, token: UploadToken, now: datetime) -> None:
        """This token has made its image."""
        self.tokens[token.token] = evolve(token, used_at=now, updated_at=now)

    # download jobs

    def poll_job(
        self, job: DownloadJob, now: datetime, needed: int, archive: Callable[[list[Image]], bytes | None]
    ) -> DownloadJob:
        """The job after one more look; `archive` packs its images when the time has come."""
        packed = None
        if job.polls + 1 >= needed and job.status in {"PENDING", "PROCESSING"}:
            found = [self.get_image(image_id, now) for image_id in job.image_ids]
            packed = archive([image for image in found if image is not None and image.status == "READY"])
        self.jobs[job.id] = job_after_poll(job, now, needed=needed, archive=packed)
        return self.jobs[job.id]


class ImagesView(Mapping[str, Image]):
    """The living images for assertions: id -> record as it is now; looking does not count as a poll."""

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def __getitem__(self, image_id: str) -> Image:
        # Not kept: the loop alone writes the store, and this may be another thread.
        return advance(self._store.images[image_id], self._now(), self._store.switches)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._store.images))

    def __len__(self) -> int:
        return len(self._store.images)
