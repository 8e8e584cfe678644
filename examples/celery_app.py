"""Pictures in Celery tasks: `IMGWIRE_API_KEY=... celery --app celery_app worker`."""

from __future__ import annotations

import os

from celery import Celery

from imgwire_async import (
    APIConnectionError,
    ImgwireClient,
    RateLimitError,
    ServerError,
    UploadConnectionError,
    UploadStalledError,
)

app = Celery("celery_app", broker=os.environ.get("CELERY_BROKER_URL", "amqp://"))
app.conf.task_acks_late = True
app.conf.update(result_backend=os.environ.get("CELERY_RESULT_BACKEND", "rpc://"))
# Made before the pool forks, called only after: each process has its own connections. It
# cannot be pickled, so tasks are given ids and paths.
client = ImgwireClient()

# What may be gone in a minute. All else fails at once, such as a file that is no picture.
PASSING = (
    APIConnectionError,
    RateLimitError,
    ServerError,
    UploadConnectionError,
    UploadStalledError,
)


@app.task(autoretry_for=PASSING, retry_backoff=5, retry_backoff_max=600, max_retries=8)
def upload(path: str, key: str) -> dict[str, str]:
    """Upload a file and return its id and address once it is READY.

    `key` stays the same when the task runs again, so that one image is made of it.
    """
    image = client.images.upload(path, idempotency_key=key, wait=True)
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.task(autoretry_for=PASSING, retry_backoff=5, retry_backoff_max=600, max_retries=8)
def delete(image_ids: list[str]) -> None:
    client.images.bulk_delete(image_ids).raise_if_failed()
