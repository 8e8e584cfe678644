"""The headers that go with every request to the API, with the key that is in use just now."""

from __future__ import annotations

import attrs
from multidict import CIMultiDict

from imgwire_async.config import Options
from imgwire_async.redaction import Secret
from imgwire_async.transport.answers import ACCEPTED


def api_headers(options: Options) -> CIMultiDict[str]:
    """Return the headers of every API call but the key. Whatever its case, one is sent once, and what the contract needs wins."""
    headers = CIMultiDict({"Accept": "application/json", "Accept-Encoding": ACCEPTED})
    headers.update(options.default_headers)
    if options.environment_id is not None:
        headers["X-Environment-Id"] = options.environment_id
    return headers


@attrs.frozen
class _Signed:
    """The headers of all requests with one key: those with a body and those without."""

    key: str = attrs.field(repr=False)
    plain: CIMultiDict[str] = attrs.field(repr=False)
    json: CIMultiDict[str] = attrs.field(repr=False)


class SignedHeaders:
    """Made once for each key, since keys change seldom and requests are many. Nobody changes what `with_key` gives."""

    def __init__(self, headers: CIMultiDict[str]) -> None:
        self._headers = headers
        self._last = _Signed("", headers, headers)

    def with_key(self, key: str, *, json: bool) -> CIMultiDict[str]:
        """The headers of a request that has a JSON body, or none."""
        signed = self._last  # one step, for other loops may meet another key at the same time
        if key != signed.key:
            signed = self._last = self._sign(key)
        return signed.json if json else signed.plain

    def _sign(self, key: str) -> _Signed:
        plain = self._headers.copy()
        plain["Authorization"] = Secret(f"Bearer {key}")
        json = plain.copy()
        json["Content-Type"] = "application/json"
        return _Signed(key, plain, json)
