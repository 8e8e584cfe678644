"""The API host: finds the operation, checks key, environment, path, query and body in that order, and runs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from imgwire_async.emulator.cors import CorsRule, rule_for
from imgwire_async.emulator.openapi import DOCUMENT_PATH, document
from imgwire_async.emulator.routes import OPERATIONS, Operation, matching, redirected
from imgwire_async.emulator.validation import (
    UUID_CHECK,
    Field,
    Given,
    InvalidError,
    check_fields,
    header_uuid,
    invalid_answer,
    json_object,
)  # fmt: skip
from imgwire_async.emulator.wire import Answer, Body, Head, RefusedError, domain_error, json_answer
from imgwire_async.emulator.world import Call, KeyKind, World, not_allowed

__all__ = ["HEALTH_PATH", "Api"]

HEALTH_PATH = "/health"

_LARGEST_BODY = 2**20
# Browsers have a client key, so they need no other operations.
_FOR_BROWSERS = tuple(operation for operation in OPERATIONS if operation.client)


class RateLimit:
    """So many requests per second of real time, counted in whole seconds. Owned by the API host."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._second = 0
        self._count = 0

    def admit(self) -> None:
        """Count one request; refuse it when its second is full."""
        if self._limit is None:
            return
        second = int(time.monotonic())
        self._count = self._count + 1 if second == self._second else 1
        self._second = second
        if self._count > self._limit:
            raise RefusedError(
                domain_error(429, "RateLimitError", "Too many requests.", headers=(("Retry-After", "1"),))
            )


class Api:
    """Answers for the API host."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rate = RateLimit(world.switches.rate_limit)

    async def __call__(self, head: Head, body: Body, go_on: Callable[[], None]) -> Answer:
        try:
            return await self._answer(head, body, go_on)
        except InvalidError as invalid:
            return invalid_answer(invalid)

    def cors_rule(self, head: Head) -> CorsRule | None:
        """Return what pages of other origins may do here; None where no operation is for browsers."""
        method = head.value("access-control-request-method") if head.method == "OPTIONS" else head.method
        for operation in _FOR_BROWSERS:
            if operation.method == method and operation.params(head.raw_path) is not None:
                patterns = (origin.pattern for origin in self._world.store.origins.values())
                return rule_for(head.value("origin"), patterns, (operation.method,))
        return None

    async def _answer(self, head: Head, body: Body, go_on: Callable[[], None]) -> Answer:
        if head.raw_path == HEALTH_PATH:
            return _public(head, {"status": "ok"})
        self._rate.admit()
        if head.raw_path == DOCUMENT_PATH:
            origin = self._world.places.seen_from(head.value("host")).api
            return _public(head, {**document(), "servers": [{"url": origin}]})
        operation, params = _found(head, self._world.places.api)
        key = _key(self._world, head)
        _check_environment(self._world, head)
        if key == "client" and not operation.client:
            raise not_allowed("This operation needs a server key.")
        path = check_fields([Field(name, UUID_CHECK, required=True) for name in params], params, "path")
        query = check_fields(operation.query, head.query, "query")
        go_on()
        given = await _given(operation, head, body)
        call = Call(
            head=head,
            places=self._world.places.seen_from(head.value("host")),
            key=key,
            now=self._world.clock.now(),
            path=path,
            query=query,
            body=given,
        )
        return operation.run(self._world, call)


def _public(head: Head, value: object) -> Answer:
    """The answer of a route that needs no key."""
    if head.method != "GET":
        raise RefusedError(json_answer({"detail": "Method Not Allowed"}, 405, (("Allow", "GET"),)))
    return json_answer(value)


def _found(head: Head, origin: str) -> tuple[Operation, Mapping[str, str]]:
    rows = matching(head.raw_path)
    for operation, params in rows:
        if operation.method == head.method:
            return operation, params
    if rows:
        allowed = ", ".join(sorted({operation.method for operation, _ in rows}))
        raise RefusedError(json_answer({"detail": "Method Not Allowed"}, 405, (("Allow", allowed),)))
    other = redirected(head.raw_path)
    if other is None:
        raise RefusedError(json_answer({"detail": "Not Found"}, 404))
    query = f"?{head.raw_query}" if head.raw_query else ""
    location = f"{origin.partition('://')[0]}://{head.value('host') or ''}{other}{query}"
    raise RefusedError(Answer(status=307, headers=(("Location", location),)))


def _key(world: World, head: Head) -> KeyKind:
    kinds: dict[str, KeyKind] = {world.keys.server: "server", world.keys.client: "client"}
    values = head.values("authorization")
    scheme, _, key = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    kind = kinds.get(key) if scheme.lower() == "bearer" else None
    if kind is None:
        challenge = (("WWW-Authenticate", "Bearer"),)
        raise RefusedError(
            domain_error(401, "InvalidTokenError", "The API key is missing or not valid.", challenge)
        )
    return kind


def _check_environment(world: World, head: Head) -> None:
    named = head.value("x-environment-id")
    if named is not None and header_uuid("x-environment-id", named) != world.store.environment_id:
        raise RefusedError(
            domain_error(403, "ResourceNotAuthorizedError", "The key belongs to another environment.")
        )


async def _given(operation: Operation, head: Head, body: Body) -> Given:
    """The checked body. Of an operation without one, bytes are read and ignored, as FastAPI does."""
    data = await body.read(_LARGEST_BODY)
    if data is None:
        raise RefusedError(json_answer({"detail": "Request body too large"}, 413))
    if operation.body is None:
        return Given({})
    return check_fields(operation.body, json_object(data, head.value("content-type")), "body")
