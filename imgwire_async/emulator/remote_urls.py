"""What "upload by URL" finds: the emulator never leaves the machine, tests say what the internet holds."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlsplit

from imgwire_async.emulator.bodies import StoredBody, whole_body
from imgwire_async.emulator.http import HTTPError, api_error
from imgwire_async.emulator.state import Origins, State

__all__ = ["fetch_remote", "is_private"]

_MOST = 100 * 2**20  # [contract 7]


def fetch_remote(state: State, origins: Origins, url: str, now: datetime) -> StoredBody:
    """The bytes behind a URL: from `emulator.urls`, or a READY picture of the emulator's own CDN."""
    stored = _from_own_cdn(state, origins, url, now)
    if stored is None and url in state.settings.urls:
        data = state.settings.urls[url]
        stored = whole_body(data, sha256(data).hexdigest())
    if stored is None:
        where = "is not public" if is_private(urlsplit(url).hostname or "") else "can't be fetched"
        raise _invalid_url(f"The URL {where}.")
    if stored.length > _MOST:
        raise _invalid_url("The picture behind the URL is over 100 MiB.")
    return stored


def is_private(host: str) -> bool:
    """Whether a host name is an address, or the usual name of one, that only this machine or its network knows."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host


def _from_own_cdn(state: State, origins: Origins, url: str, now: datetime) -> StoredBody | None:
    if not url.startswith((f"{origins.cdn}/", f"{state.origins.cdn}/")):
        return None
    image_id = urlsplit(url).path.rpartition("/")[2].partition("@")[0]
    image = state.store.get_image(image_id, now)
    return None if image is None or image.status != "READY" else image.stored


def _invalid_url(detail: str) -> HTTPError:
    return HTTPError(api_error(422, "InvalidUrlError", detail))
