"""`State` and `ApiCall`, the arguments of all operation handlers, and the errors that handlers raise."""

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
    """The secrets of the environment: the server key, the client key, and the key for signing URLs."""

    server: str = field(repr=False)
    client: str = field(repr=False)
    signing: bytes = field(repr=False)


@frozen(kw_only=True)
class Origins:
    """The origins of the three hosts, such as `http://127.0.0.1:8080`.

    `listens_on_all` says whether the emulator listens on all addresses of this machine.
    """

    api: str
    storage: str
    cdn: str
    listens_on_all: bool = False

    def for_client(self, host_header: str | None) -> Origins:
        """Return the origins with the host name that the client of a request used.

        If the emulator listens on all addresses, no single host name works for all clients. So the result has
        the host name from the `Host` header of the request. Otherwise the origins are returned unchanged.
        """
        host = _HOST.fullmatch(host_header or "") if self.listens_on_all else None
        if host is None:
            return self
        api, storage, cdn = (
            f"{origin.partition('://')[0]}://{host['name']}:{origin.rpartition(':')[2]}"
            for origin in (self.api, self.storage, self.cdn)
        )
        return evolve(self, api=api, storage=storage, cdn=cdn)


@define(kw_only=True)
class State:
    """The state of an emulator, which all handlers share.

    `Emulator.reset` replaces `store` and `settings`. The other fields do not change while the emulator runs.
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
    """One API call, after the checks of its key, path, query and body. `now` is the time of the call."""

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
    """Create a presigned URL of the storage host. Return its signature and the URL.

    The URL is for a request with `method` to `path`, with exactly these values of `headers`. `target_id` is
    the ID of the image or download job.
    """
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
    """Return the error for a resource that does not exist. Its status is 404."""
    return HTTPError(api_error(404, "ResourceNotFoundError", "Resource not found."))


def not_allowed(detail: str) -> HTTPError:
    """Return the error for an operation that the API key does not permit. Its status is 403."""
    return HTTPError(api_error(403, "OperationNotAllowedError", detail))
