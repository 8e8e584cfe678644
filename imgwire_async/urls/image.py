"""The URL methods of an image record. The URL language itself is loaded by the first URL, not by the first record."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Unpack

    from imgwire_async.urls.responsive import ResponsiveImage
    from imgwire_async.urls.types import OnInvalid, Options, Preset, ResponsiveOptions, Rules


class ImageUrls:
    """What an image record can say about its addresses; the record has `cdn_url`, `width` and `height` (0: unknown)."""

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
        """Return the image's CDN address with a preset and transformation rules; parameters as in `build_url`."""
        from imgwire_async.urls.build import build_url

        return build_url(self.cdn_url, options, preset=preset, on_invalid=on_invalid, raw=raw, **rules)

    def srcset(
        self,
        options: Options = None,
        /,
        **keywords: Unpack[ResponsiveOptions],
    ) -> str:
        """Return the text of an `<img srcset>`.

        Keywords as in `responsive`: `widths`, `breakpoints`, `densities`, `upscale`, `preset`, `on_invalid`, `raw` and
        the rules.
        """
        from imgwire_async.urls.responsive import srcset

        return srcset(self.cdn_url, self.width, self.height, options, **keywords)

    def responsive(
        self,
        options: Options = None,
        /,
        **keywords: Unpack[ResponsiveOptions],
    ) -> ResponsiveImage:
        """Return the image in several sizes, with `.src`, `.srcset`, `.sizes`, `.html(alt=...)`, `.picture(alt=...)`.

        `widths`: one candidate per width. `breakpoints`: one per breakpoint and density, `densities=(1, 2)`. With neither,
        a `width` among the rules is a fixed width in several densities, else breakpoints at 320, 640, 1024 and 1440 pixels
        count. Nothing is wider than the original unless `upscale=True`. Besides: `preset`, `on_invalid`, `raw` and the
        rules, as in `build_url`.
        """
        from imgwire_async.urls.responsive import responsive_image

        return responsive_image(self.cdn_url, self.width, self.height, options, **keywords)
