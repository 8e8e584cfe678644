"""What the service answers: frozen, slotted records and open enums. [contract 3]

Records do no I/O. Fields that the service adds tomorrow stay in `extra`; new enum values become unlisted members, so compare with `==`.
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
    """A `StrEnum` that takes values it does not know: they become members that are not listed in the class."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if type(value) is not str:
            return None
        unlisted = str.__new__(cls, value)
        unlisted._name_ = value
        unlisted._value_ = value
        return unlisted

    # Equal things must hash alike: a member equals its text, so a dict keyed by text finds it.
    __hash__ = str.__hash__

    # By value: an unlisted member has no name to be found by.
    def __reduce_ex__(self, proto: Any) -> tuple[Any, ...]:
        return type(self), (self.value,)

    def __deepcopy__(self, memo: Any) -> Self:
        return self

    def __copy__(self) -> Self:
        return self


class ImageStatus(OpenEnum):
    """The life of an image: `PENDING` (no bytes yet) -> `PROCESSING` -> `READY`; `QUARANTINE` is the bad end."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    QUARANTINE = "QUARANTINE"


class ImageDownloadStatus(OpenEnum):
    """The life of a bulk download job: `PENDING` -> `PROCESSING` -> `READY`, or `FAILED`."""

    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    READY = "READY"
    FAILED = "FAILED"


class CustomDomainStatus(OpenEnum):
    """Whether the delivery record (CNAME) of a custom domain was found; `FAILED` is final."""

    PENDING = "PENDING"
    CONNECTED = "CONNECTED"
    FAILED = "FAILED"


class CustomDomainCertificateStatus(OpenEnum):
    """The TLS certificate of a custom domain; `FAILING` may still become `ACTIVE`."""

    PENDING = "PENDING"
    ACTIVE = "ACTIVE"
    FAILING = "FAILING"


class MetricsDatasetInterval(OpenEnum):
    """The width of one point of a metrics dataset; the service's default is `HOURLY`."""

    HOURLY = "HOURLY"
    DAILY = "DAILY"
    WEEKLY = "WEEKLY"
    MONTHLY = "MONTHLY"


class SupportedMimeType(OpenEnum):
    """The ten picture types that the service takes, by their MIME types."""

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
    return "<hidden>"


@attrs.frozen(kw_only=True)
class Record:
    """What all records share: fields that this version does not know stay in `extra`, as they came."""

    extra: dict[str, Any] = attrs.field(factory=dict[str, Any], hash=False, repr=False)


@attrs.frozen(kw_only=True)
class Image(Record, ImageUrls):
    """One image record. [contract 3]

    `width` and `height` are pixels as stored, `size_bytes` the bytes of the original; all three are 0 while the service
    does not know them yet (before `READY`). They and `exif_data` are final once `processed_metadata_at` is set.
    `can_upload` is true while bytes may still be sent for this record; `is_directly_deliverable` is false for types that
    browsers cannot show without a conversion (JXL, ICO, HEIC, BMP, TIFF).
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
        from imgwire_async.urls.preview import preview  # notebooks alone ask for it

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
    """A new image record and the signed URL that takes its bytes; whoever holds `upload_url` may write the image."""

    image: Image
    upload_url: str = attrs.field(repr=_hidden)


@attrs.frozen(kw_only=True)
class UploadToken(Record):
    """A token that lets a client key make one upload before `expires_at`; hand `token` to the browser or app."""

    id: str
    environment_id: str
    token: str = attrs.field(repr=_hidden)
    expires_at: datetime
    used_at: datetime | None = None
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class ImageDownloadJob(Record):
    """A job that packs images into one archive; `download_url` is None before `READY`, and a secret from then on."""

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
    """A host pattern (`app.example.com`, `*.example.com`, `localhost:3000`) whose pages may upload with a client key."""

    id: str
    environment_id: str
    pattern: str
    created_at: datetime
    updated_at: datetime


@attrs.frozen(kw_only=True)
class CustomDomain(Record):
    """The environment's own CDN host name and the two DNS records (CNAME) that make it work."""

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
    """Uploads that became ready in the interval that begins at `timestamp`."""

    timestamp: datetime
    uploads: int


@attrs.frozen(kw_only=True)
class TransformationsPoint(Record):
    """Image transformations in the interval that begins at `timestamp`."""

    timestamp: datetime
    transformations: int


@attrs.frozen(kw_only=True)
class RequestsPoint(Record):
    """CDN requests in the interval that begins at `timestamp`."""

    timestamp: datetime
    requests: int


@attrs.frozen(kw_only=True)
class TransferBytesPoint(Record):
    """Bytes delivered in the interval that begins at `timestamp`."""

    timestamp: datetime
    transfer_bytes: int


@attrs.frozen(kw_only=True)
class StorageBytesPoint(Record):
    """Bytes stored at the end of, and added during, the interval that begins at `timestamp`."""

    timestamp: datetime
    storage_bytes_current: int
    storage_bytes_added: int


@attrs.frozen(kw_only=True)
class CacheHitRatioPoint(Record):
    """One share of the CDN's requests, e.g. `label` "hit" with `value` 92, or 0.92: any number, as the service sends it."""

    label: str
    value: float


@attrs.frozen(kw_only=True)
class MetricsDatasets(Record):
    """Six series of points over the asked range, oldest first as the service sends them."""

    uploads: tuple[UploadsPoint, ...]
    transformations: tuple[TransformationsPoint, ...]
    requests: tuple[RequestsPoint, ...]
    transfer_bytes: tuple[TransferBytesPoint, ...]
    cache_hit_ratio: tuple[CacheHitRatioPoint, ...]
    storage_bytes: tuple[StorageBytesPoint, ...]


@attrs.frozen(kw_only=True)
class MetricsStatValue(Record):
    """A figure, the same figure of the range before, and the change in percent (None when it cannot be worked out)."""

    value: float
    prev: float
    pct_change: float | None = None


@attrs.frozen(kw_only=True)
class MetricsStats(Record):
    """Six figures over the asked range, each beside that of the range before."""

    uploads: MetricsStatValue
    transformations: MetricsStatValue
    requests: MetricsStatValue
    transfer_bytes: MetricsStatValue
    cache_hit_ratio: MetricsStatValue
    storage_bytes: MetricsStatValue


@attrs.frozen(kw_only=True)
class ValidationError(Record):
    """One refused value of a 422 answer: where (`loc`), what (`msg`) and the service's name for it (`type`). No exception."""

    loc: tuple[str | int, ...]
    msg: str
    type: str

    def __str__(self) -> str:
        return escape_unprintable(f"{'.'.join(map(str, self.loc))}: {self.msg}")


@attrs.frozen(kw_only=True)
class HTTPValidationError(Record):
    """The body of a 422 answer from validation; `UnprocessableEntityError.errors` has what it lists."""

    detail: tuple[ValidationError, ...] = ()
