"""The way back: from a URL to its base, preset and rules."""

from __future__ import annotations

import attrs

from imgwire_async.urls.encoding import has_path, split_url
from imgwire_async.urls.literals import PRESETS
from imgwire_async.urls.read import read_pairs
from imgwire_async.urls.transformation import Transformation


@attrs.frozen
class ParsedUrl:
    """The parts of an image URL.

    `base` is the `cdn_url` (a fragment included), `rules` are Python values by their names in the URL, `raw` what this
    version does not know or would refuse. `build_url(base, rules, preset=preset, raw=raw)` gives the URL again.
    """

    base: str
    preset: str | None
    rules: dict[str, object] = attrs.field(hash=False)
    raw: dict[str, object] = attrs.field(hash=False)

    @property
    def transformation(self) -> Transformation:
        """Preset, rules and raw pairs, ready for another image."""
        return Transformation(self.rules | {"preset": self.preset}, raw=self.raw)


def parse_url(url: str) -> ParsedUrl:
    """Return the base, preset and rules of an image URL, the way back from `build_url`.

    Raises `TransformationError` when a rule stands in it twice, as the CDN refuses that. [rules 1-3]
    """
    from urllib.parse import parse_qsl

    base, query, fragment = split_url(url)
    path, _, name = base.rpartition("@")
    preset = name if name in PRESETS and has_path(path) else None
    rules, raw = read_pairs(parse_qsl(query, keep_blank_values=True))
    return ParsedUrl((base if preset is None else path) + fragment, preset, rules, raw)
