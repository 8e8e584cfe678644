"""The classes of the records that the emulator stores, and functions that convert records to JSON."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal, TypeAlias

from attrs import field, frozen

from imgwire_async.emulator.bodies import StoredBody
from imgwire_async.emulator.pictures import Finding

__all__ = [
    "EXTENSIONS",
    "CorsOrigin",
    "CustomDomain",
    "DownloadJob",
    "Image",
    "ImageStatus",
    "JobStatus",
    "PresignedUrl",
    "Scalar",
    "UploadToken",
    "domain_json",
    "format_rfc3339",
    "image_json",
    "job_json",
    "origin_json",
    "token_json",
]  # fmt: skip

Scalar: TypeAlias = str | int | float | bool
ImageStatus: TypeAlias = Literal["PENDING", "PROCESSING", "READY", "QUARANTINE"]
JobStatus: TypeAlias = Literal["PENDING", "PROCESSING", "READY", "FAILED"]

# Maps each supported MIME type to its file name extensions, the most common extension first. [contract 3]
EXTENSIONS: Mapping[str, tuple[str, ...]] = {
    "image/jpeg": ("jpg", "jpeg"),
    "image/jxl": ("jxl",),
    "image/png": ("png",),
    "image/webp": ("webp",),
    "image/avif": ("avif",),
    "image/gif": ("gif",),
    "image/vnd.microsoft.icon": ("ico",),
    "image/heic": ("heic",),
    "image/bmp": ("bmp",),
    "image/tiff": ("tif", "tiff"),
}
# The types for which the API sets `is_directly_deliverable`, because browsers can show them. [contract 6]
_DELIVERABLE = frozenset({"image/jpeg", "image/png", "image/webp", "image/avif", "image/gif"})


@frozen(kw_only=True)
class Image:
    """One image record.

    These fields are not part of API responses:

    * `declared_type` and `declared_length`: the `mime_type` and `content_length` in the call that created the
      image.
    * `created_with_client_key`: whether the client key was used for that call.
    * `polls`: the number of retrieves that returned PROCESSING.
    * `stored` and `stored_at`: the uploaded bytes and the time of the upload.
    * `finding`: the result of examining the uploaded bytes.
    * `fetched` and `fetched_at`: the bytes that the service is fetching from a URL, and when it has them.
    * `reason`: why the status is QUARANTINE.
    * `ready_at`: the time at which the status became READY.
    """

    id: str
    cdn_url: str
    environment_id: str
    original_filename: str
    mime_type: str
    extension: str
    created_at: datetime
    updated_at: datetime
    declared_type: str | None = None
    declared_length: int | None = None
    hash_sha256: str | None = None
    idempotency_key: str | None = None
    purpose: str | None = None
    upload_token_id: str | None = None
    custom_metadata: Mapping[str, Scalar] = field(factory=dict[str, Scalar])
    created_with_client_key: bool = False
    status: ImageStatus = "PENDING"
    polls: int = 0
    stored_at: datetime | None = None
    stored: StoredBody | None = field(default=None, repr=False)
    finding: Finding | None = None
    fetched: StoredBody | None = field(default=None, repr=False)
    fetched_at: datetime | None = None
    reason: str | None = None
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    exif_data: Mapping[str, object] = field(factory=dict[str, object], repr=False)
    processed_metadata_at: datetime | None = None
    ready_at: datetime | None = None
    deleted_at: datetime | None = None


@frozen(kw_only=True)
class PresignedUrl:
    """One presigned URL, for the upload of an image or for the archive of a download job.

    `target_id` is the ID of the image or job. `expires_at` is the exact time of expiry. The lifetime in the
    URL itself is rounded up to whole seconds.
    """

    target_id: str
    url: str = field(repr=False)
    expires_at: datetime
    used: bool = False


@frozen(kw_only=True)
class UploadToken:
    """A token that permits the creation of one image with the client key."""

    id: str
    environment_id: str
    token: str = field(repr=False)
    expires_at: datetime
    created_at: datetime
    updated_at: datetime
    used_at: datetime | None = None


@frozen(kw_only=True)
class DownloadJob:
    """One job that packs images into an archive. `polls` counts how often the job was retrieved."""

    id: str
    environment_id: str
    image_ids: tuple[str, ...]
    created_at: datetime
    updated_at: datetime
    status: JobStatus = "PENDING"
    polls: int = 0
    archive: bytes | None = field(default=None, repr=False)


@frozen(kw_only=True)
class CorsOrigin:
    """One CORS origin: web pages whose host matches `pattern` may send requests to the API."""

    id: str
    environment_id: str
    pattern: str
    created_at: datetime
    updated_at: datetime


@frozen(kw_only=True)
class CustomDomain:
    """The custom domain of the environment.

    `tests` counts the connection tests. `connected` and `certified` are their results: whether the domain has
    the right DNS records, and whether it has a certificate.
    """

    id: str
    environment_id: str
    hostname: str
    cname_value: str
    dcv_cname_value: str
    created_at: datetime
    updated_at: datetime
    tests: int = 0
    connected: bool = False
    certified: bool = False
    last_verified_at: datetime | None = None


def format_rfc3339(time: datetime | None) -> str | None:
    """Format a UTC time as RFC 3339 text with microseconds. None stays None."""
    return None if time is None else time.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def image_json(image: Image, *, null_sizes: bool) -> dict[str, object]:
    """Return the JSON object of an image.

    With `null_sizes`, the width, height and size of a PENDING or PROCESSING image are null instead of 0.
    """
    sizes_are_null = null_sizes and image.status in {"PENDING", "PROCESSING"}
    return {
        "id": image.id,
        "environment_id": image.environment_id,
        "upload_token_id": image.upload_token_id,
        "original_filename": image.original_filename,
        "hash_sha256": image.hash_sha256,
        "status": image.status,
        "cdn_url": image.cdn_url,
        "mime_type": image.mime_type,
        "can_upload": image.status == "PENDING",
        "is_directly_deliverable": image.mime_type in _DELIVERABLE,
        "idempotency_key": image.idempotency_key,
        "purpose": image.purpose,
        "extension": image.extension,
        "width": None if sizes_are_null else image.width,
        "height": None if sizes_are_null else image.height,
        "size_bytes": None if sizes_are_null else image.size_bytes,
        "custom_metadata": dict(image.custom_metadata),
        "exif_data": dict(image.exif_data),
        "created_at": format_rfc3339(image.created_at),
        "updated_at": format_rfc3339(image.updated_at),
        "deleted_at": format_rfc3339(image.deleted_at),
        "processed_metadata_at": format_rfc3339(image.processed_metadata_at),
    }


def token_json(token: UploadToken) -> dict[str, object]:
    """Return the JSON object of an upload token."""
    return {
        "id": token.id,
        "environment_id": token.environment_id,
        "token": token.token,
        "expires_at": format_rfc3339(token.expires_at),
        "used_at": format_rfc3339(token.used_at),
        "created_at": format_rfc3339(token.created_at),
        "updated_at": format_rfc3339(token.updated_at),
    }


def job_json(job: DownloadJob, download_url: str | None) -> dict[str, object]:
    """Return the JSON object of a download job. `download_url` is the URL of its archive, or None."""
    return {
        "id": job.id,
        "environment_id": job.environment_id,
        "status": job.status,
        "image_ids": list(job.image_ids),
        "download_url": download_url,
        "created_at": format_rfc3339(job.created_at),
        "updated_at": format_rfc3339(job.updated_at),
    }


def origin_json(origin: CorsOrigin) -> dict[str, object]:
    """Return the JSON object of a CORS origin."""
    return {
        "id": origin.id,
        "environment_id": origin.environment_id,
        "pattern": origin.pattern,
        "created_at": format_rfc3339(origin.created_at),
        "updated_at": format_rfc3339(origin.updated_at),
    }


def domain_json(domain: CustomDomain) -> dict[str, object]:
    """Return the JSON object of a custom domain, with the two DNS records that the owner has to create.

    [contract 9]
    """
    return {
        "id": domain.id,
        "environment_id": domain.environment_id,
        "hostname": domain.hostname,
        "cname_record": domain.hostname,
        "cname_value": domain.cname_value,
        "dcv_cname_record": f"_acme-challenge.{domain.hostname}",
        "dcv_cname_value": domain.dcv_cname_value,
        "certificate_status": "ACTIVE" if domain.certified else "PENDING",
        "status": "CONNECTED" if domain.connected else "PENDING",
        "last_verified_at": format_rfc3339(domain.last_verified_at),
        "created_at": format_rfc3339(domain.created_at),
        "updated_at": format_rfc3339(domain.updated_at),
    }
