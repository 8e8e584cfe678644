"""The headers of API requests, including the API key."""

from __future__ import annotations

import attrs
from multidict import CIMultiDict

from imgwire_async.config import Options
from imgwire_async.redaction import Secret
from imgwire_async.transport.response_body import ACCEPTED_ENCODINGS


def api_headers(options: Options) -> CIMultiDict[str]:
    """Return the headers that every API request has, without the API key.

    The option `default_headers` can replace `Accept` and `Accept-Encoding`. Upper and lower case make no
    difference. The option cannot replace the headers for the environment id, the API key and the content
    type, because these headers are set later.
    """
    headers = CIMultiDict({"Accept": "application/json", "Accept-Encoding": ACCEPTED_ENCODINGS})
    headers.update(options.default_headers)
    if options.environment_id is not None:
        headers["X-Environment-Id"] = options.environment_id
    return headers


@attrs.frozen
class _HeadersForKey:
    """The headers for one API key, for requests without a body and for requests with a JSON body."""

    key: str = attrs.field(repr=False)
    without_body: CIMultiDict[str] = attrs.field(repr=False)
    with_json: CIMultiDict[str] = attrs.field(repr=False)


class AuthHeaders:
    """Adds the API key to the headers of API requests.

    The headers with the last API key are cached, because the API key changes rarely.
    """

    def __init__(self, headers: CIMultiDict[str]) -> None:
        self._headers = headers
        self._cached = _HeadersForKey("", headers, headers)

    def with_key(self, key: str, *, json: bool) -> CIMultiDict[str]:
        """Return the headers of a request with the API key `key`.

        `json` says whether the request has a JSON body. The result is cached, so the caller must not change
        it.
        """
        # Read `_cached` only once, because another thread may replace it between two reads.
        current = self._cached
        if key != current.key:
            current = self._cached = self._build(key)
        return current.with_json if json else current.without_body

    def _build(self, key: str) -> _HeadersForKey:
        without_body = self._headers.copy()
        without_body["Authorization"] = Secret(f"Bearer {key}")
        with_json = without_body.copy()
        with_json["Content-Type"] = "application/json"
        return _HeadersForKey(key, without_body, with_json)
