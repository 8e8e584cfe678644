"""URLs of file systems, and their names without secrets. Pure functions."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from imgwire_async.formatting import quoted
from imgwire_async.redaction import redact

_PROTOCOL = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)
_URL = re.compile(r"https?://[^@?#]*", re.IGNORECASE)
_HTTP = frozenset({"http", "https"})
# Shorter option values are words such as "path" and "true", which messages may contain.
_SHORTEST_SECRET = 6


def protocols_of(url: str) -> list[str]:
    """Return the protocols of a URL: several for a chained one such as `zip://a::s3://b/c.zip`.

    Raises `ValueError` for a text that is no URL of a file system.
    """
    parts = url.split("::")
    protocols: list[str] = []
    for number, part in enumerate(parts):
        protocol, separator, _ = part.partition("://")
        if not separator and len(parts) > 1 and number < len(parts) - 1:
            # A chained URL may name a protocol alone.
            protocol, separator = part, "://"
        if not separator or _PROTOCOL.fullmatch(protocol) is None:
            raise ValueError(
                "url must begin with a protocol, such as s3://bucket/photos; for a folder of this machine use folder(path)"
            )
        protocols.append(protocol.lower())
    return protocols


def require_no_query(url: str, protocols: Iterable[str]) -> None:
    """Raise `ValueError` for an HTTP URL with a query, because its links are relative to the path."""
    if _HTTP.intersection(protocols) and ("?" in url or "#" in url):
        raise ValueError(
            "url must have no query if its protocol is http or https; pass credentials as "
            "storage_options={'headers': {...}}, and use urls(...) for a list of URLs with queries"
        )


def require_known(protocol: str, known: Iterable[str]) -> None:
    """Raise `ValueError` for a protocol that fsspec does not know."""
    names = sorted(known)
    if protocol in names:
        return
    close = difflib.get_close_matches(protocol, names, n=1)
    advice = f"; did you mean {close[0]}://?" if close else ""
    raise ValueError(f"fsspec does not know the protocol {quoted(protocol)}{advice}")


def name_of_url(url: str) -> str:
    """Return a URL without user info, query and `/` at its end: the name of the source in the journal."""
    return "::".join(map(_name_of_part, url.split("::")))


def _name_of_part(part: str) -> str:
    protocol, separator, rest = part.partition("://")
    if not separator:
        return part
    rest = rest.partition("?")[0]
    if protocol.lower() in _HTTP:
        rest = rest.partition("#")[0]
    authority, slash, path = rest.partition("/")
    clean = authority.rpartition("@")[2] + slash + path
    # The path of the root of a file system is its only character.
    return f"{protocol.lower()}://{clean.rstrip('/') or clean[:1]}"


def secrets_of(url: str, options: Mapping[str, object]) -> tuple[str, ...]:
    """Return the texts of a URL and of its options that no message may contain, the longest first."""
    # `redact` hides the secret parts of URLs, and the rest of an `endpoint_url` helps to find a mistake.
    texts = [text for text in _texts_of(options) if _URL.fullmatch(text) is None]
    found = {text for text in texts if len(text) >= _SHORTEST_SECRET}
    for part in url.split("::"):
        _, _, rest = part.partition("://")
        rest, _, query = rest.partition("?")
        user, at, _ = rest.partition("/")[0].rpartition("@")
        if at:
            found.update(text for text in (user, user.partition(":")[2]) if text)
        if query:
            found.add(query)
    name = name_of_url(url)
    # What the name of the source shows is no secret.
    return tuple(sorted((text for text in found if text not in name), key=len, reverse=True))


def _texts_of(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, bytes):
        yield value.decode("latin-1")
    elif isinstance(value, Mapping):
        for inner in cast("Mapping[object, object]", value).values():
            yield from _texts_of(inner)
    elif isinstance(value, list | tuple):
        for inner in cast("Iterable[object]", value):
            yield from _texts_of(inner)


def safe_text(error: BaseException, secrets: Iterable[str]) -> str:
    """Return the type and the text of an error of a file system, without secrets, in one line."""
    text = " ".join(redact(str(error), *secrets).split())
    text = text if len(text) <= 300 else f"{text[:297]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
