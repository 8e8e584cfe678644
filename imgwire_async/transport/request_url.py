"""The URL of an HTTP request, sent exactly as it was given."""

from __future__ import annotations

import attrs
from yarl import URL


# Without slots a frozen object is created twice as fast, and every call creates one.
@attrs.frozen(slots=False)
class RequestURL:
    """A URL for aiohttp that keeps every byte of the given text, because any change would break a signature.

    The URL may be presigned. It is wrapped in this class, whose repr omits it, so that variables of frames do
    not show it.
    """

    url: URL = attrs.field(repr=False)
    # The host, with the port if the URL has one.
    host: str

    @classmethod
    def parse(cls, text: str, host: str | None = None) -> RequestURL:
        """Return the parsed URL. Pass `host` if it is known, to save parsing it."""
        url = URL(text, encoded=True)
        return cls(url, url.raw_authority.rpartition("@")[2] if host is None else host)

    @property
    def without_query(self) -> str:
        """The host and the path, which records and messages may show."""
        return f"{self.host}{self.url.raw_path}"
