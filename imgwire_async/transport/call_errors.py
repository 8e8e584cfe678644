"""What an attempt of an API call brought back, and the errors of two answers that are none: a redirect away, and too many bytes."""

from __future__ import annotations

from collections.abc import Iterable

import attrs
from yarl import URL

from imgwire_async import errors
from imgwire_async.exchange import Exchange, Headers
from imgwire_async.protocol.json import side_effect_warning
from imgwire_async.protocol.signed_urls import origin, without_query
from imgwire_async.redaction import Secret, redact, redacted_body


@attrs.frozen(slots=False)  # made for each call, and twice as fast without slots
class Answer:
    """What came back on one attempt, whatever its status."""

    status: int
    headers: Headers
    body: bytes = attrs.field(repr=False)  # may quote a key, or hold a signed URL
    whole: bool = True


_LONGEST_HEADER = 8_190  # bytes that most servers take


def long_header(headers: Iterable[tuple[str, str]]) -> str | None:
    """Return the name of a default header that many servers refuse for its length, None if there is none."""
    return next((name for name, value in headers if len(name) + len(value.encode()) > _LONGEST_HEADER), None)


def refuse_foreign_redirect(answer: Answer, exchange: Exchange, base: str) -> None:
    """Raise `UnsafeURLError` for a redirect to another origin than that of `base`."""
    location = Secret(answer.headers.get("Location", ""))
    try:
        leads_away = origin(str(URL(base).join(URL(location)))) != origin(base)
    except ValueError:
        leads_away = True
    if leads_away:
        raise errors.UnsafeURLError(
            f"{exchange}: HTTP {answer.status} sends the call to another origin "
            f"({_shown(location)!r}). It was not followed, so the key went nowhere. {_redirect_advice(location, base)}",
            exchange=exchange,
        )


def _redirect_advice(location: str, base: str) -> str:
    if base.startswith("http:") and location[:6].lower() == "https:":
        return "Check base_url: it may have to begin with https://."
    return "Check base_url, and whether this network wants a login first (captive portal), which sends calls to its page."


def _shown(location: str) -> str:
    try:
        return without_query(location)[:100]
    except ValueError:  # no URL at all
        return redact(location)[:100]


def too_large(answer: Answer, exchange: Exchange, limit: int) -> errors.DecodeError:
    return errors.DecodeError(
        f"{exchange}: HTTP {answer.status}, but the answer is larger than {limit} bytes (Timeouts.max_answer_bytes); the rest was "
        f"not read.{side_effect_warning(exchange)} Ask for less in one call, or allow more with Timeouts(max_answer_bytes=...).",
        path="$",
        body=redacted_body(answer.body),
        exchange=exchange,
    )
