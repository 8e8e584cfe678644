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
# Created before the pool forks and used only after, so each process has its own connections.
# A client cannot be pickled, so tasks get ids and paths.
client = ImgwireClient()

# Errors that a later attempt may not meet. Others fail at once, such as a file that is no picture.
TRANSIENT = (
    APIConnectionError,
    RateLimitError,
    ServerError,
    UploadConnectionError,
    UploadStalledError,
)


@app.task(autoretry_for=TRANSIENT, retry_backoff=5, retry_backoff_max=600, max_retries=8)
def upload(path: str, key: str) -> dict[str, str]:
    """Upload a file, and return its id and URL once it is READY.

    `key` is the same when the task runs again, so that only one image is created.
    """
    image = client.images.upload(path, idempotency_key=key, wait=True)
    return {"id": image.id, "url": image.url(preset="thumbnail")}


@app.task(autoretry_for=TRANSIENT, retry_backoff=5, retry_backoff_max=600, max_retries=8)
def delete(image_ids: list[str]) -> None:
    client.images.bulk_delete(image_ids).raise_if_failed()
