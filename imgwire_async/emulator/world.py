"""What a handler gets: the state (`World`) and one checked question (`Call`), with the refusals all of them use."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from attrs import define, evolve, field, frozen

from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.log import RequestLog
from imgwire_async.emulator.records import Ticket
from imgwire_async.emulator.signing import presign
from imgwire_async.emulator.store import Store
from imgwire_async.emulator.switches import Knobs, Switches
from imgwire_async.emulator.validation import Given
from imgwire_async.emulator.wire import Head, RefusedError, domain_error

__all__ = ["Call", "KeyKind", "Keys", "Places", "World", "new_ticket", "not_allowed", "not_found"]

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?")

KeyKind: TypeAlias = Literal["server", "client"]


@frozen(kw_only=True)
class Keys:
    """The credentials of the one environment."""

    server: str = field(repr=False)
    client: str = field(repr=False)
    signing: bytes = field(repr=False)


@frozen(kw_only=True)
class Places:
    """Where the three hosts listen: origins without a path. `any_host`: they listen on every address of this machine."""

    api: str
    storage: str
    cdn: str
    any_host: bool = False

    def seen_from(self, host_header: str | None) -> Places:
        """Return the origins as a client reaches them. Who listens on every address cannot know its name: it takes the
        one that the client used.
        """
        found = _HOST.fullmatch(host_header or "") if self.any_host else None
        if found is None:
            return self
        api, storage, cdn = (
            f"{origin.partition('://')[0]}://{found['name']}:{origin.rpartition(':')[2]}"
            for origin in (self.api, self.storage, self.cdn)
        )
        return evolve(self, api=api, storage=storage, cdn=cdn)


@define(kw_only=True)
class World:
    """Everything that handlers share. `store` and `knobs` are replaced by a reset, the rest stays."""

    switches: Switches
    keys: Keys
    organization_id: str
    clock: Clock
    log: RequestLog
    store: Store
    knobs: Knobs
    places: Places


@frozen(kw_only=True)
class Call:
    """One question to the API, after key, path, query and body were checked."""

    head: Head
    places: Places
    key: KeyKind
    now: datetime
    path: Given
    query: Given
    body: Given


def new_ticket(
    world: World, call: Call, target_id: str, method: str, path: str, headers: dict[str, str]
) -> tuple[str, Ticket]:
    """Return the signature and the ticket of a new presigned URL at the storage host; `headers` are signed, too."""
    lifetime = world.switches.url_lifetime
    link = presign(
        call.places.storage,
        path,
        method=method,
        secret=world.keys.signing,
        headers=headers,
        now=call.now,
        lifetime=lifetime,
        nonce=secrets.token_hex(8),
    )
    expires_at = call.now + timedelta(seconds=lifetime)
    return link.signature, Ticket(target_id=target_id, url=link.url, expires_at=expires_at)


def not_found() -> RefusedError:
    """No such resource."""
    return RefusedError(domain_error(404, "ResourceNotFoundError", "Resource not found."))


def not_allowed(detail: str) -> RefusedError:
    """The key may not do this."""
    return RefusedError(domain_error(403, "OperationNotAllowedError", detail))
