"""Operations 10 to 14: CORS origins."""

from __future__ import annotations

from attrs import evolve

from imgwire_async.emulator.paging import paged
from imgwire_async.emulator.records import CorsOrigin, origin_json
from imgwire_async.emulator.store import new_id
from imgwire_async.emulator.validation import Field, text
from imgwire_async.emulator.wire import Answer, json_answer
from imgwire_async.emulator.world import Call, World, not_found

__all__ = ["PATTERN", "create", "delete", "list_origins", "retrieve", "update"]

PATTERN = (Field("pattern", text(1), required=True),)


def list_origins(world: World, call: Call) -> Answer:
    """[GET /cors_origins/]"""
    newest = list(reversed(world.store.origins.values()))
    return paged(
        call,
        len(newest),
        lambda page, limit: [origin_json(o) for o in newest[(page - 1) * limit : page * limit]],
    )


def create(world: World, call: Call) -> Answer:
    """[POST /cors_origins/]"""
    origin = CorsOrigin(
        id=new_id(),
        environment_id=world.store.environment_id,
        pattern=call.body.text("pattern"),
        created_at=call.now,
        updated_at=call.now,
    )
    return _kept(world, origin)


def retrieve(world: World, call: Call) -> Answer:
    """[GET /cors_origins/{cors_origin_id}]"""
    return json_answer(origin_json(_found(world, call)))


def update(world: World, call: Call) -> Answer:
    """[PATCH /cors_origins/{cors_origin_id}]"""
    return _kept(world, evolve(_found(world, call), pattern=call.body.text("pattern"), updated_at=call.now))


def delete(world: World, call: Call) -> Answer:
    """[DELETE /cors_origins/{cors_origin_id}]"""
    origin = _found(world, call)
    del world.store.origins[origin.id]
    return json_answer({"id": origin.id, "detail": "CORS origin deleted."})


def _found(world: World, call: Call) -> CorsOrigin:
    origin = world.store.origins.get(call.path.text("cors_origin_id"))
    if origin is None:
        raise not_found()
    return origin


def _kept(world: World, origin: CorsOrigin) -> Answer:
    world.store.origins[origin.id] = origin
    return json_answer(origin_json(origin))
