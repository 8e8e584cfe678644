"""Keys of a batch run: idempotency keys, shards, and names of files in exports. Pure functions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import cast

import attrs

from imgwire_async import checks
from imgwire_async.batch.items import Identity, RemoteFile
from imgwire_async.formatting import quoted

# The beginning of each derived key. The number changes if other values are hashed, or in another order.
# Without that, a new version might get the records of an old one for other content.
KEY_PREFIX = "imgwire-batch-1-"

# Python represents each byte that is not UTF-8 by one of these code points.
_SURROGATE = re.compile("[\ud800-\udfff]")
_SHARD = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", re.ASCII)


def key_bytes(key: str) -> bytes:
    """Return the UTF-8 bytes of a key, for any `str`.

    The order of the bytes is that of the code points, so the journal and Python sort keys in the same way.
    """
    return key.encode("utf-8", "surrogatepass")


def key_text(data: bytes) -> str:
    """Return the key that `key_bytes` has encoded."""
    return data.decode("utf-8", "surrogatepass")


def url_key(url: str) -> str:
    """Return the key of a picture at a URL: the URL without user info, query and fragment.

    If the URL has a query, `?` and 12 hexadecimal digits of its SHA-256 follow. So the key tells queries
    apart and contains no secret. Raises `ValueError` unless `url` is an absolute http(s) URL.
    """
    return remote_key(RemoteFile(url))


def remote_key(file: RemoteFile) -> str:
    """Return `url_key` of a URL that is checked already."""
    query = file.url.partition("?")[2]
    return f"{file.label}?{hashlib.sha256(key_bytes(query)).hexdigest()[:12]}" if query else file.label


def derived_key(
    source: str, key: str, identity: Identity, body: Mapping[str, object], generation: int = 0
) -> str:
    """Return the idempotency key of a file: equal for equal arguments, in each process and on each machine.

    `source` is the name or the prefix of the source, and `body` contains the fields of the create request
    except the key. `generation` counts the records of this file that cannot be used any more. With a hash
    the modification time does not matter, because tools that copy files may change the time.
    """
    version = [identity.sha256] if identity.sha256 is not None else [identity.mtime_ns, identity.tag]
    values = [source, key, identity.size, version, body, generation]
    # JSON keeps the values apart, and distinguishes 1 from "1". ASCII escapes encode surrogates, too.
    text = json.dumps(values, ensure_ascii=True, sort_keys=True, separators=(",", ":"), default=_plain)
    return KEY_PREFIX + hashlib.sha256(text.encode("ascii")).hexdigest()


def _plain(value: object) -> object:
    """Return a mapping of any class as a dict, for JSON."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[object, object]", value))
    raise TypeError(f"a field of the create request has the type {type(value).__name__}")


@attrs.frozen
class Shard:
    """One of `count` parts of all keys. `index` begins with 1."""

    index: int
    count: int

    def __contains__(self, key: str) -> bool:
        return shard_of(key, self.count) == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse_shard(text: object) -> Shard:
    """Return the shard that a text such as "3/16" describes.

    Raises `TypeError` for another type, and `ValueError` for another text.
    """
    if not isinstance(text, str):
        raise checks.wrong_type("shard", 'a text such as "3/16"', text)
    match = _SHARD.fullmatch(text)
    if match is None or int(match[1]) > int(match[2]):
        raise ValueError(f'shard must be a text such as "3/16", from "1/16" to "16/16", not {quoted(text)}')
    return Shard(int(match[1]), int(match[2]))


def shard_of(key: str, count: int) -> int:
    """Return the number of the shard of a key, from 1 to `count`."""
    return int.from_bytes(hashlib.sha256(key_bytes(key)).digest()[:8], "big") % count + 1


def destination_id(base_url: str, environment_id: str | None) -> str:
    """Return a text that identifies the place to which a run uploads, the same for each of its API keys."""
    return f"{base_url.rstrip('/')} {environment_id or '(environment unknown)'}"


def fingerprint(api_key: str) -> str:
    """Return eight characters that tell API keys apart in messages. The key cannot be computed from them."""
    return hashlib.sha256(b"imgwire batch fingerprint " + key_bytes(api_key)).hexdigest()[:8]


def escape_key(key: str) -> str:
    """Return a key for exports, which are UTF-8: each byte of a name that is not UTF-8 becomes `%XX`."""
    return _SURROGATE.sub(_percent_encoded, key)


def _percent_encoded(match: re.Match[str]) -> str:
    code = ord(match[0])
    # A single byte that Python could not decode, or half a surrogate pair, as Windows allows in names.
    data = bytes([code - 0xDC00]) if 0xDC80 <= code <= 0xDCFF else key_bytes(match[0])
    return "".join(f"%{byte:02X}" for byte in data)
