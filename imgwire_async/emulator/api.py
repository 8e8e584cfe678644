"""Handle requests to the API host: find the operation, check the key and parameters, run the operation."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from imgwire_async.emulator.cors import CorsRule, rule_for
from imgwire_async.emulator.http import Body, HTTPError, Request, Response, api_error, json_response
from imgwire_async.emulator.openapi import DOCUMENT_PATH, document
from imgwire_async.emulator.routes import OPERATIONS, Operation, operations_at, redirect_path
from imgwire_async.emulator.state import ApiCall, KeyKind, State, not_allowed
from imgwire_async.emulator.validation import (
    Field,
    InvalidError,
    Params,
    check_fields,
    json_object,
    validation_response,
)
from imgwire_async.emulator.validators import UUID_VALIDATOR, header_uuid

__all__ = ["HEALTH_PATH", "ApiHandler"]

HEALTH_PATH = "/health"

# The maximum length of a request body in bytes.
_MAXIMUM_BODY = 2**20
# The operations that browsers can use. A browser has a client key, and never a server key.
_BROWSER_OPERATIONS = tuple(operation for operation in OPERATIONS if operation.allows_client_key)


class RateLimit:
    """Limit the number of requests in each second of real time. A limit of None allows any number."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._counted_second = 0
        self._count = 0

    def check(self) -> None:
        """Count one request. Raises `HTTPError` with status 429 if this second had too many requests."""
        if self._limit is None:
            return
        second = int(time.monotonic())
        self._count = self._count + 1 if second == self._counted_second else 1
        self._counted_second = second
        if self._count > self._limit:
            raise HTTPError(
                api_error(429, "RateLimitError", "Too many requests.", headers=(("Retry-After", "1"),))
            )


class ApiHandler:
    """Handle the requests to the API host."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._rate_limit = RateLimit(state.switches.rate_limit)

    async def __call__(self, request: Request, body: Body, send_continue: Callable[[], None]) -> Response:
        try:
            return await self._respond(request, body, send_continue)
        except InvalidError as invalid:
            return validation_response(invalid)

    def cors_rule(self, request: Request) -> CorsRule | None:
        """Return the CORS rule for the operation of a request, or None if browsers cannot use the operation.

        A preflight has the operation of the later request for which it asks permission.
        """
        method = (
            request.header("access-control-request-method") if request.method == "OPTIONS" else request.method
        )
        for operation in _BROWSER_OPERATIONS:
            if operation.method == method and operation.params(request.raw_path) is not None:
                patterns = (origin.pattern for origin in self._state.store.cors_origins.values())
                return rule_for(request.header("origin"), patterns, (operation.method,))
        return None

    async def _respond(self, request: Request, body: Body, send_continue: Callable[[], None]) -> Response:
        if request.raw_path == HEALTH_PATH:
            return _keyless_response(request, {"status": "ok"})
        self._rate_limit.check()
        if request.raw_path == DOCUMENT_PATH:
            origin = self._state.origins.for_client(request.header("host")).api
            return _keyless_response(request, {**document(), "servers": [{"url": origin}]})
        operation, params = _find_operation(request, self._state.origins.api)
        key = _key_kind(self._state, request)
        _check_environment(self._state, request)
        if key == "client" and not operation.allows_client_key:
            raise not_allowed("This operation needs a server key.")
        path = check_fields([Field(name, UUID_VALIDATOR, required=True) for name in params], params, "path")
        query = check_fields(operation.query, request.query, "query")
        send_continue()
        # The body is received first, because the time of a request is the moment when it is complete.
        parsed_body = await _parse_body(operation, request, body)
        call = ApiCall(
            request=request,
            origins=self._state.origins.for_client(request.header("host")),
            key=key,
            now=self._state.clock.now(),
            path=path,
            query=query,
            body=parsed_body,
        )
        return operation.handler(self._state, call)


def _keyless_response(request: Request, value: object) -> Response:
    """Return `value` as the JSON response of a path that needs no API key.

    Raises a 405 for any method but GET.
    """
    if request.method != "GET":
        raise HTTPError(json_response({"detail": "Method Not Allowed"}, 405, (("Allow", "GET"),)))
    return json_response(value)


def _find_operation(request: Request, origin: str) -> tuple[Operation, Mapping[str, str]]:
    """Return the operation of a request, and its path parameters.

    Raises `HTTPError` with a 404, a 405, or a redirect. The redirect is for a path that exists only when the
    slash at its end is added or removed.
    """
    operations = operations_at(request.raw_path)
    for operation, params in operations:
        if operation.method == request.method:
            return operation, params
    if operations:
        allowed = ", ".join(sorted({operation.method for operation, _ in operations}))
        raise HTTPError(json_response({"detail": "Method Not Allowed"}, 405, (("Allow", allowed),)))
    target = redirect_path(request.raw_path)
    if target is None:
        raise HTTPError(json_response({"detail": "Not Found"}, 404))
    query = f"?{request.raw_query}" if request.raw_query else ""
    location = f"{origin.partition('://')[0]}://{request.header('host') or ''}{target}{query}"
    raise HTTPError(Response(status=307, headers=(("Location", location),)))


def _key_kind(state: State, request: Request) -> KeyKind:
    """Return whether the request has the server key or the client key. Raises a 401 for any other key."""
    kinds: dict[str, KeyKind] = {state.credentials.server: "server", state.credentials.client: "client"}
    values = request.header_values("authorization")
    scheme, _, key = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    kind = kinds.get(key) if scheme.lower() == "bearer" else None
    if kind is None:
        challenge = (("WWW-Authenticate", "Bearer"),)
        raise HTTPError(
            api_error(401, "InvalidTokenError", "The API key is missing or not valid.", challenge)
        )
    return kind


def _check_environment(state: State, request: Request) -> None:
    environment_id = request.header("x-environment-id")
    if (
        environment_id is not None
        and header_uuid("x-environment-id", environment_id) != state.store.environment_id
    ):
        raise HTTPError(
            api_error(403, "ResourceNotAuthorizedError", "The key belongs to another environment.")
        )


async def _parse_body(operation: Operation, request: Request, body: Body) -> Params:
    """Read the request body, and return its validated fields.

    If the operation has no body fields, the body is read and ignored, as FastAPI does.
    """
    data = await body.read(_MAXIMUM_BODY)
    if data is None:
        raise HTTPError(json_response({"detail": "Request body too large"}, 413))
    if operation.body is None:
        return Params({})
    return check_fields(operation.body, json_object(data, request.header("content-type")), "body")
