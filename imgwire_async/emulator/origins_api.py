"""Operations 10 to 14: CORS origins."""

from __future__ import annotations

from urllib.parse import SplitResult

from attrs import evolve

from imgwire_async.emulator.paging import paged
from imgwire_async.emulator.records import CorsOrigin, origin_json
from imgwire_async.emulator.store import new_id
from imgwire_async.emulator.validation import Field, text
from imgwire_async.emulator.wire import Answer, json_answer
from imgwire_async.emulator.world import Call, World, not_found

__all__ = ["PATTERN", "allows", "create", "delete", "list_origins", "retrieve", "update"]

PATTERN = (Field("pattern", text(1), required=True),)
_DEFAULT_PORTS = {"http": 80, "https": 443}


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


def allows(pattern: str, origin: SplitResult) -> bool:
    """Whether a pattern fits an `Origin` header: hosts alone, `*.` for any subdomain, a port when it is not the usual
    one. [contract 8]
    """
    host = origin.hostname or ""
    try:
        port = origin.port
    except ValueError:
        return False
    if port is not None and port != _DEFAULT_PORTS.get(origin.scheme):
        host = f"{host}:{port}"
    wanted = pattern.lower()
    return (
        host.endswith(wanted[1:]) and len(host) >= len(wanted) if wanted.startswith("*.") else host == wanted
    )


def _found(world: World, call: Call) -> CorsOrigin:
    origin = world.store.origins.get(call.path.text("cors_origin_id"))
    if origin is None:
        raise not_found()
    return origin


def _kept(world: World, origin: CorsOrigin) -> Answer:
    world.store.origins[origin.id] = origin
    return json_answer(origin_json(origin))
