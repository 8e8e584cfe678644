"""Operations 1 to 7: images and upload tokens."""

from __future__ import annotations

from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from attrs import evolve

from imgwire_async.emulator.internet import fetched
from imgwire_async.emulator.lives import extension_of, type_by_name
from imgwire_async.emulator.paging import paged
from imgwire_async.emulator.records import EXTENSIONS, Image, UploadToken, image_json, token_json
from imgwire_async.emulator.signing import encoded
from imgwire_async.emulator.store import new_id
from imgwire_async.emulator.validation import Field, http_url, integer, metadata, one_of, text, uuid_list
from imgwire_async.emulator.wire import Answer, RefusedError, domain_error, json_answer
from imgwire_async.emulator.world import Call, World, new_ticket, not_allowed, not_found

__all__ = [
    "IMAGE_IDS", "STANDARD_UPLOAD", "UPLOAD_VIA_URL", "bulk_delete", "create", "create_upload_token", "delete",
    "list_images", "retrieve", "upload_via_url",
]  # fmt: skip

_LABEL = text(1, 255)
_MIME_TYPE = one_of(*EXTENSIONS)
_URL_NAME = 200  # characters of a file name that go into the upload URL: request lines end at 8 KiB

STANDARD_UPLOAD = (
    Field("file_name", text(1), required=True),
    Field("mime_type", _MIME_TYPE, nullable=True, schema="SupportedMimeType"),
    Field("content_length", integer(0), nullable=True),
    Field("custom_metadata", metadata),
    Field("hash_sha256", _LABEL, nullable=True),
    Field("idempotency_key", _LABEL, nullable=True),
    Field("purpose", _LABEL, nullable=True),
)
UPLOAD_VIA_URL = (
    Field("url", http_url, required=True),
    Field("file_name", text(1), nullable=True),
    Field("mime_type", _MIME_TYPE, nullable=True, schema="SupportedMimeType"),
    Field("custom_metadata", metadata),
    Field("idempotency_key", _LABEL, nullable=True),
    Field("purpose", _LABEL, nullable=True),
)
IMAGE_IDS = (Field("image_ids", uuid_list, required=True),)


def list_images(world: World, call: Call) -> Answer:
    """[GET /images/]"""
    store = world.store
    return paged(
        call,
        len(store.images),
        lambda page, limit: [_json(world, call, i) for i in store.page(page, limit, call.now)],
    )


def retrieve(world: World, call: Call) -> Answer:
    """[GET /images/{image_id}]"""
    image = world.store.poll_image(call.path.text("image_id"), call.now)
    if image is None:
        raise not_found()
    return json_answer(_json(world, call, image))


def create(world: World, call: Call) -> Answer:
    """[POST /images/standard_upload]"""
    token = _token(world, call)
    if call.key == "client" and token is None and not world.knobs.client_limits.allow_unsigned_upload:
        raise not_allowed("This client key needs an upload token.")
    image = _repeated(world, call)
    if image is None:
        if call.key == "client":
            _hold_to_limits(world, call)
        image = _new_image(world, call, call.body.text("file_name"), token)
        world.store.add_image(image)
        url = _mint(world, image, call)
    elif world.switches.idempotency == "same_dead_url" or image.status != "PENDING":
        url = _last_url(world, image, call)
    else:
        url = _mint(world, image, call)
    if token is not None:
        world.store.use_token(token, call.now)
    return json_answer({"image": _json(world, call, image), "upload_url": url})


def upload_via_url(world: World, call: Call) -> Answer:
    """[POST /images/upload_via_url]"""
    image = _repeated(world, call)
    if image is None:
        url = call.body.text("url")
        stored = fetched(world, call.places, url, call.now)
        name = (
            call.body.maybe_text("file_name") or unquote(PurePosixPath(urlsplit(url).path).name) or "upload"
        )
        image = _new_image(world, call, name, None)
        world.store.add_image(image)
        image = world.store.receive(image, stored, call.now)
    return json_answer(_json(world, call, image))


def create_upload_token(world: World, call: Call) -> Answer:
    """[POST /images/token]"""
    return json_answer(token_json(world.store.new_token(call.now)))


def delete(world: World, call: Call) -> Answer:
    """[DELETE /images/{image_id}]"""
    image = world.store.image(call.path.text("image_id"), call.now)
    if image is None:
        raise not_found()
    world.store.delete_image(image, call.now)
    return json_answer({"id": image.id, "detail": "Image deleted."})


def bulk_delete(world: World, call: Call) -> Answer:
    """All or none. [POST /images/bulk_delete]"""
    found = [world.store.image(image_id, call.now) for image_id in call.body.ids("image_ids")]
    images = [image for image in found if image is not None]
    if len(images) < len(found):
        raise not_found()
    for image in images:
        world.store.delete_image(image, call.now)
    return json_answer({"detail": f"{len(images)} images deleted."})


def _json(world: World, call: Call, image: Image) -> dict[str, object]:
    if call.places is not world.places:
        cdn_url = call.places.cdn + image.cdn_url.removeprefix(world.places.cdn)
        image = evolve(image, cdn_url=cdn_url)
    return image_json(image, null_sizes=world.switches.null_sizes_while_pending)


def _token(world: World, call: Call) -> UploadToken | None:
    given = call.query.maybe_text("upload_token")
    if given is None:
        return None
    token = world.store.tokens.get(given)
    if token is None or token.used_at is not None or token.expires_at <= call.now:
        raise RefusedError(
            domain_error(401, "InvalidTokenError", "The upload token is unknown, used or expired.")
        )
    return token


def _hold_to_limits(world: World, call: Call) -> None:
    """A repeat makes no new record, so it is not held to them."""
    limits = world.knobs.client_limits
    if (call.body.maybe_number("content_length") or 0) > limits.maximum_upload_bytes:
        raise not_allowed(f"The client key allows at most {limits.maximum_upload_bytes} bytes.")
    mime_type = call.body.maybe_text("mime_type") or type_by_name(call.body.text("file_name"))
    if limits.allowed_mime_types is not None and mime_type not in limits.allowed_mime_types:
        raise not_allowed(f"The client key does not allow {mime_type or 'unknown types'}.")
    if world.store.client_pending >= limits.maximum_pending_uploads:
        raise RefusedError(domain_error(402, "PaymentRequiredError", "Too many pending uploads."))


def _repeated(world: World, call: Call) -> Image | None:
    """The image that this idempotency key made before, where the switch lets it count."""
    if world.switches.idempotency == "ignored":
        return None
    image = world.store.repeated(call.body.maybe_text("idempotency_key"), call.now)
    if image is not None and world.switches.idempotency == "conflict":
        raise RefusedError(domain_error(409, "ConflictError", "This idempotency key was used before."))
    return image


def _new_image(world: World, call: Call, name: str, token: UploadToken | None) -> Image:
    image_id = new_id()
    body = call.body
    declared = body.maybe_text("mime_type")
    mime_type = declared or type_by_name(name) or "image/jpeg"
    return Image(
        id=image_id,
        cdn_url=f"{world.places.cdn}/{world.organization_id}/{world.store.environment_id}/{image_id}",
        environment_id=world.store.environment_id,
        original_filename=name,
        mime_type=mime_type,
        extension=extension_of(name) or EXTENSIONS[mime_type][0],
        created_at=call.now,
        updated_at=call.now,
        declared_type=declared,
        declared_length=body.maybe_number("content_length"),
        hash_sha256=body.maybe_text("hash_sha256"),
        idempotency_key=body.maybe_text("idempotency_key"),
        purpose=body.maybe_text("purpose"),
        upload_token_id=None if token is None else token.id,
        custom_metadata=body.scalars("custom_metadata"),
        by_client_key=call.key == "client",
    )


def _mint(world: World, image: Image, call: Call) -> str:
    """A fresh upload URL; what was declared is signed."""
    headers: dict[str, str] = {}
    if world.switches.signed_content_type:
        headers["content-type"] = image.declared_type or ""  # none declared: none may come
    if image.declared_length is not None:
        headers["content-length"] = str(image.declared_length)
    path = f"/uploads/{image.id}/{encoded(image.original_filename[:_URL_NAME])}"
    signature, ticket = new_ticket(world, call, image.id, "PUT", path, headers)
    world.store.add_ticket(signature, ticket)
    return ticket.url


def _last_url(world: World, image: Image, call: Call) -> str:
    ticket = world.store.last_ticket.get(image.id)  # none: made by URL, where no upload URL was needed
    return _mint(world, image, call) if ticket is None else ticket.url
