"""Hooks that observe the HTTP traffic of a client, and the events that they receive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from imgwire_async import checks
from imgwire_async.exchange import Kind


@attrs.frozen
class RequestEvent:
    """The event for `on_request`: an attempt is about to send its request.

    `kind` is "api", "storage" or "cdn". For the API, `path` is the path template (`/images/{image_id}`). For
    storage and CDN, `path` is the host and path of the URL, without the query. `attempt` counts from 1.
    """

    kind: Kind
    method: str
    path: str
    attempt: int


@attrs.frozen
class ResponseEvent:
    """The event for `on_response`: a response arrived.

    `elapsed` is the duration of this attempt in seconds. `request_id` is the id that the service gave the
    request, or None. The other attributes are those of `RequestEvent`.
    """

    kind: Kind
    method: str
    path: str
    attempt: int
    status: int
    elapsed: float
    request_id: str | None


@attrs.frozen
class RetryEvent:
    """The event for `on_retry`: an attempt failed, and the next attempt starts after `delay` seconds.

    `attempt` is the number of the failed attempt, and `reason` says why it failed. The other attributes are
    those of `RequestEvent`.
    """

    kind: Kind
    method: str
    path: str
    attempt: int
    reason: str
    delay: float


def _check_hook(_: object, field: attrs.Attribute[Any], value: object) -> None:
    checks.plain_callable(f"Hooks.{field.name}", value)


@attrs.frozen
class Hooks:
    """Functions that are called for each request, response and retry.

    The hooks run in the event loop, so they have to return quickly, and they must not be coroutine functions.
    With the blocking client they run in the caller's thread. An exception in a hook is logged and has no
    other effect.

    Args:
        on_request: Called with a `RequestEvent` before each attempt.
        on_response: Called with a `ResponseEvent` after each response.
        on_retry: Called with a `RetryEvent` before the delay of a retry.
    """

    on_request: Callable[[RequestEvent], object] | None = attrs.field(default=None, validator=_check_hook)
    on_response: Callable[[ResponseEvent], object] | None = attrs.field(default=None, validator=_check_hook)
    on_retry: Callable[[RetryEvent], object] | None = attrs.field(default=None, validator=_check_hook)
