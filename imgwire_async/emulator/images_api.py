"""The API operations on images and upload tokens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from attrs import evolve

from imgwire_async.emulator.bodies import StoredBody
from imgwire_async.emulator.http import HTTPError, Response, api_error, json_response
from imgwire_async.emulator.lifecycle import extension_of, type_by_name
from imgwire_async.emulator.paging import paged_response
from imgwire_async.emulator.records import EXTENSIONS, Image, UploadToken, image_json, token_json
from imgwire_async.emulator.remote_urls import fetch_picture
from imgwire_async.emulator.signing import encode_segment
from imgwire_async.emulator.state import ApiCall, State, create_presigned_url, not_allowed, not_found
from imgwire_async.emulator.store import new_id
from imgwire_async.emulator.validation import Field
from imgwire_async.emulator.validators import http_url, integer, metadata, one_of, text, uuid_list

__all__ = [
    "IMAGE_IDS_FIELDS", "STANDARD_UPLOAD_FIELDS", "UPLOAD_VIA_URL_FIELDS", "bulk_delete", "create", "create_upload_token", "delete",
    "list_images", "retrieve", "upload_via_url",
]  # fmt: skip

_SHORT_TEXT = text(1, 255)
_MIME_TYPE = one_of(*EXTENSIONS)
# The maximum number of characters of a file name in an upload URL. A longer name is cut, because many HTTP
# servers and clients limit a request line to 8 KiB.
_MAXIMUM_URL_NAME = 200

STANDARD_UPLOAD_FIELDS = (
    Field("file_name", text(1), required=True),
    Field("mime_type", _MIME_TYPE, nullable=True, schema="SupportedMimeType"),
    Field("content_length", integer(0), nullable=True),
    Field("custom_metadata", metadata),
    Field("hash_sha256", _SHORT_TEXT, nullable=True),
    Field("idempotency_key", _SHORT_TEXT, nullable=True),
    Field("purpose", _SHORT_TEXT, nullable=True),
)
UPLOAD_VIA_URL_FIELDS = (
    Field("url", http_url, required=True),
    Field("file_name", text(1), nullable=True),
    Field("mime_type", _MIME_TYPE, nullable=True, schema="SupportedMimeType"),
    Field("custom_metadata", metadata),
    Field("idempotency_key", _SHORT_TEXT, nullable=True),
    Field("purpose", _SHORT_TEXT, nullable=True),
)
IMAGE_IDS_FIELDS = (Field("image_ids", uuid_list, required=True),)


def list_images(state: State, call: ApiCall) -> Response:
    """List the images, newest first.

    [GET /images/]
    """
    store = state.store
    return paged_response(
        call,
        len(store.images),
        lambda page, limit: [
            _json_for_client(state, call, image) for image in store.list_page(page, limit, call.now)
        ],
    )


def retrieve(state: State, call: ApiCall) -> Response:
    """Return one image, and count this retrieve.

    [GET /images/{image_id}]
    """
    image = state.store.poll_image(call.path.text("image_id"), call.now)
    if image is None:
        raise not_found()
    return json_response(_json_for_client(state, call, image))


def create(state: State, call: ApiCall) -> Response:
    """Create an image and its upload URL.

    [POST /images/standard_upload]
    """
    token = _upload_token(state, call)
    if call.key == "client" and token is None and not state.settings.client_limits.allow_unsigned_upload:
        raise not_allowed("This client key needs an upload token.")
    image = _existing_image(state, call)
    if image is None:
        if call.key == "client":
            _check_client_limits(state, call)
        image = _new_image(state, call, call.body.text("file_name"), token)
        state.store.add_image(image)
        url = _create_upload_url(state, image, call)
    elif state.switches.idempotency == "same_dead_url" or image.status != "PENDING":
        url = _last_upload_url(state, image, call)
    else:
        url = _create_upload_url(state, image, call)
    if token is not None:
        state.store.mark_token_used(token, call.now)
    return json_response({"image": _json_for_client(state, call, image), "upload_url": url})


def upload_via_url(state: State, call: ApiCall) -> Response:
    """Create an image from the picture at a URL.

    [POST /images/upload_via_url]
    """
    image = _existing_image(state, call)
    if image is None:
        url = call.body.text("url")
        delay = state.switches.fetch_after
        stored = _fetch(state, call, url)
        name = (
            call.body.optional_text("file_name")
            or unquote(PurePosixPath(urlsplit(url).path).name)
            or "upload"
        )
        image = _new_image(state, call, name, None)
        if delay:
            image = evolve(image, fetched=stored, fetched_at=call.now + timedelta(seconds=delay))
        state.store.add_image(image)
        if stored is not None and not delay:
            image = state.store.store_bytes(image, stored, call.now)
    return json_response(_json_for_client(state, call, image))


def _fetch(state: State, call: ApiCall, url: str) -> StoredBody | None:
    """Return the picture at a URL, or None for one that cannot be fetched and is not rejected."""
    try:
        return fetch_picture(state, call.origins, url, call.now)
    except HTTPError:
        if state.switches.fetch_after:
            return None
        raise


def create_upload_token(state: State, call: ApiCall) -> Response:
    """Create an upload token.

    [POST /images/token]
    """
    return json_response(token_json(state.store.create_token(call.now)))


def delete(state: State, call: ApiCall) -> Response:
    """Delete one image.

    [DELETE /images/{image_id}]
    """
    image = state.store.get_image(call.path.text("image_id"), call.now)
    if image is None:
        raise not_found()
    state.store.delete_image(image, call.now)
    return json_response({"id": image.id, "detail": "Image deleted."})


def bulk_delete(state: State, call: ApiCall) -> Response:
    """Delete several images. If one of them does not exist, respond with a 404 and delete none.

    [POST /images/bulk_delete]
    """
    results = [state.store.get_image(image_id, call.now) for image_id in call.body.ids("image_ids")]
    images = [image for image in results if image is not None]
    if len(images) < len(results):
        raise not_found()
    for image in images:
        state.store.delete_image(image, call.now)
    return json_response({"detail": f"{len(images)} images deleted."})


def _json_for_client(state: State, call: ApiCall, image: Image) -> dict[str, object]:
    """Return an image as JSON. Its CDN URL has the host name with which the client reached the emulator."""
    if call.origins is not state.origins:
        cdn_url = call.origins.cdn + image.cdn_url.removeprefix(state.origins.cdn)
        image = evolve(image, cdn_url=cdn_url)
    return image_json(image, null_sizes=state.switches.null_sizes_while_pending)


def _upload_token(state: State, call: ApiCall) -> UploadToken | None:
    """Return the upload token in the query, or None if the query has no token.

    Raises a 401 for a token that is unknown, used or expired.
    """
    secret = call.query.optional_text("upload_token")
    if secret is None:
        return None
    token = state.store.tokens.get(secret)
    if token is None or token.used_at is not None or token.expires_at <= call.now:
        raise HTTPError(api_error(401, "InvalidTokenError", "The upload token is unknown, used or expired."))
    return token


def _check_client_limits(state: State, call: ApiCall) -> None:
    """Raise an `HTTPError` if the new image exceeds a limit of the client key.

    Call this only if the request creates an image. A repeated idempotency key creates none.
    """
    limits = state.settings.client_limits
    if (call.body.optional_integer("content_length") or 0) > limits.maximum_upload_bytes:
        raise not_allowed(f"The client key allows at most {limits.maximum_upload_bytes} bytes.")
    mime_type = call.body.optional_text("mime_type") or type_by_name(call.body.text("file_name"))
    if limits.allowed_mime_types is not None and mime_type not in limits.allowed_mime_types:
        raise not_allowed(f"The client key does not allow {mime_type or 'unknown types'}.")
    if state.store.client_pending_count >= limits.maximum_pending_uploads:
        raise HTTPError(api_error(402, "PaymentRequiredError", "Too many pending uploads."))


def _existing_image(state: State, call: ApiCall) -> Image | None:
    """Return the image that was created with the idempotency key of this call, or None to create a new image.

    With the switch `idempotency="ignored"` the result is always None. With `"conflict"`, an existing image
    raises a 409.
    """
    if state.switches.idempotency == "ignored":
        return None
    image = state.store.find_by_idempotency_key(call.body.optional_text("idempotency_key"), call.now)
    if image is not None and state.switches.idempotency == "conflict":
        raise HTTPError(api_error(409, "ConflictError", "This idempotency key was used before."))
    return image


def _new_image(state: State, call: ApiCall, name: str, token: UploadToken | None) -> Image:
    image_id = new_id()
    body = call.body
    declared = body.optional_text("mime_type")
    mime_type = declared or type_by_name(name) or "image/jpeg"
    return Image(
        id=image_id,
        cdn_url=f"{state.origins.cdn}/{state.organization_id}/{state.store.environment_id}/{image_id}",
        environment_id=state.store.environment_id,
        original_filename=name,
        mime_type=mime_type,
        extension=extension_of(name) or EXTENSIONS[mime_type][0],
        created_at=call.now,
        updated_at=call.now,
        declared_type=declared,
        declared_length=body.optional_integer("content_length"),
        hash_sha256=body.optional_text("hash_sha256"),
        idempotency_key=body.optional_text("idempotency_key"),
        purpose=body.optional_text("purpose"),
        upload_token_id=None if token is None else token.id,
        custom_metadata=body.scalars("custom_metadata"),
        created_with_client_key=call.key == "client",
    )


def _create_upload_url(state: State, image: Image, call: ApiCall) -> str:
    """Create an upload URL for an image, and store it.

    The signature covers the length that was declared when the image was created. With the switch
    `signed_content_type`, the signature also covers the declared type.
    """
    headers: dict[str, str] = {}
    if state.switches.signed_content_type:
        # The value "" in the signature means that the PUT must not have a Content-Type.
        headers["content-type"] = image.declared_type or ""
    if image.declared_length is not None:
        headers["content-length"] = str(image.declared_length)
    path = f"/uploads/{image.id}/{encode_segment(image.original_filename[:_MAXIMUM_URL_NAME])}"
    signature, upload_url = create_presigned_url(state, call, image.id, "PUT", path, headers)
    state.store.add_upload_url(signature, upload_url)
    return upload_url.url


def _last_upload_url(state: State, image: Image, call: ApiCall) -> str:
    # An image that was uploaded by URL never had an upload URL, so it gets a new URL.
    upload_url = state.store.last_upload_urls.get(image.id)
    return _create_upload_url(state, image, call) if upload_url is None else upload_url.url
