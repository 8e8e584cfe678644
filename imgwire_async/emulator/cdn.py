"""The CDN host: original bytes of READY pictures, public, without transformations yet."""

from __future__ import annotations

import re
from collections.abc import Callable

from imgwire_async.emulator.cors import ANY_ORIGIN, CorsRule
from imgwire_async.emulator.http import Body, HTTPError, Request, Response, json_response
from imgwire_async.emulator.state import State

__all__ = ["Cdn"]

_PATH = re.compile(
    r"/(?P<organization>[^/@]+)/(?P<environment>[^/@]+)/(?P<image>[^/@]+)(@(?P<preset>[a-z]+))?"
)
_ANY_PAGE = CorsRule(("GET", "HEAD"), ANY_ORIGIN)
_PRESETS = frozenset({None, "thumbnail", "small", "medium", "large"})


class Cdn:
    """Answers for the CDN host; keeps no state of its own."""

    def __init__(self, state: State) -> None:
        self._state = state

    def cors_rule(self, request: Request) -> CorsRule:
        """Return what pages of other origins may do here: pictures are public. [contract 15]"""
        return _ANY_PAGE

    async def __call__(self, request: Request, body: Body, send_continue: Callable[[], None]) -> Response:
        if request.method not in {"GET", "HEAD"}:
            raise HTTPError(json_response({"detail": "Method Not Allowed"}, 405, (("Allow", "GET, HEAD"),)))
        found = _PATH.fullmatch(request.raw_path)
        state = self._state
        here = (state.organization_id, state.store.environment_id)
        if (
            found is None
            or found["preset"] not in _PRESETS
            or (found["organization"], found["environment"]) != here
        ):
            raise _not_found()
        image = state.store.get_image(found["image"], state.clock.now())
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
