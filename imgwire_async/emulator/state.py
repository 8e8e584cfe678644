"""What a handler gets: the state (`State`) and one checked question (`ApiCall`), with the refusals all of them use."""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from attrs import define, evolve, field, frozen

from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.configuration import Settings, Switches
from imgwire_async.emulator.http import HTTPError, Request, api_error
from imgwire_async.emulator.log import RequestLog
from imgwire_async.emulator.records import PresignedUrl
from imgwire_async.emulator.signing import presign
from imgwire_async.emulator.store import Store
from imgwire_async.emulator.validation import Params

__all__ = [
    "ApiCall",
    "Credentials",
    "KeyKind",
    "Origins",
    "State",
    "create_presigned_url",
    "not_allowed",
    "not_found",
]

_HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(:\d+)?")

KeyKind: TypeAlias = Literal["server", "client"]


@frozen(kw_only=True)
class Credentials:
    """The credentials of the one environment."""

    server: str = field(repr=False)
    client: str = field(repr=False)
    signing: bytes = field(repr=False)


@frozen(kw_only=True)
class Origins:
    """Where the three hosts listen: origins without a path. `any_host`: they listen on every address of this machine."""

    api: str
    storage: str
    cdn: str
    any_host: bool = False

    def as_reached_by(self, host_header: str | None) -> Origins:
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
class State:
    """Everything that handlers share. `store` and `settings` are replaced by a reset, the rest stays."""

    switches: Switches
    credentials: Credentials
    organization_id: str
    clock: Clock
    log: RequestLog
    store: Store
    settings: Settings
    origins: Origins


@frozen(kw_only=True)
class ApiCall:
    """One question to the API, after key, path, query and body were checked."""

    request: Request
    origins: Origins
    key: KeyKind
    now: datetime
    path: Params
    query: Params
    body: Params


def create_presigned_url(
    state: State, call: ApiCall, target_id: str, method: str, path: str, headers: dict[str, str]
) -> tuple[str, PresignedUrl]:
    """Return the signature and the ticket of a new presigned URL at the storage host; `headers` are signed, too."""
    lifetime = state.switches.url_lifetime
    signed = presign(
        call.origins.storage,
        path,
        method=method,
        secret=state.credentials.signing,
        headers=headers,
        now=call.now,
        lifetime=lifetime,
        nonce=secrets.token_hex(8),
    )
    expires_at = call.now + timedelta(seconds=lifetime)
    return signed.signature, PresignedUrl(target_id=target_id, url=signed.url, expires_at=expires_at)


def not_found() -> HTTPError:
    """No such resource."""
    return HTTPError(api_error(404, "ResourceNotFoundError", "Resource not found."))


def not_allowed(detail: str) -> HTTPError:
    """The key may not do this."""
    return HTTPError(api_error(403, "OperationNotAllowedError", detail))
