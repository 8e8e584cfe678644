"""Upload a picture by its URL: the service fetches it, and this program sends no bytes."""

from __future__ import annotations

import re
from typing import NoReturn
from urllib.parse import parse_qsl, unquote, urlsplit

import attrs

from imgwire_async.batch.doubts import is_recent
from imgwire_async.batch.items import RemoteFile
from imgwire_async.batch.list_search import ListSearch
from imgwire_async.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    DecodeError,
    ImgwireError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    UploadError,
    WaitTimeoutError,
)
from imgwire_async.formatting import shortened
from imgwire_async.messages import prefix_closed_client_error
from imgwire_async.models import Image
from imgwire_async.protocol.request import Request, Transport, drop_none
from imgwire_async.redaction import escape_unprintable
from imgwire_async.resources import arguments
from imgwire_async.retry import Failure, is_transient, parse_retry_after
from imgwire_async.uploads import put_errors
from imgwire_async.uploads.hooks import UploadHooks
from imgwire_async.uploads.item import UploadItem
from imgwire_async.uploads.requests import retrieve_request
from imgwire_async.uploads.states import ARRIVED
from imgwire_async.uploads.upload import Upload

# These errors would occur for every URL.
_FATAL = (AuthenticationError, PaymentRequiredError, PermissionDeniedError, ConfigurationError)
# A shorter text is no secret, and may be part of any word of a message.
_SHORTEST_SECRET = 4
_WORD_ENDS = re.compile("[^0-9A-Za-z]+")


def check_remote(item: UploadItem) -> None:
    """Raise `ValueError` if an item has arguments that do not apply to a picture at a URL."""
    given = {
        "content_length": item.content_length is not None,
        "hash_sha256": item.hash_sha256 not in {None, False},
        "upload_token": item.upload_token is not None,
    }
    names = [name for name, is_given in given.items() if is_given]
    if names:
        raise ValueError(
            f"{' and '.join(names)} cannot be used with a URL, because the service fetches the picture itself"
        )


@attrs.frozen
class KnownRecord:
    """What is known about the record of a picture before its upload.

    Args:
        image_id: The id of a record that may be that of the picture, None if there is none.
        is_key_used: Whether the key may have been sent before, so that there may be a record with this key.
        since: The time in seconds since the epoch at which the key was sent for the first time.
    """

    image_id: str | None
    is_key_used: bool
    since: float


class Fetch(Upload):
    """The upload of a picture that the service fetches from a URL.

    After a response that was lost, the list of images is searched for the idempotency key before the service
    is asked to fetch again. So no picture is fetched twice, also if the service does not know keys. `puts` is
    the number of these requests. The record may still be PENDING when `run` returns it.
    """

    puts: int

    def __init__(
        self,
        transport: Transport,
        item: UploadItem,
        *,
        hooks: UploadHooks,
        search: ListSearch,
        known: KnownRecord,
    ) -> None:
        super().__init__(transport, item, hooks=hooks)
        assert isinstance(item.file, RemoteFile)
        self._remote = item.file
        self._fetch_hooks = hooks
        self._search = search
        self._known = known

    @property
    def file_name(self) -> str | None:
        """The file name that the caller gave."""
        return self._item.file_name

    def is_fatal(self, error: Exception) -> bool:
        """Return whether this error would occur for every file of a run."""
        return isinstance(error, _FATAL)

    async def run(self) -> Image:
        """Let the service fetch the picture, and return its record."""
        name = shortened(self._remote.label)
        try:
            async with self._transport.operation("images.upload_via_url", f"upload of {name}"):
                image = await self._find_or_fetch()
                self.image: Image | None = image
                await self._fetch_hooks.created(image)
                return image
        except ImgwireError as error:
            error.image = error.image or self.image
            hide_secrets(error, self._remote)
            if not isinstance(error, _FATAL):
                put_errors.prefix_path(name, error)
            raise
        except RuntimeError as error:
            prefix_closed_client_error(error, f"upload of {name}")
            raise

    async def _find_or_fetch(self) -> Image:
        if self._item.idempotency_key is None:
            self._key = await self._new_key()
        if self._known.image_id is not None and (image := await self._retrieve(self._known.image_id)):
            return image
        if self._known.is_key_used and (image := await self._find()):
            return image
        while True:
            image = await self._fetch()
            if image is None:
                continue
            if image.deleted_at is None:
                return image
            self.image = image
            if not await self._renew_key():
                self._raise_deleted(image)

    async def _retrieve(self, image_id: str) -> Image | None:
        """Return a record if it is that of the picture: it has bytes, or gets them under the current key."""
        try:
            image = await self._call(retrieve_request(image_id))
        except NotFoundError:
            return None
        is_usable = image.status in ARRIVED or image.idempotency_key == self._key
        return image if is_usable and image.deleted_at is None else None

    async def _find(self) -> Image | None:
        """Search the list of images for the current key."""
        assert self._key is not None
        image = await self._search.find(self._key, self._known.since)
        if image is not None and self._item.idempotency_key is not None:
            # Older images may have the same key of the user, and contain other pictures.
            return image if is_recent(image, self._known.since) else None
        return image

    async def _fetch(self) -> Image | None:
        """Send the request. Return None if it must be sent again, because there is no record of it."""
        try:
            self.puts += 1
            return await self._call(self._request())
        except ConflictError:
            # An earlier run may have lost its journal, or the response of the service.
            image = None if self._item.idempotency_key is not None else await self._find()
            if image is None and not await self._renew_key():
                raise
            return image
        except (APIConnectionError, APIStatusError, DecodeError) as error:
            failure = lost_response(error)
            if failure is None:
                raise
            return await self._find_lost(error, failure)

    async def _find_lost(self, error: ImgwireError, failure: Failure) -> Image | None:
        """Return the record of a request whose response was lost, or None if it may be sent again."""
        delay = self._state.budget.next_delay(failure)
        if delay is not None and error.exchange is not None:
            await self._transport.sleep_before_retry(error.exchange, failure.reason, delay)
        try:
            image = await self._find()
        except ImgwireError:
            # The service is not available. The file is tried again at the end of the run.
            raise error from None
        if image is None and delay is None:
            raise error
        return image

    def _request(self) -> Request[Image]:
        item = self._item
        body = drop_none(
            url=self._remote.url,
            file_name=item.file_name,
            mime_type=arguments.mime_type(item.mime_type, item.file_name),
            custom_metadata=item.custom_metadata,
            idempotency_key=self._key,
            purpose=item.purpose,
        )
        # The transport must not repeat it, because the list is searched before.
        return Request("POST", "/images/upload_via_url", Image, json=body, repeatable=False)

    def _raise_deleted(self, image: Image) -> NoReturn:
        raise UploadError(
            f"{shortened(self._remote.label)}: the service returned image {image.id}, which was deleted. Pass another "
            "idempotency_key, or None.",
            file_name=self.file_name,
            image=image,
        )


def lost_response(error: ImgwireError) -> Failure | None:
    """Return the failure of a request that the service may have processed, None for any other error."""
    reason = str(error)
    if isinstance(error, APIConnectionError):
        return Failure(reason) if error.sent else None
    if isinstance(error, APIStatusError):
        if error.status == 429 or not is_transient(error.status):
            return None
        return Failure(reason, status=error.status, retry_after=parse_retry_after(error.headers))
    # A successful response that is not complete, or that a proxy has replaced.
    return Failure(reason) if isinstance(error, DecodeError) else None


def unfetched(outcome: Image | Exception) -> Image | None:
    """Return the record of a wait that took too long, if the service has not fetched its picture yet."""
    image = outcome.record if isinstance(outcome, WaitTimeoutError) else None
    return image if isinstance(image, Image) and image.status not in ARRIVED else None


def never_fetched(key: str, image: Image, seconds: float) -> WaitTimeoutError:
    """Return the error of a picture that the service has not fetched in time."""
    return WaitTimeoutError(
        f"{key}: the service has not fetched the picture after {seconds:g} s, and image {image.id} is still PENDING. Check that "
        "the URL is public and returns a picture. The next run asks the service to fetch it again.",
        record=image,
    )


def hide_secrets(error: ImgwireError, file: RemoteFile) -> None:
    """Replace the query and the user info of a URL in an error, because a service may repeat them."""
    secrets = _secrets_of(file)
    if not secrets:
        return

    def hidden(text: str) -> str:
        for secret in secrets:
            text = text.replace(secret, "***")
        return text

    error.args = tuple(hidden(value) if isinstance(value, str) else value for value in error.args)
    for name, value in vars(error).items():
        if isinstance(value, str):
            setattr(error, name, hidden(value))
        elif name == "errors":
            # The service may repeat the whole URL in any field of them.
            setattr(error, name, ())


def _secrets_of(file: RemoteFile) -> list[str]:
    """Return the texts that a URL hides, the longest first."""
    parts = urlsplit(file.url)
    query = parts.query
    user_info = parts.netloc.rpartition("@")[0]
    texts = [query, unquote(query), user_info, unquote(user_info)]
    values = [user_info, unquote(user_info), *(value for _, value in parse_qsl(query))]
    # The redaction of all messages may have replaced a part of the query, so its words are replaced, too.
    texts += [word for value in values for word in _WORD_ENDS.split(value)]
    found = {text for text in texts if len(text) >= _SHORTEST_SECRET}
    found |= {escape_unprintable(text) for text in found}
    return sorted(found, key=len, reverse=True)
