"""The upload token of one file: a text, or a callable that is called right before a token is needed.

[contract 6]
"""

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

# The end of the error message for an `UploadToken` model that was given instead of its text.
USE_TEXT_OF_MODEL = " (its text is in .token)"


@attrs.define
class TokenProvider:
    """The upload token of one file, from a token or callable of the file or of the client.

    A token can be used only once. So a callable is called for each upload URL: once per file, and again for
    each new URL. It is also called again if an attempt without a response may have used the token. All
    attempts of one request send the same token.
    """

    transport: Transport
    # The file's own token or callable, or None to use the client's.
    own_source: TokenSource | None = attrs.field(repr=False)
    # The last `ImgwireError` that the callable raised. It is kept to tell it from an error of a request.
    error: ImgwireError | None = attrs.field(init=False, default=None, repr=False)
    _result: object = attrs.field(init=False, default=None, repr=False)

    @property
    def source(self) -> TokenSource | None:
        """The token or callable of the file, or that of the client if the file has none."""
        return self.transport.upload_token if self.own_source is None else self.own_source

    async def call_with_token(self, create: Callable[[str | None], Awaitable[T]], max_tokens: int) -> T:
        """Call `create` with a token, and return its result.

        If the service rejects a token that an earlier attempt may have used, the callable is called for
        another token, up to `max_tokens` times in all. Exceptions of the callable are raised unchanged.
        """
        source = self.source
        if not callable(source):
            return await create(source)
        while True:
            await self._call_source(source)
            try:
                return await create(self._token())
            except AuthenticationError as error:
                max_tokens -= 1
                # A new token helps only after several attempts: one of them may have used this token.
                if max_tokens <= 0 or error.exchange is None or error.exchange.attempts <= 1:
                    raise

    async def _call_source(self, source: Callable[[], str | Awaitable[str]]) -> None:
        try:
            result = await self.transport.call_user_code(
                "upload_token", source, "POST", "/images/standard_upload"
            )
        except ImgwireError as error:
            self.error = error
            raise
        self._result = as_secret(result)

    def _token(self) -> str:
        """Return the token that the callable has returned.

        Raises an exception if the callable returned no token. The error message does not show the returned
        object, because it may contain a token.
        """
        result = self._result
        if isinstance(result, str) and result and is_printable_ascii(result):
            return result
        kind = type(result).__name__
        if inspect.iscoroutine(result):
            # Close the coroutine, so that Python does not warn that it was never awaited.
            result.close()
        is_text, is_model = isinstance(result, str), isinstance(result, UploadToken)
        # Delete the result, which may contain the token, because a traceback with local variables would show
        # the result.
        self._result = result = None
        wrong = (
            "without blanks and control characters, not empty"
            if is_text
            else f"not {kind}{USE_TEXT_OF_MODEL if is_model else ''}"
        )
        message = f"the upload_token callable must return the token as ASCII text, {wrong}; nothing was sent"
        # The client's callable is used for every file, so raise an error that ends a whole run.
        if self.own_source is None:
            raise ConfigurationError(message)
        raise ValueError(message) if is_text else TypeError(message)
