"""The storage host: presigned PUTs, and GETs of finished archives. It believes nothing but the signature."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from imgwire_async.emulator.bodies import KEPT_WHOLE, Keeper
from imgwire_async.emulator.cors import ANY_ORIGIN, CorsRule
from imgwire_async.emulator.records import Image, Ticket
from imgwire_async.emulator.signing import Signed, read_target, signature
from imgwire_async.emulator.wire import Answer, Body, Head, RefusedError, xml_error
from imgwire_async.emulator.world import World

__all__ = ["Storage"]

_ANY_PAGE = CorsRule(("GET", "PUT"), ANY_ORIGIN)


class Storage:
    """Answers for the storage host; keeps no state of its own."""

    def __init__(self, world: World) -> None:
        self._world = world

    def cors_rule(self, head: Head) -> CorsRule:
        """Return what pages of other origins may do here: the signature decides, not the origin. [contract 15]"""
        return _ANY_PAGE

    async def __call__(self, head: Head, body: Body, go_on: Callable[[], None]) -> Answer:
        if head.raw_path.startswith("/uploads/"):
            return await self._put(head, body, go_on)
        if head.raw_path.startswith("/archives/"):
            return self._get(head)
        raise _missing()

    def _get(self, head: Head) -> Answer:
        world, now = self._world, self._world.clock.now()
        _check_method(head, "GET")
        signed = check_signed(head, world.keys.signing)
        ticket = world.store.links.get(signed.signature)
        job = None if ticket is None else world.store.jobs.get(ticket.target_id)
        if ticket is None or job is None or job.archive is None:
            raise _missing()
        if now >= ticket.expires_at:
            raise expired(world.switches.expired_status, ticket.expires_at, now)
        return Answer(status=200, body=job.archive, headers=(("Content-Type", "application/zip"),))

    async def _put(self, head: Head, body: Body, go_on: Callable[[], None]) -> Answer:
        world = self._world
        _check_method(head, "PUT")
        _check_length(head)
        signed = check_signed(head, world.keys.signing)
        self._usable(signed, world.clock.now())
        go_on()
        keeper = Keeper(KEPT_WHOLE if world.knobs.keep_bodies else 0)
        async for chunk in body.chunks():
            keeper.add(chunk)
        # Asked again: a reset, a deletion or another PUT may have come while the body travelled.
        image = self._usable(signed, None)
        world.store.use_ticket(signed.signature)
        world.store.receive(image, keeper.done(body.sha256), world.clock.now())
        return Answer(status=200, headers=(("ETag", f'"{body.sha256[:32]}"'),))

    def _usable(self, signed: Signed, now: datetime | None) -> Image:
        """The image that waits for these bytes; refuses a URL that is unknown, used, or at `now` past its end."""
        world = self._world
        ticket: Ticket | None = world.store.tickets.get(signed.signature)
        image = None if ticket is None else world.store.images.get(ticket.target_id)
        if ticket is None or image is None:
            raise _missing()
        if now is not None and now >= ticket.expires_at:
            raise expired(world.switches.expired_status, ticket.expires_at, now)
        taken = ticket.used or image.status != "PENDING"
        if taken and world.switches.second_put == "refused":
            raise _denied(403, "AccessDenied", "This URL has already been used.")
        return image


def check_signed(head: Head, secret: bytes) -> Signed:
    """The parts of the target, when its signature fits method, target and listed headers as they came."""
    _check_foreign(head)
    signed = read_target(head.target)
    if signed is None:
        raise _denied(403, "AccessDenied", "Access Denied")
    given = {name: ",".join(head.values(name)) for name in signed.names}
    if signature(secret, head.method, signed.bare, signed.names, given) != signed.signature:
        message = "The request signature we calculated does not match the signature you provided."
        raise _denied(403, "SignatureDoesNotMatch", message)
    return signed


def expired(status: int, at: datetime, now: datetime) -> RefusedError:
    """The refusal of a URL whose time is over."""
    form = "%Y-%m-%dT%H:%M:%SZ"
    return _denied(
        status,
        "AccessDenied",
        "Request has expired",
        Expires=at.strftime(form),
        ServerTime=now.strftime(form),
    )


def _check_method(head: Head, allowed: str) -> None:
    if head.method != allowed:
        refused = xml_error(
            405, "MethodNotAllowed", "The specified method is not allowed against this resource."
        )
        raise RefusedError(refused.plus([("Allow", allowed)]))


def _check_length(head: Head) -> None:
    if head.values("transfer-encoding") or not head.values("content-length"):
        raise _denied(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")


def _check_foreign(head: Head) -> None:
    if head.values("authorization"):
        raise _denied(
            400, "InvalidArgument", "Only one auth mechanism allowed; the query signs this request already."
        )
    for name, _ in head.headers:
        if name.lower() == "cookie" or name.lower().startswith("x-amz-"):
            raise _denied(
                403,
                "AccessDenied",
                f"There were headers present in the request which were not signed: {name}",
            )


def _missing() -> RefusedError:
    return _denied(404, "NoSuchKey", "The specified key does not exist.")


def _denied(status: int, code: str, message: str, **more: str) -> RefusedError:
    return RefusedError(xml_error(status, code, message, **more))
