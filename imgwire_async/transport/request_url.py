"""The URL of an HTTP request, sent exactly as it was given."""

from __future__ import annotations

import attrs
from yarl import URL


# Without `__slots__`, an object of this class is created twice as fast, and every call creates one.
@attrs.frozen(slots=False)
class RequestURL:
    """A URL for aiohttp that is not normalized, because any change would break the signature in the URL.

    The repr shows only the host. Error trackers store the repr of local variables, and must not store a
    presigned URL.
    """

    url: URL = attrs.field(repr=False)
    # The host, with the port if the URL has one.
    host: str

    @classmethod
    def parse(cls, raw_url: str, host: str | None = None) -> RequestURL:
        """Return the `RequestURL` for the text of a URL.

        A caller that knows the host and port of the URL already passes them as `host`, which saves time.
        """
        url = URL(raw_url, encoded=True)
        return cls(url, url.raw_authority.rpartition("@")[2] if host is None else host)

    @property
    def without_query(self) -> str:
        """The host and the path of the URL, for messages and exchanges.

        They must not show the query, because it may contain a signature.
        """
        return f"{self.host}{self.url.raw_path}"
