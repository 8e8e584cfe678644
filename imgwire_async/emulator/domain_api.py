"""Operations 15 to 18: the custom domain."""

from __future__ import annotations

import re
import secrets

from imgwire_async.emulator.lives import tested
from imgwire_async.emulator.records import CustomDomain, domain_json
from imgwire_async.emulator.store import new_id
from imgwire_async.emulator.validation import Field, InvalidError, Loc, Problem, described, text
from imgwire_async.emulator.wire import Answer, RefusedError, domain_error, json_answer
from imgwire_async.emulator.world import Call, World, not_found

__all__ = ["HOSTNAME", "create", "delete", "hostname", "retrieve", "test_connection"]

# Letters, digits and inner hyphens, at most 63 of them; at least three labels, for a bare domain is refused. [contract 9]
_LABEL = r"(?!-)[a-z0-9-]{1,63}(?<!-)"
_SUBDOMAIN = re.compile(rf"({_LABEL}\.){{2,}}(?!\d+$){_LABEL}", re.IGNORECASE | re.ASCII)


@described(type="string")
def hostname(value: object, loc: Loc) -> str:
    """A subdomain's host name, in lower case: no scheme, path, query, fragment, blanks or port."""
    name = str(text(1)(value, loc))
    if len(name) > 253 or not _SUBDOMAIN.fullmatch(name):
        message = "Value error, give the host name of a subdomain, without scheme, port or path"
        raise InvalidError(Problem(loc, message, "value_error"))
    return name.lower()


HOSTNAME = (Field("hostname", hostname, required=True),)


def retrieve(world: World, call: Call) -> Answer:
    """[GET /custom_domain/]"""
    return json_answer(domain_json(_domain(world)))


def create(world: World, call: Call) -> Answer:
    """[POST /custom_domain/]"""
    name = call.body.text("hostname")
    if name in world.knobs.claimed_hostnames:
        raise RefusedError(domain_error(409, "ConflictError", "The host name is claimed already."))
    if world.store.domain is not None:
        raise RefusedError(
            domain_error(409, "ConflictError", "This environment has a custom domain already.")
        )
    world.store.domain = CustomDomain(
        id=new_id(),
        environment_id=world.store.environment_id,
        hostname=name,
        cname_value="custom.cdn.emulator.invalid",
        dcv_cname_value=f"{secrets.token_hex(8)}.dcv.emulator.invalid",
        created_at=call.now,
        updated_at=call.now,
    )
    return json_answer(domain_json(world.store.domain))


def delete(world: World, call: Call) -> Answer:
    """[DELETE /custom_domain/]"""
    domain = _domain(world)
    world.store.domain = None
    return json_answer({"id": domain.id, "detail": "Custom domain deleted."})


def test_connection(world: World, call: Call) -> Answer:
    """[POST /custom_domain/test_connection]"""
    world.store.domain = tested(_domain(world), call.now, needed=world.knobs.domain_polls)
    return json_answer(domain_json(world.store.domain))


def _domain(world: World) -> CustomDomain:
    if world.store.domain is None:
        raise not_found()
    return world.store.domain
