"""The configuration of an emulator: switches, which never change, and settings, which a test may change."""

from __future__ import annotations

from typing import Literal, TypeAlias

from attrs import define, field, frozen
from attrs.validators import and_, ge, in_, instance_of, le, optional

__all__ = [
    "ClientLimits",
    "DeletedKeys",
    "ExpiredStatus",
    "Idempotency",
    "ListOrder",
    "NaiveDates",
    "SecondPut",
    "Settings",
    "Switches",
]

Idempotency: TypeAlias = Literal["same", "conflict", "same_dead_url", "ignored"]
DeletedKeys: TypeAlias = Literal["forgotten", "remembered"]
ListOrder: TypeAlias = Literal["created", "updated", "id"]
NaiveDates: TypeAlias = Literal["utc", "refused"]
SecondPut: TypeAlias = Literal["accepted", "refused"]
ExpiredStatus: TypeAlias = Literal[403, 400]


@frozen(kw_only=True)
class Switches:
    """The arguments of `Emulator` that select a behaviour which the contract does not define.

    The docstring of `Emulator` describes each switch.
    """

    ready_after: float = field(default=0.0, validator=ge(0))
    ready_polls: int = field(default=1, validator=and_(instance_of(int), ge(0)))
    fetch_after: float = field(default=0.0, validator=ge(0))
    idempotency: Idempotency = field(
        default="same", validator=in_(("same", "conflict", "same_dead_url", "ignored"))
    )
    deleted_keys: DeletedKeys = field(default="forgotten", validator=in_(("forgotten", "remembered")))
    list_order: ListOrder = field(default="created", validator=in_(("created", "updated", "id")))
    signed_content_type: bool = field(default=True, validator=instance_of(bool))
    url_lifetime: float = field(default=900.0, validator=ge(0))
    null_sizes_while_pending: bool = field(default=False, validator=instance_of(bool))
    expired_status: ExpiredStatus = field(default=403, validator=in_((403, 400)))
    second_put: SecondPut = field(default="accepted", validator=in_(("accepted", "refused")))
    naive_dates: NaiveDates = field(default="utc", validator=in_(("utc", "refused")))
    rate_limit: int | None = field(default=None, validator=optional(and_(instance_of(int), ge(1))))


@frozen(kw_only=True)
class ClientLimits:
    """The limits for uploads with the client key. The defaults are those of the contract.

    Args:
        maximum_upload_bytes: The maximum `content_length` of an upload.
        maximum_pending_uploads: The maximum number of images created with the client key that are PENDING at
            the same time.
        allowed_mime_types: The MIME types that may be uploaded. None allows every supported type.
        allow_unsigned_upload: Whether an upload without an upload token is allowed.

    [contract 7]
    """

    maximum_upload_bytes: int = field(default=52_428_800, validator=and_(ge(5_120), le(104_857_600)))
    maximum_pending_uploads: int = field(default=100, validator=ge(5))
    allowed_mime_types: frozenset[str] | None = None
    allow_unsigned_upload: bool = False


@define(kw_only=True)
class Settings:
    """The settings that a test may change while the emulator runs.

    Each setting is described at the property of `Emulator` with the same name. `Emulator.reset` restores the
    defaults.
    """

    client_limits: ClientLimits = field(factory=ClientLimits)
    urls: dict[str, bytes] = field(factory=dict[str, bytes])
    claimed_hostnames: set[str] = field(factory=set[str])
    domain_polls: int = 2
    download_polls: int = 2
    keep_bodies: bool = True
