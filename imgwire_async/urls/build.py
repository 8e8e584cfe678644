"""Build the URL of an image with transformation rules, without a client or a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imgwire_async.urls.check import build_query, check_on_invalid, report
from imgwire_async.urls.encoding import with_query
from imgwire_async.urls.transformation import Transformation, check_and_report

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
    """Return `cdn_url` with a preset and transformation rules.

    Args:
        cdn_url: The URL of the image, `image.cdn_url`. An existing query is replaced, a fragment is kept.
        options: A `Transformation`, or a mapping of rule names to values. A mapping may also contain
            `preset`.
        preset: "thumbnail", "small", "medium" or "large".
        on_invalid: What to do about invalid options. "raise": raise one error for all of them. "warn": log
            them and leave them out. "omit": leave them out, and accept integers such as 112233 as colours, as
            the official SDKs do.
        raw: Rules that this version does not know. They are encoded, but not checked.
        **rules: Rules by name or alias, such as `width=300`.

    Raises:
        TransformationError: An option is invalid and `on_invalid` is "raise". Duplicate rules and unknown
            presets raise it in every mode.

    [rules 1-3]
    """
    # If only a `Transformation` is given, its query is used, because it was checked when it was created.
    if isinstance(options, Transformation) and not rules and raw is None and preset is None:
        check_on_invalid(on_invalid)
        if options.orphans:
            report(list(options.orphans), on_invalid)
        return with_query(cdn_url, options.preset, options.query)
    checked = check_and_report(options, preset, raw, rules, on_invalid)
    return with_query(cdn_url, checked.preset, build_query(checked.pairs))
