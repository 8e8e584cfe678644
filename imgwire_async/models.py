"""The models of the records in API responses: frozen attrs classes, and enums that accept unknown values.

Models do no I/O. Fields that a later version of the API adds are kept in `extra`. An unknown value of an enum
becomes a member that the class does not list, so compare members with `==`. [contract 3]
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import attrs

from imgwire_async.redaction import escape_unprintable
from imgwire_async.urls.image import ImageUrls

if TYPE_CHECKING:
    from typing import Self


class OpenEnum(StrEnum):
    """A `StrEnum` that accepts unknown values. Such a value becomes a member that the class does not list."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if type(value) is not str:
            return None
        unlisted = str.__new__(cls, value)
        unlisted._name_ = value
        unlisted._value_ = value
        return unlisted

    # A member is equal to its text, and Python requires equal objects to have equal hashes.
    __hash__ = str.__hash__

    # A member is pickled by its value, because an unlisted member cannot be found by its name.
    def __reduce_ex__(self, proto: Any) -> tuple[Any, ...]:
        return type(self), (self.value,)

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __copy__(self) -> Self:
        return self


class ImageStatus(OpenEnum):
    """The status of an image: `PENDING` (its file has not arrived), then `PROCESSING`, then `READY`.

    `QUARANTINE` means that the service has rejected the picture.
    """

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    QUARANTINE = "QUARANTINE"


class ImageDownloadStatus(OpenEnum):
    """The status of a bulk download job: `PENDING`, then `PROCESSING`, then `READY` or `FAILED`."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"


class CustomDomainStatus(OpenEnum):
    """Whether the service has found the DNS record (CNAME) of a custom domain. `FAILED` is final."""

    PENDING = "PENDING"
    CONNECTED = "CONNECTED"
    FAILED = "FAILED"


class CustomDomainCertificateStatus(OpenEnum):
    """The status of the TLS certificate of a custom domain. `FAILING` may still become `ACTIVE`."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    FAILING = "FAILING"


class MetricsDatasetInterval(OpenEnum):
    """The time span of one point of a metrics dataset. The default of the service is `HOURLY`."""

    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class SupportedMimeType(OpenEnum):
    """The MIME types of the ten picture types that the service supports."""

    JPEG = "image/jpeg"
    JXL = "image/jxl"
    PNG = "image/png"
    WEBP = "image/webp"
    AVIF = "image/avif"
    GIF = "image/gif"
    ICO = "image/vnd.microsoft.icon"
    HEIC = "image/heic"
    BMP = "image/bmp"
    TIFF = "image/tiff"


def _hidden(_: object) -> str:
    """Return the repr of a secret field."""
    return "<hidden>"


@attrs.frozen(kw_only=True)
class Record:
    """The base class of models.

    `extra` contains the JSON fields that this version of the SDK does not know.
    """

    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], hash=False, repr=False)


@attrs.frozen(kw_only=True)
class Image(Record, ImageUrls):
    """One image record.

    `width` and `height` are the size of the original in pixels, and `size_bytes` is the size of its file.
    These three values are 0 until the service knows them, which may take until the image is `READY`. They and
    `exif_data` are final once `processed_metadata_at` is set. `can_upload` is true while the record accepts
    an upload. `is_directly_deliverable` is false for types that browsers cannot display without a conversion
    (JXL, ICO, HEIC, BMP, TIFF). [contract 3]
    """

    id: str
    environment_id: str | None = None
    upload_token_id: str | None = None
    original_filename: str
    hash_sha256: str | None = None
    status: ImageStatus
    cdn_url: str
    mime_type: SupportedMimeType
    can_upload: bool
    is_directly_deliverable: bool
    idempotency_key: str | None = None
    purpose: str | None = None
    extension: str
    width: int = 0
    height: int = 0
    size_bytes: int = 0
    custom_metadata: dict[str, str | int | float | bool] = attrs.field(hash=False)
    exif_data: dict[str, Any] = attrs.field(hash=False, repr=False)
    created_at: datetime
    updated_at: datetime
    deleted_at: datetime | None = None
    processed_metadata_at: datetime | None = None

    def _repr_html_(self) -> str:
        # Imported here, because only notebooks need it.
        from imgwire_async.urls.preview import preview

        state = None if self.status == ImageStatus.READY else f"no preview: {self.status.value}"
        size = [f"{self.width} x {self.height}"] if self.width and self.height else []
        facts = [*size, self.mime_type.value, f"{self.size_bytes:,} bytes", self.id]
        if self.deleted_at is not None:
            state = "no preview: deleted"
        return preview(
            self.cdn_url, self.width, self.height, name=self.original_filename, state=state, facts=facts
        )


@attrs.frozen(kw_only=True)
class StandardUpload(Record):
    """A new image record, and the presigned URL to which its file is uploaded.

    `upload_url` is a secret: anybody who has it can upload the bytes of the image.
    """

    image: Image
    upload_url: str = attrs.field(repr=_hidden)


@attrs.frozen(kw_only=True)
class UploadToken(Record):
    """A token that allows one upload with a client API key before `expires_at`.

    Pass `token` to the browser or app that uploads the file.
    """

    id: str
    environment_id: str
    token: str = attrs.field(repr=_hidden)
    expires_at: datetime
    used_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class ImageDownloadJob(Record):
    """A job that creates a ZIP archive of images.

    `download_url` is the URL of the archive, and is a secret. It is None until the job is `READY`.
    """

    id: str
    environment_id: str | None = None
    status: ImageDownloadStatus
    image_ids: tuple[str, ...]
    download_url: str | None = attrs.field(
        default=None, repr=lambda url: "None" if url is None else "<hidden>"
    )
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class CorsOrigin(Record):
    """A pattern of hosts whose web pages may upload with a client API key.

    Examples are `app.example.com`, `*.example.com` and `localhost:3000`.
    """

    id: str
    environment_id: str
    pattern: str
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class CustomDomain(Record):
    """A host name of your own for the CDN, with the two DNS records (CNAME) that it needs."""

    id: str
    environment_id: str
    hostname: str
    cname_record: str
    cname_value: str
    dcv_cname_record: str
    dcv_cname_value: str
    certificate_status: CustomDomainCertificateStatus
    status: CustomDomainStatus
    last_verified_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class UploadsPoint(Record):
    """The number of uploads that became ready in the interval that starts at `timestamp`."""

    timestamp: datetime
    uploads: int


@attrs.frozen(kw_only=True)
class TransformationsPoint(Record):
    """The number of image transformations in the interval that starts at `timestamp`."""

    timestamp: datetime
    transformations: int


@attrs.frozen(kw_only=True)
class RequestsPoint(Record):
    """The number of CDN requests in the interval that starts at `timestamp`."""

    timestamp: datetime
    requests: int


@attrs.frozen(kw_only=True)
class TransferBytesPoint(Record):
    """The number of bytes that the CDN delivered in the interval that starts at `timestamp`."""

    timestamp: datetime
    transfer_bytes: int


@attrs.frozen(kw_only=True)
class StorageBytesPoint(Record):
    """The bytes in storage at the end of an interval, and the bytes added during the interval.

    The interval starts at `timestamp`.
    """

    timestamp: datetime
    storage_bytes_current: int
    storage_bytes_added: int


@attrs.frozen(kw_only=True)
class CacheHitRatioPoint(Record):
    """A share of the requests to the CDN, for example with `label` "hit" and `value` 92.

    The service may send `value` in percent (92) or as a fraction (0.92). The SDK does not convert it.
    """

    label: str
    value: float


@attrs.frozen(kw_only=True)
class MetricsDatasets(Record):
    """Six series of points for the requested time range, in the order of the service (oldest first)."""

    uploads: tuple[UploadsPoint, ...]
    transformations: tuple[TransformationsPoint, ...]
    requests: tuple[RequestsPoint, ...]
    transfer_bytes: tuple[TransferBytesPoint, ...]
    cache_hit_ratio: tuple[CacheHitRatioPoint, ...]
    storage_bytes: tuple[StorageBytesPoint, ...]


@attrs.frozen(kw_only=True)
class MetricsStatValue(Record):
    """The value of a metric in a time range.

    `prev` is the value of the same metric in the previous range. `pct_change` is the change in percent, or
    None if the service sends no change.
    """

    value: float
    prev: float
    pct_change: float | None = None


@attrs.frozen(kw_only=True)
class MetricsStats(Record):
    """Six metrics of the requested time range, compared with the previous range."""

    uploads: MetricsStatValue
    transformations: MetricsStatValue
    requests: MetricsStatValue
    transfer_bytes: MetricsStatValue
    cache_hit_ratio: MetricsStatValue
    storage_bytes: MetricsStatValue


@attrs.frozen(kw_only=True)
class ValidationError(Record):
    """A value of a request that the service rejected with the status 422. This class is not an exception.

    `loc` is the path of the value in the request. `msg` is the message, and `type` is the service's name for
    the kind of mistake.
    """

    loc: tuple[str | int, ...]
    msg: str
    type: str

    def __str__(self) -> str:
        return escape_unprintable(f"{'.'.join(map(str, self.loc))}: {self.msg}")


@attrs.frozen(kw_only=True)
class HTTPValidationError(Record):
    """The body of a 422 response. The list `detail` is available as `UnprocessableEntityError.errors`."""

    detail: tuple[ValidationError, ...] = ()
