"""Image records as the service sends them, with all 22 fields of a real photograph."""

from __future__ import annotations

import json
import random
import uuid
from typing import Any

IMAGE_ID = "00000001-0000-4000-8000-000000000001"
PAGES, PAGE_SIZE = 100, 100


def record(number: int) -> dict[str, Any]:
    """Return the record with this number, the same in every run."""
    rng = random.Random(number)

    def new_id() -> str:
        return str(uuid.UUID(int=rng.getrandbits(128), version=4))

    return {
        "id": new_id(),
        "environment_id": new_id(),
        "upload_token_id": None,
        "original_filename": f"IMG_{number:05d}.jpg",
        "hash_sha256": f"{rng.getrandbits(256):064x}",
        "status": "READY",
        "cdn_url": f"https://cdn.imgwire.dev/{new_id()}/{new_id()}/{new_id()}",
        "mime_type": "image/jpeg",
        "can_upload": False,
        "is_directly_deliverable": True,
        "idempotency_key": new_id(),
        "purpose": "gallery",
        "extension": "jpg",
        "width": 4032,
        "height": 3024,
        "size_bytes": 2_345_678 + number,
        "custom_metadata": {"album": "summer", "order": number, "published": True, "score": 0.75},
        "exif_data": {
            "Make": "ACME",
            "Model": "X100",
            "ISO": 200,
            "FNumber": 2.8,
            "ExposureTime": "1/250",
            "GPS": {"lat": 47.1, "lon": 8.5},
        },
        "created_at": "2026-05-09T12:34:56.789012Z",
        "updated_at": "2026-05-09T12:35:01.000000Z",
        "deleted_at": None,
        "processed_metadata_at": "2026-05-09T12:35:00.123456Z",
    }


def one() -> bytes:
    """Return the image with `IMAGE_ID` as JSON."""
    return _json(record(0) | {"id": IMAGE_ID})


def pending() -> bytes:
    """Return an image without bytes as JSON."""
    return _json(record(0) | {"id": IMAGE_ID, "status": "PENDING", "can_upload": True})


def page(number: int) -> bytes:
    """Return a page of records as JSON. The first page has the number 1."""
    first = (number - 1) * PAGE_SIZE
    return _json([record(first + offset) for offset in range(PAGE_SIZE)])


def page_headers(number: int) -> dict[str, str]:
    """Return the headers that the service sends with a page."""
    return {
        "X-Total-Count": str(PAGES * PAGE_SIZE),
        "X-Page": str(number),
        "X-Limit": str(PAGE_SIZE),
        "X-Prev-Page": str(number - 1) if number > 1 else "null",
        "X-Next-Page": str(number + 1) if number < PAGES else "null",
    }


def _json(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()
