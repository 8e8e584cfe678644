"""What users may hang in to see the traffic: the functions, and the events that they are told. And what makes a callable plain."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import attrs

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


def plain_callable(name: str, value: object) -> None:
    """Raise `TypeError` unless `value` is None or a plain (not a coroutine) callable."""
    if value is None:
        return
    if not callable(value):
        raise TypeError(f"{name} must be a callable or None, not {type(value).__name__}")
    if is_coroutine_callable(value):
        raise TypeError(f"{name} must be a plain function that returns quickly, not a coroutine function")


def is_coroutine_callable(value: object) -> bool:
    """Whether calling `value` gives a coroutine: a coroutine function, a partial of one, or an object with async `__call__`."""
    function: Any = value
    while isinstance(function, functools.partial):
        function = function.func  # pyright: ignore[reportUnknownMemberType]  # of whatever was wrapped
    call: Any = getattr(type(function), "__call__", None)  # noqa: B004  # pyright: ignore[reportUnknownArgumentType]  # the method is asked
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def _hook(_: object, field: attrs.Attribute[Any], value: object) -> None:
    plain_callable(f"Hooks.{field.name}", value)


@attrs.frozen
class Hooks:
    """Plain, quick functions that are told what goes over the wire. One that raises is logged and changes nothing."""

    on_request: Callable[[RequestEvent], object] | None = attrs.field(default=None, validator=_hook)
    on_response: Callable[[ResponseEvent], object] | None = attrs.field(default=None, validator=_hook)
    on_retry: Callable[[RetryEvent], object] | None = attrs.field(default=None, validator=_hook)
