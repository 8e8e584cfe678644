"""One upload's life: mint a URL, put the bytes, and do what the table in `states` says about what came back.

A URL is minted inside the put slot and used at once, a refused one is never used again, and bytes go out a second time only
from a known start.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections.abc import AsyncGenerator, Awaitable
from typing import Protocol

from imgwire_async import userland
from imgwire_async.errors import (
    AuthenticationError,
    ConflictError,
    ImgwireError,
    PaymentRequiredError,
    SourceChangedError,
    UploadError,
)
from imgwire_async.formatting import shortened
from imgwire_async.models import Image, StandardUpload
from imgwire_async.protocol.request import APIResponse, NoAnswerError, Put, Transport
from imgwire_async.protocol.signed_urls import is_expired, require_safe
from imgwire_async.results import UploadProgress
from imgwire_async.retry import Failure, RetryBudget, is_success, passing
from imgwire_async.uploads.disk import PathSource
from imgwire_async.uploads.prepare import Plan
from imgwire_async.uploads.put_errors import (
    Trouble,
    changed_since_hashing,
    failed_put,
    not_replayable,
    same_url,
    wrong_size,
)
from imgwire_async.uploads.source import BytesSource, read_by_user
from imgwire_async.uploads.states import (
    ARRIVED,
    MAX_MINTS,
    Action,
    PutOutcome,
    UploadState,
    action_after_check,
    next_action,
)

logger: logging.Logger = logging.getLogger("imgwire_async")


class Desk(Protocol):
    """The two API calls that an upload needs, and what the first one needs of the caller."""

    @property
    def own_key(self) -> bool:
        """Whether the idempotency key is ours to replace."""
        ...

    @property
    def own_token(self) -> bool:
        """Whether the upload token is this file's alone."""
        ...

    def ask(self) -> Awaitable[None]:
        """Ask the caller's code for what the next `mint` needs. What that code raises passes unchanged."""
        ...

    def mint(self, *, fresh_key: bool) -> Awaitable[StandardUpload]:
        """Return a record and a URL for this upload; with `fresh_key` under a new idempotency key of our own making."""
        ...

    def look(self, image_id: str, /) -> Awaitable[Image]:
        """Return the record as the service has it now."""
        ...

    def token_is_used_up(self, error: AuthenticationError, /) -> bool:
        """Return whether `mint` may be refused because a request whose answer was lost used the token."""
        ...


_CLOCKS: dict[str | None, PutOutcome] = {"stall": PutOutcome.STALLED, "absent": PutOutcome.INTERRUPTED}


class Flow:
    """One upload under way. Lives for one `upload()`, and is used by one task."""

    def __init__(self, plan: Plan, desk: Desk, transport: Transport) -> None:
        self._plan = plan
        self.file_name: str = plan.file_name
        self.label: str = plan.label
        self._desk = desk
        self.own_token: bool = desk.own_token
        self._transport = transport
        self._policy = transport.options.retries
        self._tally = UploadState(RetryBudget(self._policy))
        self._url: str | None = None
        self._dead: set[str] = set()
        self._untold: Image | None = None
        self._opened = False
        self._fresh_key = False
        # Nothing is sent while a caller in another thread, who reads the source, is busy elsewhere: it would hold a slot.
        self._read_by_caller: bool = userland.in_caller.get() is not None and read_by_user(plan.source)
        self._may_interrupt = self._read_by_caller and plan.source.replayable and self._policy.max_retries > 0
        self.image: Image | None = None
        # Of our classes, but raised by the caller's own source or token callable.
        self.foreign_error: ImgwireError | None = None
        self.abandoned: list[str] = []  # ids of records that were made and then replaced
        self.puts: int = 0
        self.bytes_sent: int = 0

    async def run(self) -> Image:
        """The record, once the storage accepted the bytes. Its state may be older than that."""
        while True:
            event, trouble = await self._mint_and_put()
            self._tally.note(event)
            step = next_action(event, self._tally)
            if step is Action.DONE or trouble is None:
                break
            if step is Action.CHECK_RECORD:
                step = await self._look(event, trouble)
            if step is Action.DONE:
                break
            if step is Action.FAIL:
                raise self._error(event, trouble)
            await self._prepare_again(step, event, trouble)
        await self._report(self._plan.size, stored=True)
        assert self.image is not None
        return self.image

    # --- acting -------------------------------------------------------------------------------------------------------

    async def _mint_and_put(self) -> tuple[PutOutcome, Trouble | None]:
        if self._read_by_caller:
            await userland.back()
        try:
            async with self._transport.put_slot():
                if self._url is None and await self._mint():
                    return PutOutcome.STORED, None
                if self._untold is None or userland.in_caller.get() is None:
                    await self._tell_created()
                    return await self._put()
            # Another thread is told: it may take its time and may upload from there, so no slot is held meanwhile.
            await self._tell_created()
            async with self._transport.put_slot():
                return await self._put()
        except NoAnswerError as error:  # no slot became free
            raise self._error(PutOutcome.STALLED, error) from None

    async def _mint(self) -> bool:
        """Get a URL; True when the service has meanwhile got this record's bytes after all, so that none is needed."""
        before = self.image
        upload = await self._ask_for_url()
        if before is not None and before.id == upload.image.id and upload.image.status in ARRIVED:
            return True
        if upload.upload_url in self._dead and self._may_take_fresh_key():
            # The service hands out the refused URL again: only a new record helps.
            upload = await self._ask_for_url()
        if upload.upload_url in self._dead:
            raise same_url(self._plan, self.image)
        require_safe(upload.upload_url, "upload_url", secure=self._transport.secure)
        self._url = upload.upload_url
        return False

    async def _ask_for_url(self) -> StandardUpload:
        self._tally.mints += 1
        try:
            await self._desk.ask()
        except ImgwireError as error:
            self.foreign_error = error
            raise
        try:
            upload = await self._desk.mint(fresh_key=self._fresh_key)
        except ConflictError:
            if not self._may_take_fresh_key():
                raise
            return await self._ask_for_url()
        except AuthenticationError as error:
            if not self._desk.token_is_used_up(error) or self._tally.mints >= MAX_MINTS:
                raise
            return await self._ask_for_url()
        self._take_record(upload.image)
        return upload

    def _may_take_fresh_key(self) -> bool:
        """Whether one more mint, under a new key of our own, is allowed; if so, it is decided."""
        if (
            self._fresh_key
            or not self._desk.own_key
            or self._policy.max_retries == 0
            or self._tally.mints >= MAX_MINTS
        ):
            return False
        self._fresh_key = True
        return True

    def _take_record(self, image: Image) -> None:
        before, self.image = self.image, image
        if before is not None and before.id == image.id:
            return
        self._tally.in_doubt = False
        if before is not None:
            self.abandoned.append(before.id)
            logger.warning(
                "%s: image %s never got its bytes; %s takes its place",
                shortened(self._plan.label),
                before.id,
                image.id,
            )
        self._untold = image

    async def _tell_created(self) -> None:
        image, self._untold = self._untold, None
        if image is not None and self._plan.on_created is not None:
            await userland.call(self._plan.on_created, image)

    async def _put(self) -> tuple[PutOutcome, Trouble]:
        assert self._url is not None
        self.puts += 1
        plan = self._plan
        sent = None if plan.on_progress is None else self._report
        put = Put(
            self._url, plan.size, self._chunks(), plan.mime_type, sent, self.puts, not self._may_interrupt
        )
        try:
            reply = await self._transport.put(put)
        except NoAnswerError as error:
            if error.failure.is_final:
                return PutOutcome.REJECTED, error
            if error.failure.unprocessed:
                return PutOutcome.NOT_SENT, error
            return _CLOCKS.get(error.failure.fate, PutOutcome.CONNECTION_LOST), error
        return self._event_of(reply), reply

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        """The source's bytes, held to what was declared.

        The last piece leaves only when the source has ended there and its hash is right.
        """
        self._opened = True
        plan = self._plan
        if plan.sha256 is None and isinstance(plan.source, BytesSource | PathSource):
            whole = await plan.source.in_hand()
            if whole is not None:
                self.bytes_sent += len(whole)
                if whole:
                    yield whole
                return
        digest = hashlib.sha256() if plan.sha256 is not None else None
        seen = 0
        held: bytes | None = None
        async with contextlib.aclosing(self._pieces()) as pieces:
            async for piece in pieces:
                self.bytes_sent += len(piece)
                seen += len(piece)
                if seen > plan.size:
                    raise wrong_size(plan, f"at least {seen}")
                if held is not None:
                    yield held
                held = piece
                if digest is not None:
                    digest.update(piece)
        if seen < plan.size:
            raise wrong_size(plan, f"only {seen}")
        if digest is not None and digest.hexdigest() != plan.sha256:
            raise changed_since_hashing(plan)
        if held is not None:
            yield held

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        """Yield the source's bytes. An error of our classes that a caller's source raises is noted as theirs."""
        try:
            async with contextlib.aclosing(self._plan.source.open()) as pieces:
                async for piece in pieces:
                    yield piece
        except SourceChangedError:  # told by our own sources
            raise
        except ImgwireError as error:
            self.foreign_error = error
            raise

    def _event_of(self, reply: APIResponse) -> PutOutcome:
        if is_success(reply.status):
            return PutOutcome.STORED
        if passing(reply.status):
            return PutOutcome.BUSY
        assert self._url is not None
        if is_expired(self._url, reply.status, reply.text, reply.headers):
            return PutOutcome.EXPIRED
        return PutOutcome.FORBIDDEN if reply.status == 403 else PutOutcome.REJECTED

    async def _report(self, sent: int, *, stored: bool = False) -> None:
        plan = self._plan
        # The total is told once, when the storage has accepted the file; what comes before, to whoever listens: the bytes
        # don't wait for a caller who is busy elsewhere.
        if plan.on_progress is not None and (stored or (sent < plan.size and userland.absent() is None)):
            await userland.call(
                plan.on_progress, UploadProgress(sent=sent, total=plan.size, file_name=plan.file_name)
            )

    # --- deciding -----------------------------------------------------------------------------------------------------

    async def _look(self, event: PutOutcome, trouble: Trouble) -> Action:
        """Ask the API whether the bytes arrived. If it cannot tell, the PUT's failure is the one to raise."""
        assert self.image is not None
        try:
            self.image = await self._desk.look(self.image.id)
        except (AuthenticationError, PaymentRequiredError):
            raise
        except ImgwireError as silence:
            raise self._error(event, trouble) from silence
        return action_after_check(event, self.image.status, self._tally)

    async def _prepare_again(self, step: Action, event: PutOutcome, trouble: Trouble) -> None:
        """Make ready for the next PUT: the source must be readable again, the URL fresh, and a pause over."""
        if self._opened and not self._plan.source.replayable:
            raise not_replayable(self._plan, self._error(event, trouble))
        if event is PutOutcome.INTERRUPTED:
            return
        assert self._url is not None
        if step is Action.NEW_URL:
            self._dead.add(self._url)
            self._url = None
            self._tally.refusals += event is PutOutcome.FORBIDDEN
            return
        failure = (
            Failure.of(trouble.status, trouble.headers)
            if isinstance(trouble, APIResponse)
            else trouble.failure
        )
        seconds = self._tally.budget.next_delay(failure)
        if seconds is None:  # it asks for more patience than the policy has
            raise self._error(event, trouble)
        exchange = trouble.exchange
        assert exchange is not None  # every attempt leaves a record
        await self._transport.sleep_before_retry(exchange, failure.reason, seconds)

    def _error(self, event: PutOutcome, trouble: Trouble) -> UploadError:
        return failed_put(
            self._plan, event, trouble, image=self.image, puts=self.puts, mints=self._tally.mints
        )
