"""The arguments of the operation handlers, `State` and `ApiCall`, and the errors that they share."""

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
    """The secrets of the environment: its server key, its client key, and the key that signs URLs."""

    server: str = field(repr=False)
    client: str = field(repr=False)
    signing: bytes = field(repr=False)


@frozen(kw_only=True)
class Origins:
    """The origins of the three hosts, such as `http://127.0.0.1:8080`.

    `any_host` is True when the hosts listen on every address of this machine.
    """

    api: str
    storage: str
    cdn: str
    any_host: bool = False

    def for_client(self, host_header: str | None) -> Origins:
        """Return the origins under the host name that a client used.

        A server that listens on every address does not know its own name, so it takes the name from the
        `Host` header of the request.
        """
        host = _HOST.fullmatch(host_header or "") if self.any_host else None
        if host is None:
            return self
        api, storage, cdn = (
            f"{origin.partition('://')[0]}://{host['name']}:{origin.rpartition(':')[2]}"
            for origin in (self.api, self.storage, self.cdn)
        )
        return evolve(self, api=api, storage=storage, cdn=cdn)


@define(kw_only=True)
class State:
    """The state that all handlers share.

    `Emulator.reset` replaces `store` and `settings`. The other fields stay.
    """

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
    """One API call whose key, path, query and body are valid."""

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
    """Return a new presigned URL of the storage host, and its signature. The signature covers `headers`."""
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
    """Return the error for a resource that does not exist."""
    return HTTPError(api_error(404, "ResourceNotFoundError", "Resource not found."))


def not_allowed(detail: str) -> HTTPError:
    """Return the error for an operation that the key does not permit."""
    return HTTPError(api_error(403, "OperationNotAllowedError", detail))
