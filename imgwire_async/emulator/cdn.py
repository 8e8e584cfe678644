"""The CDN host: original bytes of READY pictures, public, without transformations yet."""

from __future__ import annotations

import re
from collections.abc import Callable

from imgwire_async.emulator.cors import ANY_ORIGIN, CorsRule
from imgwire_async.emulator.wire import Answer, Body, Head, RefusedError, json_answer
from imgwire_async.emulator.world import World

__all__ = ["Cdn"]

_PATH = re.compile(
    r"/(?P<organization>[^/@]+)/(?P<environment>[^/@]+)/(?P<image>[^/@]+)(@(?P<preset>[a-z]+))?"
)
_ANY_PAGE = CorsRule(("GET", "HEAD"), ANY_ORIGIN)
_PRESETS = frozenset({None, "thumbnail", "small", "medium", "large"})


class Cdn:
    """Answers for the CDN host; keeps no state of its own."""

    def __init__(self, world: World) -> None:
        self._world = world

    def cors_rule(self, head: Head) -> CorsRule:
        """Return what pages of other origins may do here: pictures are public. [contract 15]"""
        return _ANY_PAGE

    async def __call__(self, head: Head, body: Body, go_on: Callable[[], None]) -> Answer:
        if head.method not in {"GET", "HEAD"}:
            raise RefusedError(json_answer({"detail": "Method Not Allowed"}, 405, (("Allow", "GET, HEAD"),)))
        found = _PATH.fullmatch(head.raw_path)
        world = self._world
        here = (world.organization_id, world.store.environment_id)
        if (
            found is None
            or found["preset"] not in _PRESETS
            or (found["organization"], found["environment"]) != here
        ):
            raise _missing()
        image = world.store.image(found["image"], world.clock.now())
        if image is None or image.status != "READY" or image.stored is None or image.stored.data is None:
            raise _missing()
        headers = (
            ("Content-Type", image.mime_type),
            ("ETag", f'"{image.stored.sha256}"'),
            ("Cache-Control", "public, max-age=31536000"),
        )
        return Answer(status=200, body=image.stored.data, headers=headers)


def _missing() -> RefusedError:
    return RefusedError(json_answer({"detail": "Not Found"}, 404))
