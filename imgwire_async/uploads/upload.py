"""One upload: open the file, create the record, send the bytes, and act on the outcome as `states` decides.

An upload acquires a put slot before it requests a URL, so that the URL is new when the PUT begins. A URL that
the storage rejected is never used again. Bytes are sent again only if the source can be read from its start.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

from imgwire_async import user_code
from imgwire_async.errors import (
    AuthenticationError,
    ConfigurationError,
    ConflictError,
    ImgwireError,
    NotFoundError,
    PaymentRequiredError,
    PermissionDeniedError,
    UploadError,
)
from imgwire_async.formatting import shortened
from imgwire_async.logs import logger
from imgwire_async.messages import prefix_closed_client_error
from imgwire_async.mime import HEAD_BYTES
from imgwire_async.models import Image, StandardUpload
from imgwire_async.protocol import codec
from imgwire_async.protocol.request import (
    APIResponse,
    NoResponseError,
    PutRequest,
    Request,
    Transport,
    drop_none,
)
from imgwire_async.results import UploadProgress
from imgwire_async.retry import Failure, RetryBudget
from imgwire_async.uploads import put_errors
from imgwire_async.uploads.hooks import UploadHooks
from imgwire_async.uploads.item import UploadItem, name_for_messages, path_name
from imgwire_async.uploads.prepare import prepare
from imgwire_async.uploads.prepared import PreparedUpload
from imgwire_async.uploads.put_errors import PutFailure
from imgwire_async.uploads.requests import create_request, retrieve_request
from imgwire_async.uploads.states import (
    ARRIVED,
    MAX_UPLOAD_URLS,
    Action,
    PutOutcome,
    UploadState,
    action_after_check,
    next_action,
    outcome_of,
    outcome_without_response,
)
from imgwire_async.uploads.tokens import TokenProvider

T = TypeVar("T")

# These errors would occur for every file, so the first one ends a run of `upload_many`.
_FATAL = (AuthenticationError, PaymentRequiredError, PermissionDeniedError, ConfigurationError)


class Upload:
    """One upload of one file. Used once, by one task.

    `item` is already checked. If `until_ready` is given, it is called with the stored record and awaited
    under the deadline of the upload, and `run` returns its result.

    These attributes can also be read after a failure: `image`, `puts` (the number of attempts to send the
    bytes), `bytes_sent` (the sum of all attempts), and `abandoned` (ids of records that were created and then
    replaced).
    """

    # Set by `run`, once the file is open.
    _file: PreparedUpload

    def __init__(
        self,
        transport: Transport,
        item: UploadItem,
        *,
        on_created: Callable[[Image], object] | None = None,
        on_progress: Callable[[UploadProgress], object] | None = None,
        until_ready: Callable[[Image], Awaitable[Image]] | None = None,
        head_bytes: int = HEAD_BYTES,
        hooks: UploadHooks | None = None,
    ) -> None:
        self.image: Image | None = None
        self.puts: int = 0
        self.abandoned: list[str] = []
        self._transport = transport
        self._item = item
        self._on_created = on_created
        self._on_progress = on_progress
        self._until_ready = until_ready
        self._head_bytes = head_bytes
        self._hooks = hooks
        self._tokens = TokenProvider(transport, item.upload_token)
        has_derived_key = hooks is not None and item.idempotency_key is None
        self._state = UploadState(RetryBudget(transport.options.retries), has_derived_key=has_derived_key)
        self._key: str | None = item.idempotency_key or None
        self._renewed_keys = 0
        self._is_open = False
        self._url: str | None = None
        self._rejected_urls: set[str] = set()
        self._image_to_report: Image | None = None

    @property
    def bytes_sent(self) -> int:
        """The number of bytes read from the source to be sent, in all attempts."""
        return self._file.bytes_read if self._is_open else 0

    @property
    def file_name(self) -> str | None:
        """The file name of the upload, None until the file is open."""
        return self._file.file_name if self._is_open else None

    async def run(self) -> Image:
        """Upload the file and return its record. If a record was created, exceptions have it as `image`."""
        name = name_for_messages(self._item)
        try:
            async with self._transport.operation("images.upload", f"upload of {name}"):
                async with contextlib.AsyncExitStack() as stack:
                    stall = self._transport.options.timeout.stall
                    self._file = await prepare(self._item, stack, stall=stall, head_bytes=self._head_bytes)
                    self._is_open = True
                    image = await self._send()
                return image if self._until_ready is None else await self._until_ready(image)
        except ImgwireError as error:
            self._add_details(error)
            raise
        except RuntimeError as error:
            prefix_closed_client_error(error, f"upload of {name}")
            raise

    def is_fatal(self, error: Exception) -> bool:
        """Return whether this error would occur for every file of a run: a wrong key, plan or setting.

        An error that the file's own source raises concerns that file alone, even if it comes from another
        client of the SDK. The same is true when the file's own upload token is rejected.
        """
        # Before the file is open, no request was sent, so the error concerns this file only.
        if not self._is_open or self._is_from_user_code(error):
            return False
        if isinstance(error, AuthenticationError) and self._item.upload_token is not None:
            return False
        return isinstance(error, _FATAL)

    def _is_from_user_code(self, error: Exception) -> bool:
        """Return whether the caller's own source or token callable raised this `ImgwireError`."""
        return error is self._tokens.error or (self._is_open and error is self._file.source_error)

    def _add_details(self, error: ImgwireError) -> None:
        """Set the record and the file name of an error, and put the path into its message."""
        item = self._item
        if self._is_open and not self._is_from_user_code(error):
            error.image = error.image or self.image
            if self._file.path is not None and put_errors.concerns_one_file(error):
                put_errors.prefix_path(self._file.label, error)
        if isinstance(error, UploadError) and error.file_name is None:
            error.file_name = self.file_name or item.file_name or path_name(item.file)

    # --- attempts -------------------------------------------------------------------------------------------

    async def _send(self) -> Image:
        """Send the bytes until the storage has them, and return the record with its last known status."""
        if self._item.idempotency_key is None:
            self._key = await self._new_key()
        is_read_by_caller = self._file.source.runs_user_code and user_code.current_caller.get() is not None
        while True:
            if is_read_by_caller:
                # Acquire no put slot while the thread that has to read the source runs other code.
                await user_code.wait_for_caller()
            outcome, failure = await self._create_and_put(is_read_by_caller)
            if failure is None:
                break
            self._state.update(outcome)
            action = next_action(outcome, self._state)
            if action is Action.CHECK_RECORD:
                action = await self._check_record(outcome, failure)
            if action is Action.DONE:
                break
            if action is Action.FAIL:
                raise self._error(outcome, failure)
            await self._prepare_next_put(action, outcome, failure)
        assert self.image is not None
        if self._hooks is not None:
            await self._hooks.stored(self.image)
        if self._on_progress is not None:
            await self._report(self._file.size, stored=True)
        return self.image

    async def _create_and_put(self, is_read_by_caller: bool) -> tuple[PutOutcome, PutFailure | None]:
        try:
            async with self._transport.put_slot():
                if self._url is None and await self._get_url():
                    return PutOutcome.STORED, None
                if self._image_to_report is None:
                    return await self._put(is_read_by_caller)
                if user_code.current_caller.get() is None:
                    await self._report_created()
                    return await self._put(is_read_by_caller)
            # The callback runs in the caller's thread and may itself upload, so no slot is held during the
            # callback.
            await self._report_created()
            async with self._transport.put_slot():
                return await self._put(is_read_by_caller)
        # This error means that no put slot became free in time.
        except NoResponseError as error:
            raise self._error(PutOutcome.STALLED, error) from None

    async def _check_record(self, outcome: PutOutcome, failure: PutFailure) -> Action:
        """Decide the next action by the record. Failures but 401 and 402 raise the error of the PUT."""
        assert self.image is not None
        try:
            self.image = await self._call(retrieve_request(self.image.id))
        except (AuthenticationError, PaymentRequiredError):
            raise
        except ImgwireError as error:
            is_gone = isinstance(error, NotFoundError) and self._state.has_derived_key
            if is_gone and await self._renew_key():
                return Action.NEW_URL
            raise self._error(outcome, failure) from error
        self._state.is_checked = True
        return action_after_check(outcome, self.image.status, self._state)

    async def _prepare_next_put(self, action: Action, outcome: PutOutcome, failure: PutFailure) -> None:
        """Drop a rejected URL, or wait for the retry delay.

        Raises an `UploadError` if the source cannot be read again, or the storage demands too long a delay.
        """
        if self._file.is_read and not self._file.source.replayable:
            raise put_errors.not_replayable_error(self._file, self._error(outcome, failure))
        if outcome is PutOutcome.INTERRUPTED:
            return
        if action is Action.NEW_URL:
            assert self._url is not None
            self._rejected_urls.add(self._url)
            self._url = None
            self._state.forbidden_puts += outcome is PutOutcome.FORBIDDEN
            return
        cause = (
            Failure.of(failure.status, failure.headers)
            if isinstance(failure, APIResponse)
            else failure.failure
        )
        delay = self._state.budget.next_delay(cause)
        # The storage demands a longer delay than the retry policy allows.
        if delay is None:
            raise self._error(outcome, failure)
        assert failure.exchange is not None, "every attempt has an exchange"
        await self._transport.sleep_before_retry(failure.exchange, cause.reason, delay)

    def _error(self, outcome: PutOutcome, failure: PutFailure) -> UploadError:
        return put_errors.put_error(self._file, outcome, failure, self._state, self.image, self.puts)

    # --- the record -----------------------------------------------------------------------------------------

    async def _get_url(self) -> bool:
        """Create the record and keep its upload URL. Return True if the record already has its bytes."""
        previous = self.image
        while True:
            upload = await self._create_record()
            image, is_deleted = upload.image, upload.image.deleted_at is not None
            is_same_file = self._state.has_derived_key or (previous is not None and previous.id == image.id)
            if is_same_file and image.status in ARRIVED and not is_deleted:
                return True
            if upload.upload_url not in self._rejected_urls and not is_deleted:
                break
            # Neither a rejected URL nor a deleted record can get the bytes, so a new record is needed.
            if not await self._renew_key():
                raise put_errors.unusable_record_error(self._file, image)
        self._url = upload.upload_url
        return False

    async def _create_record(self) -> StandardUpload:
        while True:
            try:
                upload = await self._tokens.call_with_token(
                    self._create, MAX_UPLOAD_URLS - self._state.urls_requested
                )
                break
            except ConflictError as error:
                if error is self._tokens.error or not await self._renew_key():
                    raise
        if self.image is None or self.image.id != upload.image.id:
            self._use_new_record(upload.image)
        self.image = upload.image
        if self._hooks is not None:
            # A put slot is held, so `in_user_code` limits how long a transfer of the hook waits for a slot.
            with user_code.in_user_code():
                await self._hooks.created(upload.image)
        return upload

    async def _create(self, upload_token: str | None) -> StandardUpload:
        self._state.urls_requested += 1
        file, item = self._file, self._item
        body = drop_none(
            file_name=file.file_name,
            mime_type=file.mime_type,
            content_length=file.size,
            custom_metadata=item.custom_metadata,
            hash_sha256=file.sha256 or item.hash_sha256 or None,
            idempotency_key=self._key,
            purpose=item.purpose,
        )
        return await self._call(create_request(body, upload_token))

    async def _call(self, request: Request[T]) -> T:
        try:
            response = await self._transport.send(request)
        except RuntimeError as error:
            prefix_closed_client_error(error, f"{request.method} {request.path}")
            raise
        return codec.decode(response, request.model)

    async def _renew_key(self) -> bool:
        """Set a new idempotency key for the next create request. Return False if no new key is allowed.

        A new key is allowed once per upload, and only if the caller gave no key.
        """
        state = self._state
        may_renew = state.has_derived_key or state.budget.policy.max_retries > 0
        if (
            self._renewed_keys
            or self._item.idempotency_key is not None
            or not may_renew
            or state.urls_requested >= MAX_UPLOAD_URLS
        ):
            return False
        self._renewed_keys = 1
        self._key = await self._new_key()
        return True

    async def _new_key(self) -> str:
        if self._hooks is None:
            return str(uuid.uuid4())
        # A put slot may be held, so `in_user_code` limits how long a transfer of the hook waits for a slot.
        with user_code.in_user_code():
            return await self._hooks.next_key(self._renewed_keys)

    def _use_new_record(self, image: Image) -> None:
        """Continue with a new record. The previous record, if any, never received its bytes."""
        self._state.may_have_arrived = False
        if self._on_created is not None:
            self._image_to_report = image
        if self.image is not None:
            self.abandoned.append(self.image.id)
            logger.warning(
                "%s: image %s never got its bytes; %s takes its place",
                shortened(self._file.label),
                self.image.id,
                image.id,
            )

    async def _report_created(self) -> None:
        image, self._image_to_report = self._image_to_report, None
        if image is not None and self._on_created is not None:
            await user_code.run_callback(self._on_created, image)

    # --- the bytes ------------------------------------------------------------------------------------------

    async def _put(self, is_read_by_caller: bool) -> tuple[PutOutcome, PutFailure | None]:
        assert self._url is not None
        file = self._file
        may_interrupt = (
            is_read_by_caller and file.source.replayable and self._state.budget.policy.max_retries > 0
        )
        on_sent = None if self._on_progress is None else self._report
        attempt = self.puts + 1
        put = PutRequest(
            self._url, file.size, file.chunks(), file.mime_type, on_sent, attempt, not may_interrupt
        )
        # `put` rejects an unsafe URL here, before the attempt is counted.
        sending = self._transport.put(put)
        self.puts = attempt
        try:
            response = await sending
        except NoResponseError as error:
            return outcome_without_response(error.failure), error
        outcome = outcome_of(response, self._url)
        return outcome, None if outcome is PutOutcome.STORED else response

    async def _report(self, sent: int, *, stored: bool = False) -> None:
        """Call `on_progress` with the number of bytes sent.

        The full size is reported once, when the storage has accepted the file. Reports before that are
        dropped while the caller's thread is busy, so that sending does not wait for that thread.
        """
        file = self._file
        if self._on_progress is not None and (
            stored or (sent < file.size and user_code.busy_caller() is None)
        ):
            progress = UploadProgress(sent=sent, total=file.size, file_name=file.file_name)
            await user_code.run_callback(self._on_progress, progress)
