"""Handle the requests to the CDN host, which sends the original bytes of READY images.

A known preset in the path, such as `@small`, has no effect, because the emulator does not transform pictures.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from imgwire_async.emulator.cors import ANY_ORIGIN, CorsRule
from imgwire_async.emulator.http import Body, HTTPError, Request, Response, json_response
from imgwire_async.emulator.state import State

__all__ = ["CdnHandler"]

_PATH = re.compile(
    r"/(?P<organization>[^/@]+)/(?P<environment>[^/@]+)/(?P<image>[^/@]+)(@(?P<preset>[a-z]+))?"
)
_ANY_ORIGIN_RULE = CorsRule(("GET", "HEAD"), ANY_ORIGIN)
_PRESETS = frozenset({None, "thumbnail", "small", "medium", "large"})


class CdnHandler:
    """The handler of the CDN host."""

    def __init__(self, state: State) -> None:
        self._state = state

    def cors_rule(self, request: Request) -> CorsRule:
        """Return a CORS rule that allows any origin, because pictures are public.

        [contract 15]
        """
        return _ANY_ORIGIN_RULE

    async def __call__(self, request: Request, body: Body, send_continue: Callable[[], None]) -> Response:
        if request.method not in {"GET", "HEAD"}:
            raise HTTPError(json_response({"detail": "Method Not Allowed"}, 405, (("Allow", "GET, HEAD"),)))
        match = _PATH.fullmatch(request.raw_path)
        state = self._state
        own_environment = (state.organization_id, state.store.environment_id)
        if (
            match is None
            or match["preset"] not in _PRESETS
            or (match["organization"], match["environment"]) != own_environment
        ):
            raise _not_found()
        image = state.store.get_image(match["image"], state.clock.now())
        if image is None or image.status != "READY" or image.stored is None or image.stored.data is None:
            raise _not_found()
        headers = (
            ("Content-Type", image.mime_type),
            ("ETag", f'"{image.stored.sha256}"'),
            ("Cache-Control", "public, max-age=31536000"),
        )
        return Response(status=200, body=image.stored.data, headers=headers)


def _not_found() -> HTTPError:
    return HTTPError(json_response({"detail": "Not Found"}, 404))
