"""Create and parse presigned URLs in the style of S3, with pure functions.

The signature covers every byte of the request target. So if a client changes the percent-encoding of a URL,
the signature does not match any more.
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
    """The parts of a presigned request target.

    `unsigned_target` is the target without its last parameter, the signature. `header_names` are the names of
    the headers that the signature covers.
    """

    unsigned_target: str
    signature: str
    header_names: tuple[str, ...]


@frozen
class SignedUrl:
    """A presigned URL in parts. `unsigned_target` is its path and query without the signature."""

    origin: str
    unsigned_target: str
    signature: str

    @property
    def url(self) -> str:
        """The complete URL, with the signature."""
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
    """Return a presigned URL, with which anybody may send one kind of request until the URL expires.

    Args:
        origin: The origin of the storage host.
        path: The percent-encoded path.
        method: The allowed method.
        secret: The signing key.
        headers: The headers that the request must have, with exactly these values.
        now: The current time.
        lifetime: The seconds until the URL expires.
        nonce: A random string that makes the URL unique.
    """
    timestamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "host": origin.partition("://")[2]}
    header_names = tuple(sorted(signed))
    # The security token contains `%7E`, `%3d` and `+`, because some clients wrongly change their encoding.
    # After such a change the signature does not match, and the test shows the bug of the client.
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
    """Return the parts of a presigned request target, or None if the target is not presigned.

    The signature must be the last parameter of the query.
    """
    match = _SIGNED_TARGET.fullmatch(target)
    signed_headers = None if match is None else _SIGNED_HEADERS.search(match["unsigned_target"])
    if match is None or signed_headers is None:
        return None
    return SignedTarget(
        unsigned_target=match["unsigned_target"],
        signature=match["signature"],
        header_names=tuple(signed_headers["header_names"].split("%3B")),
    )


def signature(
    secret: bytes, method: str, unsigned_target: str, header_names: tuple[str, ...], headers: dict[str, str]
) -> str:
    """Return the HMAC-SHA256 of a method, a target without signature, and the values of `header_names`."""
    lines = [method, unsigned_target, *(f"{name}:{headers.get(name, '')}" for name in header_names)]
    return hmac.new(secret, "\n".join(lines).encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def encode_segment(name: str) -> str:
    """Percent-encode a file name as one path segment.

    Only ASCII letters, digits, dots and underscores are not encoded.
    """
    # `-` and `~` are encoded although no rule requires it. A client that decodes the URL and encodes it again
    # leaves them unencoded, so the signature does not match, and the test shows the bug.
    return re.sub(r"[^A-Za-z0-9._]", _percent_encode, name)


def _percent_encode(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
