"""SignedUrl URLs in the manner of S3. Pure; the signature covers every byte of the target, so nothing may re-quote it."""

from __future__ import annotations

import hashlib
import hmac
import re
from datetime import datetime
from math import ceil

from attrs import frozen

__all__ = ["SignedTarget", "SignedUrl", "encode_segment", "parse_target", "presign", "signature"]

_SIGNED_TARGET = re.compile(r"(?P<unsigned>[^?]*\?.*)&X-Amz-Signature=(?P<signature>[0-9a-f]{64})")
_SIGNED_HEADERS = re.compile(r"[?&]X-Amz-SignedHeaders=(?P<header_names>[^&]*)")


@frozen(kw_only=True)
class SignedTarget:
    """A presigned target in its parts."""

    unsigned: str
    signature: str
    header_names: tuple[str, ...]


@frozen
class SignedUrl:
    """A URL and the signature that stands for it."""

    origin: str
    unsigned: str
    signature: str

    @property
    def url(self) -> str:
        """The whole URL, to be used as it is."""
        return f"{self.origin}{self.unsigned}&X-Amz-Signature={self.signature}"


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
    """A URL that allows one `method` on `path` (already encode_segment) when exactly these `headers` come with it."""
    stamp = now.strftime("%Y%m%dT%H%M%SZ")
    signed = {**headers, "host": origin.partition("://")[2]}
    header_names = tuple(sorted(signed))
    # The token holds what careless clients rewrite: escapes of plain characters, a lower-case escape, a unsigned plus.
    query = (
        "X-Amz-Algorithm=AWS4-HMAC-SHA256"
        f"&X-Amz-Credential=EMULATOR%2F{stamp[:8]}%2Fauto%2Fs3%2Faws4_request"
        f"&X-Amz-Date={stamp}"
        f"&X-Amz-Expires={ceil(lifetime)}"
        f"&X-Amz-Security-Token={nonce}%2F%7E%2B+%3d%C3%A9%20%2C%40"
        f"&X-Amz-SignedHeaders={'%3B'.join(header_names)}"
    )
    unsigned = f"{path}?{query}"
    return SignedUrl(origin, unsigned, signature(secret, method, unsigned, header_names, signed))


def parse_target(target: str) -> SignedTarget | None:
    """The parts of a presigned target, None when it is not one. The signature has to come last."""
    found = _SIGNED_TARGET.fullmatch(target)
    listed = None if found is None else _SIGNED_HEADERS.search(found["unsigned"])
    if found is None or listed is None:
        return None
    return SignedTarget(
        unsigned=found["unsigned"],
        signature=found["signature"],
        header_names=tuple(listed["header_names"].split("%3B")),
    )


def signature(
    secret: bytes, method: str, unsigned: str, header_names: tuple[str, ...], headers: dict[str, str]
) -> str:
    """HMAC over the method, the target as it travels without its signature, and the listed headers as sent."""
    lines = [method, unsigned, *(f"{name}:{headers.get(name, '')}" for name in header_names)]
    return hmac.new(secret, "\n".join(lines).encode("utf-8", "surrogateescape"), hashlib.sha256).hexdigest()


def encode_segment(name: str) -> str:
    """A file name as one path segment: all but letters, digits, dots and underscores escaped, `-` and `~` too."""
    # Clients that decode and encode again write `-` and `~` plainly, which changes the signed target.
    return re.sub(r"[^A-Za-z0-9._]", _escape, name)


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode("utf-8", "surrogatepass"))
