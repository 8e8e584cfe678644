"""`upload`: the plan, the flow and the wait, under one deadline."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import attrs

from imgwire_async.errors import ImgwireError
from imgwire_async.models import Image, StandardUpload, UploadProgress
from imgwire_async.protocol.request import Carrier, compact
from imgwire_async.uploads.flow import Flow, Plan
from imgwire_async.uploads.prepare import planned


@attrs.frozen(kw_only=True)
class UploadArguments:
    """What the caller said about one upload, checked."""

    file_name: str | None
    mime_type: str | None
    content_length: int | None
    custom_metadata: Mapping[str, Any] | None
    hash_sha256: str | bool | None
    idempotency_key: str | None
    own_key: bool
    purpose: str | None
    upload_token: str | None = attrs.field(repr=False)
    wait: float | None
    on_created: Callable[[Image], object] | None
    on_progress: Callable[[UploadProgress], object] | None


Create = Callable[[Mapping[str, object], str | None], Awaitable[StandardUpload]]


@attrs.define
class _Desk:
    """Mints URLs for one upload, always with the same body: the same key on every attempt."""

    body: dict[str, object]
    upload_token: str | None
    own_key: bool
    create: Create
    look: Callable[[str], Awaitable[Image]]

    async def mint(self, *, fresh_key: bool) -> StandardUpload:
        if fresh_key:
            self.body = {**self.body, "idempotency_key": str(uuid.uuid4())}
        return await self.create(self.body, self.upload_token)


def _body(plan: Plan, given: UploadArguments) -> dict[str, object]:
    return compact(
        file_name=plan.file_name,
        mime_type=plan.mime_type,
        content_length=plan.size,
        custom_metadata=given.custom_metadata,
        hash_sha256=plan.sha256 or (given.hash_sha256 or None),
        idempotency_key=given.idempotency_key,
        purpose=given.purpose,
    )


async def upload(
    file: object,
    given: UploadArguments,
    *,
    carrier: Carrier,
    create: Create,
    retrieve: Callable[[str], Awaitable[Image]],
    wait: Callable[[Image, float], Awaitable[Image]],
) -> Image:
    """The record of the uploaded file. Errors carry the record as soon as there is one."""
    flow: Flow | None = None
    try:
        async with carrier.operation(f"upload of {given.file_name or 'a file'}"):
            async with planned(
                file,
                file_name=given.file_name,
                mime_type=given.mime_type,
                content_length=given.content_length,
                sha256=given.hash_sha256,
                on_created=given.on_created,
                on_progress=given.on_progress,
            ) as plan:
                desk = _Desk(_body(plan, given), given.upload_token, given.own_key, create, retrieve)
                flow = Flow(plan, desk, carrier)
                image = await flow.run()
            return image if given.wait is None else await wait(image, given.wait)
    except ImgwireError as error:
        if error.image is None and flow is not None:
            error.image = flow.image
        raise
