"""What users may hang in to see the traffic: the functions, and the events that they are told."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from imgwire_async import checks
from imgwire_async.exchange import Kind


@attrs.frozen
class RequestEvent:
    """A request is about to be sent; `path` is the template, or host and path for storage and CDN."""

    kind: Kind
    method: str
    path: str
    attempt: int


@attrs.frozen
class ResponseEvent:
    """An answer came; `elapsed` is this attempt's seconds."""

    kind: Kind
    method: str
    path: str
    attempt: int
    status: int
    elapsed: float
    request_id: str | None


@attrs.frozen
class RetryEvent:
    """The next attempt follows after `delay` seconds, because of `reason`; `attempt` is the one that failed."""

    kind: Kind
    method: str
    path: str
    attempt: int
    reason: str
    delay: float


def _hook(_: object, field: attrs.Attribute[Any], value: object) -> None:
    checks.callable_(f"Hooks.{field.name}", value)


@attrs.frozen
class Hooks:
    """Plain, quick functions that are told what goes over the wire. One that raises is logged and changes nothing."""

    on_request: Callable[[RequestEvent], object] | None = attrs.field(default=None, validator=_hook)
    on_response: Callable[[ResponseEvent], object] | None = attrs.field(default=None, validator=_hook)
    on_retry: Callable[[RetryEvent], object] | None = attrs.field(default=None, validator=_hook)
