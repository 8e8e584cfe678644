"""The URL of a request, to the byte as it was given."""

from __future__ import annotations

import attrs
from yarl import URL


@attrs.frozen(slots=False)  # without slots, a frozen object of one call is made twice as fast
class Address:
    """A URL for aiohttp, to the byte as it was given. It may be signed, so it stands in no frame's variables by itself."""

    url: URL = attrs.field(repr=False)
    host: str  # with the port, if it has one

    @classmethod
    def of(cls, text: str, host: str | None = None) -> Address:
        """Whatever changes a byte breaks a signature. `host` is told where it is known."""
        url = URL(text, encoded=True)
        return cls(url, url.raw_authority.rpartition("@")[2] if host is None else host)

    @property
    def shown(self) -> str:
        """Host and path, as records and messages may show them."""
        return f"{self.host}{self.url.raw_path}"
