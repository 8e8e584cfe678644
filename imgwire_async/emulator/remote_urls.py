"""Find the picture that `upload_via_url` uploads from a URL.

The emulator never connects to another machine. Tests define which URL has which picture.
"""

from __future__ import annotations

import ipaddress
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlsplit

from imgwire_async.emulator.bodies import StoredBody, whole_body
from imgwire_async.emulator.http import HTTPError, api_error
from imgwire_async.emulator.state import Origins, State

__all__ = ["fetch_picture", "is_private"]

# The maximum size in bytes of a picture that is uploaded by URL. [contract 7]
_MAXIMUM_SIZE = 100 * 2**20


def fetch_picture(state: State, origins: Origins, url: str, now: datetime) -> StoredBody:
    """Return the picture at a URL of the emulator's CDN, or the picture that `emulator.urls` has for the URL.

    Raises a 422 if neither has the picture, or if the picture is over 100 MiB.
    """
    stored = _from_own_cdn(state, origins, url, now)
    if stored is None and url in state.settings.urls:
        data = state.settings.urls[url]
        stored = whole_body(data, sha256(data).hexdigest())
    if stored is None:
        problem = "is not public" if is_private(urlsplit(url).hostname or "") else "cannot be fetched"
        raise _invalid_url(f"The URL {problem}.")
    if stored.length > _MAXIMUM_SIZE:
        raise _invalid_url("The picture at the URL is larger than 100 MiB.")
    return stored


def is_private(host: str) -> bool:
    """Return whether a host is a private IP address, or a host name that is only used in private networks."""
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
