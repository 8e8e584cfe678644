"""The API operations on CORS origins."""

from __future__ import annotations

from attrs import evolve

from imgwire_async.emulator.http import Response, json_response
from imgwire_async.emulator.paging import paged_response
from imgwire_async.emulator.records import CorsOrigin, origin_json
from imgwire_async.emulator.state import ApiCall, State, not_found
from imgwire_async.emulator.store import new_id
from imgwire_async.emulator.validation import Field
from imgwire_async.emulator.validators import text

__all__ = ["PATTERN_FIELDS", "create", "delete", "list_origins", "retrieve", "update"]

PATTERN_FIELDS = (Field("pattern", text(1), required=True),)


def list_origins(state: State, call: ApiCall) -> Response:
    """List the CORS origins, newest first.

    [GET /cors_origins/]
    """
    newest = list(reversed(state.store.cors_origins.values()))
    return paged_response(
        call,
        len(newest),
        lambda page, limit: [origin_json(origin) for origin in newest[(page - 1) * limit : page * limit]],
    )


def create(state: State, call: ApiCall) -> Response:
    """Create a CORS origin.

    [POST /cors_origins/]
    """
    origin = CorsOrigin(
        id=new_id(),
        environment_id=state.store.environment_id,
        pattern=call.body.text("pattern"),
        created_at=call.now,
        updated_at=call.now,
    )
    return _save(state, origin)


def retrieve(state: State, call: ApiCall) -> Response:
    """Return one CORS origin.

    [GET /cors_origins/{cors_origin_id}]
    """
    return json_response(origin_json(_get(state, call)))


def update(state: State, call: ApiCall) -> Response:
    """Change the pattern of a CORS origin.

    [PATCH /cors_origins/{cors_origin_id}]
    """
    return _save(state, evolve(_get(state, call), pattern=call.body.text("pattern"), updated_at=call.now))


def delete(state: State, call: ApiCall) -> Response:
    """Delete a CORS origin.

    [DELETE /cors_origins/{cors_origin_id}]
    """
    origin = _get(state, call)
    del state.store.cors_origins[origin.id]
    return json_response({"id": origin.id, "detail": "CORS origin deleted."})


def _get(state: State, call: ApiCall) -> CorsOrigin:
    origin = state.store.cors_origins.get(call.path.text("cors_origin_id"))
    if origin is None:
        raise not_found()
    return origin


def _save(state: State, origin: CorsOrigin) -> Response:
    state.store.cors_origins[origin.id] = origin
    return json_response(origin_json(origin))
