"""Upload tokens: a text, or a callable of the caller's that is asked for one right before it is needed. [contract 6]"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import TypeAlias, TypeVar, cast

import attrs

from imgwire_async import checks, userland
from imgwire_async.errors import AuthenticationError, ConfigurationError
from imgwire_async.models import UploadToken
from imgwire_async.protocol.request import Transport
from imgwire_async.redaction import as_secret
from imgwire_async.resources import arguments

T = TypeVar("T")

TokenSource: TypeAlias = "str | Callable[[], str | Awaitable[str]]"

_ITS_TEXT = " (its text is in .token)"


def require_source(value: object) -> TokenSource | None:
    """Return `upload_token` as a call was given it. Raises for what is no token, and for what only the other client could await."""
    if isinstance(value, UploadToken):
        raise TypeError(
            f"upload_token must be text or a callable that returns it, not UploadToken{_ITS_TEXT}"
        )
    if not callable(value):
        return cast("str | None", as_secret(arguments.token("upload_token", value)))
    if checks.is_coroutine_callable(value) and userland.in_caller.get() is not None:
        raise TypeError(
            "upload_token must be text or a plain callable; AsyncImgwireClient takes coroutine functions"
        )
    return cast("TokenSource", value)


@attrs.define
class TokenProvider:
    """The upload token of one file: from the file's own `source`, else from the client's.

    A token is good for one use, so a callable is asked for each URL that is made: once per file, and again only when a URL has
    to be made anew, or when an attempt whose answer was lost may have used the token. The attempts of one request carry the same
    token.
    """

    transport: Transport
    own: TokenSource | None = attrs.field(repr=False)
    _answer: object = attrs.field(init=False, default=None, repr=False)

    @property
    def source(self) -> TokenSource | None:
        """The token or callable that counts: the file's own, else the client's."""
        return self.transport.upload_token if self.own is None else self.own

    @property
    def per_file(self) -> bool:
        """Whether the token is this file's affair alone, so that a refusal of it says nothing about other files."""
        return self.own is not None

    def is_used_up(self, error: AuthenticationError) -> bool:
        """Return whether an earlier attempt, whose answer was lost, may have used the token, and there is a callable for another."""
        return callable(self.source) and error.exchange is not None and error.exchange.attempts > 1

    async def ask(self) -> None:
        """Ask the callable, if there is one. What it raises passes unchanged."""
        source = self.source
        if callable(source):
            answer = await self.transport.ask("upload_token", source, "POST", "/images/standard_upload")
            self._answer = as_secret(answer)

    async def use(self, create: Callable[[str | None], Awaitable[T]]) -> T:
        """Return what `create` makes with a token of the callable, asked once more when the first one is used up."""
        await self.ask()
        try:
            return await create(self.token())
        except AuthenticationError as error:
            if not self.is_used_up(error):
                raise
        await self.ask()
        return await create(self.token())

    def token(self) -> str | None:
        """Return the token that was given, or answered last. Raises for an answer that is none, without repeating it."""
        source = self.source
        if not callable(source):
            return source
        answer = self._answer
        if isinstance(answer, str) and answer and checks.is_printable_ascii(answer):
            return answer
        kind = type(answer).__name__
        if inspect.iscoroutine(answer):
            answer.close()  # nobody will await it
        is_text, is_record = isinstance(answer, str), isinstance(answer, UploadToken)
        self._answer = answer = None  # an object or bytes may hold the token, and would stand in this frame
        wrong = (
            "without blanks and control characters, not empty"
            if is_text
            else f"not {kind}{_ITS_TEXT if is_record else ''}"
        )
        said = f"the upload_token callable must return the token as ASCII text, {wrong}; nothing was sent"
        if self.own is None:  # the client's own meets every file
            raise ConfigurationError(said)
        raise ValueError(said) if is_text else TypeError(said)
