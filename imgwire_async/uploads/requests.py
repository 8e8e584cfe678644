"""The API requests of an upload."""

from __future__ import annotations

from collections.abc import Mapping

from imgwire_async.models import Image, StandardUpload
from imgwire_async.protocol.request import Request, path_segment


def create_request(body: Mapping[str, object], upload_token: str | None) -> Request[StandardUpload]:
    """Return the request that creates a record and a presigned URL.

    The request may be sent again after a failure if `body` has an idempotency key.
    """
    return Request(
        "POST",
        "/images/standard_upload",
        StandardUpload,
        params=None if upload_token is None else {"upload_token": upload_token},
        json=body,
        repeatable="idempotency_key" in body,
    )


def retrieve_request(image_id: object) -> Request[Image]:
    """Return the request that retrieves one image."""
    return Request("GET", "/images/{image_id}", Image, {"image_id": path_segment("image_id", image_id)})
