"""The records of one environment, in memory."""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import islice

from attrs import evolve

from imgwire_async.emulator.bodies import StoredBody
from imgwire_async.emulator.configuration import Switches
from imgwire_async.emulator.lifecycle import (
    advance_image,
    image_after_poll,
    image_after_upload,
    job_after_poll,
)
from imgwire_async.emulator.records import (
    CorsOrigin,
    CustomDomain,
    DownloadJob,
    Image,
    PresignedUrl,
    UploadToken,
)

__all__ = ["ImagesView", "Store", "new_id"]

_TOKEN_LIFETIME = timedelta(seconds=900)


def new_id() -> str:
    """Return a new random UUID as a string."""
    return str(uuid.uuid4())


class Store:
    """All records of the environment.

    Only the emulator's event loop writes to a store. `Emulator.reset` creates a new, empty store.
    """

    def __init__(self, switches: Switches, environment_id: str) -> None:
        self.switches = switches
        self.environment_id = environment_id
        self.images: dict[str, Image] = {}
        # Deleted images by ID, in the order of their deletion.
        self.deleted_images: dict[str, Image] = {}
        # Maps idempotency keys to image IDs.
        self.image_ids_by_idempotency_key: dict[str, str] = {}
        # Presigned URLs, keyed by signature.
        self.upload_urls: dict[str, PresignedUrl] = {}
        self.archive_urls: dict[str, PresignedUrl] = {}
        # The newest upload URL of each image, keyed by image ID.
        self.last_upload_urls: dict[str, PresignedUrl] = {}
        # Upload tokens, keyed by the secret string that clients send.
        self.tokens: dict[str, UploadToken] = {}
        self.cors_origins: dict[str, CorsOrigin] = {}
        self.jobs: dict[str, DownloadJob] = {}
        self.domain: CustomDomain | None = None
        self._pending_with_client_key: set[str] = set()

    def add_image(self, image: Image) -> None:
        """Add a new image, and register its idempotency key."""
        self.images[image.id] = image
        if image.idempotency_key is not None:
            self.image_ids_by_idempotency_key[image.idempotency_key] = image.id
        if image.created_with_client_key:
            self._pending_with_client_key.add(image.id)

    def get_image(self, image_id: str, now: datetime) -> Image | None:
        """Return the image as it is at the time `now`, or None if there is no such image."""
        image = self.images.get(image_id)
        return None if image is None else self._save(advance_image(image, now, self.switches))

    def poll_image(self, image_id: str, now: datetime) -> Image | None:
        """Return the image as it is at the time `now`, and count this retrieve. None if there is no image."""
        image = self.get_image(image_id, now)
        if image is not None:
            self._save(image_after_poll(image))
        return image

    def find_by_idempotency_key(self, idempotency_key: str | None, now: datetime) -> Image | None:
        """Return the image that was created with this idempotency key, or None.

        With the switch `deleted_keys="remembered"` this can be a deleted image.
        """
        image_id = None if idempotency_key is None else self.image_ids_by_idempotency_key.get(idempotency_key)
        if image_id is None:
            return None
        if image_id in self.deleted_images and self.switches.deleted_keys == "remembered":
            return self.deleted_images[image_id]
        return self.get_image(image_id, now)

    def list_page(self, page: int, limit: int, now: datetime) -> list[Image]:
        """Return one page of the images, in the order that the switch `list_order` names."""
        start = (page - 1) * limit
        images = list(islice(self._in_order(now), start, start + limit))
        return [self._save(advance_image(image, now, self.switches)) for image in images]

    def _in_order(self, now: datetime) -> Iterator[Image]:
        match self.switches.list_order:
            case "created":
                return reversed(self.images.values())
            case "updated":
                # An image changes when its time has come, even if no request came at that time.
                images = [
                    self._save(advance_image(image, now, self.switches)) for image in self.images.values()
                ]
                return iter(sorted(images, key=lambda image: image.updated_at, reverse=True))
            case "id":
                return iter(sorted(self.images.values(), key=lambda image: image.id))

    def store_bytes(self, image: Image, stored: StoredBody, now: datetime) -> Image:
        """Save the uploaded bytes of an image, and return its new record."""
        self._pending_with_client_key.discard(image.id)
        return self._save(advance_image(image_after_upload(image, stored, now), now, self.switches))

    def delete_image(self, image: Image, now: datetime) -> None:
        """Delete an image. The metrics still count its upload."""
        del self.images[image.id]
        self._pending_with_client_key.discard(image.id)
        self.deleted_images[image.id] = evolve(image, deleted_at=now, stored=None)

    def all_images(self, now: datetime) -> Iterator[Image]:
        """Yield the existing images as they are at the time `now`, and after them the deleted images."""
        for image_id in list(self.images):
            image = self.get_image(image_id, now)
            if image is not None:
                yield image
        yield from self.deleted_images.values()

    @property
    def client_pending_count(self) -> int:
        """The number of PENDING images that were created with the client key."""
        return len(self._pending_with_client_key)

    def _save(self, image: Image) -> Image:
        self.images[image.id] = image
        return image

    def add_upload_url(self, signature: str, url: PresignedUrl) -> None:
        """Add a presigned upload URL. It becomes the newest upload URL of its image."""
        self.upload_urls[signature] = url
        self.last_upload_urls[url.target_id] = url

    def mark_url_used(self, signature: str) -> None:
        """Mark the upload URL with this signature as used."""
        self.upload_urls[signature] = evolve(self.upload_urls[signature], used=True)

    def create_token(self, now: datetime) -> UploadToken:
        """Create an upload token, and store it."""
        token = UploadToken(
            id=new_id(),
            environment_id=self.environment_id,
            token=f"ut_{secrets.token_urlsafe(24)}",
            expires_at=now + _TOKEN_LIFETIME,
            created_at=now,
            updated_at=now,
        )
        self.tokens[token.token] = token
        return token

    def mark_token_used(self, token: UploadToken, now: datetime) -> None:
        """Mark an upload token as used."""
        self.tokens[token.token] = evolve(token, used_at=now, updated_at=now)

    def poll_job(
        self,
        job: DownloadJob,
        now: datetime,
        required_polls: int,
        create_archive: Callable[[list[Image]], bytes | None],
    ) -> DownloadJob:
        """Count one more retrieve of a download job, and return the new record.

        The retrieve with the number `required_polls` ends the job. It calls `create_archive` with those
        images of the job that exist and are READY.
        """
        archive = None
        if job.polls + 1 >= required_polls and job.status in {"PENDING", "PROCESSING"}:
            images = [self.get_image(image_id, now) for image_id in job.image_ids]
            archive = create_archive(
                [image for image in images if image is not None and image.status == "READY"]
            )
        self.jobs[job.id] = job_after_poll(job, now, required_polls=required_polls, archive=archive)
        return self.jobs[job.id]


class ImagesView(Mapping[str, Image]):
    """The images that exist now, by ID, for assertions in tests.

    Reading an image from this mapping does not count as a retrieve.
    """

    def __init__(self, store: Store, now: Callable[[], datetime]) -> None:
        self._store = store
        self._now = now

    def __getitem__(self, image_id: str) -> Image:
        # The result is not saved, because this may run in the thread of a test, and only the emulator's event
        # loop may write to the store.
        return advance_image(self._store.images[image_id], self._now(), self._store.switches)

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._store.images))

    def __len__(self) -> int:
        return len(self._store.images)
