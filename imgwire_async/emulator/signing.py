"""Presigned URLs in the style of S3, as pure functions.

The signature covers every byte of the request target. A client that changes the percent-encoding breaks it.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from math import ceil

from attrs import frozen

__all__ = ["SignedTarget", "SignedUrl", "encode_segment", "parse_target", "presign", "signature"]

_SIGNED_TARGET = re.compile(r"(?P<unsigned_target>[^?]*\?.*)&X-Amz-Signature=(?P<signature>[0-9a-f]{64})")
_SIGNED_HEADERS = re.compile(r"[?&]X-Amz-SignedHeaders=(?P<header_names>[^&]*)")


@frozen(kw_only=True)
class SignedTarget:
    """The parts of a presigned request target."""

    unsigned_target: str
    signature: str
    header_names: tuple[str, ...]


@frozen
class SignedUrl:
    """A presigned URL and its signature."""

    origin: str
    unsigned_target: str
    signature: str

    @property
    def url(self) -> str:
        """The complete URL."""
        return f"{self.origin}{self.unsigned_target}&X-Amz-Signature={self.signature}"


def presign(
    origin: str,
    path: str,
    *,
    method: str,
    secret: bytes,
    headers: dict[str, str],
    now: datetime,
    lifetime: float,
    nonce: str,
) -> SignedUrl:
    """Return a URL that allows one request.

    Args:
        origin: The origin of the storage host.
        path: The percent-encoded path.
        method: The allowed method.
        secret: The signing key.
        headers: The headers that the request must have, with exactly these values.
        now: The current time.
        lifetime: The seconds until the URL expires.
        nonce: Random text that makes the URL unique.
    """
    timestamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "host": origin.partition("://")[2]}
    header_names = tuple(sorted(signed))
    # The security token has characters that some clients re-encode: `%7E`, a lower-case `%3d`, and `+`.
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential=EMULATOR%2F{timestamp[:8]}%2Fauto%2Fs3%2Faws4_request"
        f"&X-Amz-Date={timestamp}"
        f"&X-Amz-Expires={ceil(lifetime)}"
        f"&X-Amz-Security-Token={nonce}%2F%7E%2B+%3d%C3%A9%20%2C%40"
        f"&X-Amz-SignedHeaders={'%3B'.join(header_names)}"
    )
    unsigned_target = f"{path}?{query}"
    return SignedUrl(
        origin, unsigned_target, signature(secret, method, unsigned_target, header_names, signed)
    )


def parse_target(target: str) -> SignedTarget | None:
    """Return the parts of a presigned request target, or None for any other target.

    The signature has to be the last parameter.
    """
    match = _SIGNED_TARGET.fullmatch(target)
    listed = None if match is None else _SIGNED_HEADERS.search(match["unsigned_target"])
    if match is None or listed is None:
        return None
    return SignedTarget(
        unsigned_target=match["unsigned_target"],
        signature=match["signature"],
        header_names=tuple(listed["header_names"].split("%3B")),
    )


def signature(
    secret: bytes, method: str, unsigned_target: str, header_names: tuple[str, ...], headers: dict[str, str]
) -> str:
    """Return the HMAC over a method, a target without its signature, and the values of the named headers."""
    lines = [method, unsigned_target, *(f"{name}:{headers.get(name, '')}" for name in header_names)]
    return hmac.new(secret, "\n".join(lines).encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def encode_segment(name: str) -> str:
    """Return a file name as one percent-encoded path segment.

    Everything but letters, digits, dots and underscores is encoded.
    """
    # Clients that decode and re-encode a URL leave `-` and `~` unencoded, so their signature does not match.
    return re.sub(r"[^A-Za-z0-9._]", _percent_encode, name)


def _percent_encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
