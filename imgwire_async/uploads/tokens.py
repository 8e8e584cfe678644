"""The upload token of one file: a text, or a callable of the caller's that is asked for one right before it is needed. [contract 6]"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar

import attrs

from imgwire_async.checks import is_printable_ascii
from imgwire_async.errors import AuthenticationError, ConfigurationError, ImgwireError
from imgwire_async.models import UploadToken
from imgwire_async.protocol.request import Transport
from imgwire_async.redaction import as_secret

T = TypeVar("T")

TokenSource: TypeAlias = "str | Callable[[], str | Awaitable[str]]"

USE_TEXT_OF_MODEL = " (its text is in .token)"


@attrs.define
class TokenProvider:
    """The upload token of one file: from the file's own source, else from the client's.

    A token is good for one use, so a callable is asked for each URL that is made: once per file, and again only when a URL has
    to be made anew, or when an attempt whose answer was lost may have used the token. The attempts of one request carry the same
    token.
    """

    transport: Transport
    own: TokenSource | None = attrs.field(repr=False)
    # What the callable raised last, when that is of our classes.
    error: ImgwireError | None = attrs.field(init=False, default=None, repr=False)
    _answer: object = attrs.field(init=False, default=None, repr=False)

    @property
    def source(self) -> TokenSource | None:
        """The token or callable that counts: the file's own, else the client's."""
        return self.transport.upload_token if self.own is None else self.own

    async def use(self, create: Callable[[str | None], Awaitable[T]], tries: int) -> T:
        """Return what `create` makes with a token. A callable is asked for up to `tries` tokens, while those before are used up.

        What the callable raises passes unchanged.
        """
        source = self.source
        if not callable(source):
            return await create(source)
        while True:
            await self._ask(source)
            try:
                return await create(self._token())
            except AuthenticationError as error:
                tries -= 1
                # An earlier attempt, whose answer was lost, may have used the token.
                if tries <= 0 or error.exchange is None or error.exchange.attempts <= 1:
                    raise

    async def _ask(self, source: Callable[[], str | Awaitable[str]]) -> None:
        try:
            answer = await self.transport.call_user_code(
                "upload_token", source, "POST", "/images/standard_upload"
            )
        except ImgwireError as error:
            self.error = error
            raise
        self._answer = as_secret(answer)

    def _token(self) -> str:
        """Return the token that was answered last. Raises for an answer that is none, without repeating it."""
        answer = self._answer
        if isinstance(answer, str) and answer and is_printable_ascii(answer):
            return answer
        kind = type(answer).__name__
        if inspect.iscoroutine(answer):
            answer.close()  # nobody will await it
        is_text, is_record = isinstance(answer, str), isinstance(answer, UploadToken)
        self._answer = answer = None  # an object or bytes may hold the token, and would stand in this frame
        wrong = (
            "without blanks and control characters, not empty"
            if is_text
            else f"not {kind}{USE_TEXT_OF_MODEL if is_record else ''}"
        )
        said = f"the upload_token callable must return the token as ASCII text, {wrong}; nothing was sent"
        if self.own is None:  # the client's own meets every file
            raise ConfigurationError(said)
        raise ValueError(said) if is_text else TypeError(said)
