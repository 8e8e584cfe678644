"""`build_url`: an image's address with rules. Pure text work, no network and no client needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imgwire_async.urls.check import check_mode, query_of, report
from imgwire_async.urls.encoding import with_query
from imgwire_async.urls.transformation import Transformation, check_complete

if TYPE_CHECKING:
    from typing import Unpack

    from imgwire_async.urls.types import OnInvalid, Options, Preset, Rules


def build_url(
    cdn_url: str,
    options: Options = None,
    /,
    *,
    preset: Preset | None = None,
    on_invalid: OnInvalid = "raise",
    raw: Mapping[str, object] | None = None,
    **rules: Unpack[Rules],
) -> str:
    """Return `cdn_url` with a preset and transformation rules. [rules 1-3]

    `options` is a mapping (hyphen spellings too) or a `Transformation`; `raw` holds rules that this version does not know:
    encoded, but not checked. `on_invalid`: "raise" a `TransformationError` with all faults; "warn": log them and leave
    them out; "omit": leave them out, as the official builders do. Duplicate rules and unknown presets raise always.
    """
    # A prepared transformation alone needs no checking.
    if isinstance(options, Transformation) and not rules and raw is None and preset is None:
        check_mode(on_invalid)
        if options.orphans:
            report(list(options.orphans), on_invalid)
        return with_query(cdn_url, options.preset, options.query)
    checked = check_complete(options, preset, raw, rules, on_invalid)
    return with_query(cdn_url, checked.preset, query_of(checked.pairs))
