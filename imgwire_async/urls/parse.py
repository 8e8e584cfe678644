"""Split an image URL into its base, preset and rules."""

from __future__ import annotations

import attrs

from imgwire_async.urls.encoding import has_path, split_url
from imgwire_async.urls.literals import PRESETS
from imgwire_async.urls.read import split_pairs
from imgwire_async.urls.transformation import Transformation


@attrs.frozen
class ParsedUrl:
    """The parts of an image URL.

    `base` is the URL without preset and query, but with its fragment. `rules` maps the names of rules to
    Python values. `raw` maps names to texts, for pairs of the query that this version does not know or would
    reject. `build_url(base, rules, preset=preset, raw=raw)` builds the URL again.
    """

    base: str
    preset: str | None
    rules: dict[str, object] = attrs.field(hash=False)
    raw: dict[str, object] = attrs.field(hash=False)

    @property
    def transformation(self) -> Transformation:
        """A `Transformation` with the same preset and rules, to be used for another image."""
        return Transformation(self.rules | {"preset": self.preset}, raw=self.raw)


def parse_url(url: str) -> ParsedUrl:
    """Split an image URL into its base, preset and rules. This is the inverse of `build_url`.

    Raises `TransformationError` when a rule occurs twice in `url`: the CDN rejects such a URL.

    [rules 1-3]
    """
    from urllib.parse import parse_qsl

    base, query, fragment = split_url(url)
    path, _, name = base.rpartition("@")
    preset = name if name in PRESETS and has_path(path) else None
    rules, raw = split_pairs(parse_qsl(query, keep_blank_values=True))
    return ParsedUrl((base if preset is None else path) + fragment, preset, rules, raw)
