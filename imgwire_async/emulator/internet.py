"""What "upload by URL" finds: the emulator never leaves the machine, tests say what the internet holds."""

from __future__ import annotations

import ipaddress
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlsplit

from imgwire_async.emulator.bodies import Stored, stored_bytes
from imgwire_async.emulator.wire import RefusedError, domain_error
from imgwire_async.emulator.world import Places, World

__all__ = ["fetched", "is_private"]

_MOST = 100 * 2**20  # [contract 7]


def fetched(world: World, places: Places, url: str, now: datetime) -> Stored:
    """The bytes behind a URL: from `emulator.urls`, or a READY picture of the emulator's own CDN."""
    stored = _own(world, places, url, now)
    if stored is None and url in world.knobs.urls:
        data = world.knobs.urls[url]
        stored = stored_bytes(data, sha256(data).hexdigest())
    if stored is None:
        where = "is not public" if is_private(urlsplit(url).hostname or "") else "can't be fetched"
        raise _refused(f"The URL {where}.")
    if stored.length > _MOST:
        raise _refused("The picture behind the URL is over 100 MiB.")
    return stored


def is_private(host: str) -> bool:
    """Whether a host name is an address, or the usual name of one, that only this machine or its network knows."""
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        return host == "localhost" or host.endswith((".localhost", ".local", ".internal")) or "." not in host


def _own(world: World, places: Places, url: str, now: datetime) -> Stored | None:
    if not url.startswith((f"{places.cdn}/", f"{world.places.cdn}/")):
        return None
    image_id = urlsplit(url).path.rpartition("/")[2].partition("@")[0]
    image = world.store.image(image_id, now)
    return None if image is None or image.status != "READY" else image.stored


def _refused(detail: str) -> RefusedError:
    return RefusedError(domain_error(422, "InvalidUrlError", detail))
