"""The URL methods of an image. They import the other URL modules when called, so that models load quickly."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from imgwire_async.urls.responsive import ResponsiveImage
    from imgwire_async.urls.types import OnInvalid, Options, Preset, ResponsiveOptions, Rules


class ImageUrls:
    """Mixin that adds methods for URLs to the image models.

    The model must have the fields `cdn_url`, `width` and `height`. The size is that of the original picture
    in pixels, or 0 when it is unknown.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        cdn_url: str
        width: int
        height: int

    def url(
        self,
        options: Options = None,
        /,
        *,
        preset: Preset | None = None,
        on_invalid: OnInvalid = "raise",
        raw: Mapping[str, object] | None = None,
        **rules: Unpack[Rules],
    ) -> str:
        """Return the CDN URL of the image with a preset and transformation rules.

        Args:
            options: A `Transformation`, or a mapping of rule names to values.
            preset: "thumbnail", "small", "medium" or "large".
            on_invalid: "raise" an error for invalid options, "warn" (log them and leave them out), or "omit"
                (leave them out).
            raw: Rules that this version does not know. They are encoded, but not checked.
            **rules: Rules by name or alias, such as `width=300`.

        Raises:
            TransformationError: An option is invalid and `on_invalid` is "raise". Duplicate rules and unknown
                presets raise it in every mode.
        """
        from imgwire_async.urls.build import build_url

        return build_url(self.cdn_url, options, preset=preset, on_invalid=on_invalid, raw=raw, **rules)

    def srcset(
        self,
        options: Options = None,
        /,
        **keywords: Unpack[ResponsiveOptions],
    ) -> str:
        """Return the text of a `srcset` attribute.

        `options` is a `Transformation` or a mapping of rules. The `keywords` are those of `responsive`:
        `widths`, `breakpoints`, `densities`, `upscale`, `preset`, `on_invalid`, `raw`, and rules.
        """
        from imgwire_async.urls.responsive import srcset

        return srcset(self.cdn_url, self.width, self.height, options, **keywords)

    def responsive(
        self,
        options: Options = None,
        /,
        **keywords: Unpack[ResponsiveOptions],
    ) -> ResponsiveImage:
        """Return the image in several sizes, with its `srcset`, `sizes` and HTML.

        `options` is a `Transformation` or a mapping of rules. The `keywords` are `preset`, `on_invalid`,
        `raw` and rules, as in `url`, and:

        * `widths`: widths in pixels. The `srcset` has one URL per width.
        * `breakpoints`: the width of the image for different widths of the browser window. The `srcset` has
          one URL per breakpoint and density.
        * `densities`: pixel densities of screens, by default (1, 2).
        * `upscale`: whether pictures may be wider than the original, by default False.

        Without `widths` and `breakpoints`, the rules decide. With a rule `width`, the `srcset` has one URL
        per density. Without this rule, there are breakpoints for pictures of 320, 640, 1024 and 1440 pixels.
        """
        from imgwire_async.urls.responsive import responsive_image

        return responsive_image(self.cdn_url, self.width, self.height, options, **keywords)
