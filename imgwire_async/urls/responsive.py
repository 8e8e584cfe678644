"""Build the attributes `srcset` and `sizes`, and HTML tags, for images that browsers load in several sizes.

[contract 12]
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.check import check, missing_source_faults, report
from imgwire_async.urls.encoding import with_query
from imgwire_async.urls.geometry import size_rule_value
from imgwire_async.urls.layout import (
    BREAKPOINTS,
    Breakpoint,
    Breakpoints,
    Candidate,
    Layout,
    Original,
    layout_by_breakpoints,
    layout_by_widths,
    placeholder,
)
from imgwire_async.urls.markup import Attribute, Html, attribute_name, tag
from imgwire_async.urls.transformation import Transformation, check_options, from_checked

if TYPE_CHECKING:
    from typing import Unpack

    from imgwire_async.urls.types import OnInvalid, Options, Preset, ResponsiveOptions, Rules

__all__ = ["Breakpoint", "Breakpoints", "ResponsiveImage", "responsive_image", "srcset"]

# Maps the name of a format to the subtype of its MIME type, where the two differ.
_MIME_SUBTYPES = {"jpg": "jpeg"}


@attrs.frozen
class ResponsiveImage:
    """An image in several sizes for a web page.

    `src` is the URL of the smallest size. `srcset` has the URLs of all sizes, and the browser chooses one of
    them with the help of `sizes`. `width` and `height` are the size of the last breakpoint, or of the largest
    of `widths`, at density 1, or None when it is unknown. With them, a browser reserves space before the
    image is loaded. `placeholder` is the URL of a tiny blurred picture. Jinja and Django templates show this
    object as an `<img>` tag with an empty `alt`.
    """

    src: str
    srcset: str
    sizes: str
    width: int | None
    height: int | None
    placeholder: str
    cdn_url: str = attrs.field(repr=False)
    candidates: tuple[Candidate, ...] = attrs.field(repr=False)

    def html(self, *, alt: str, loading: str | None = "lazy", **attributes: Attribute) -> Html:
        """Return an `<img>` tag with all text escaped.

        Args:
            alt: The alternative text, or "" for a decorative image.
            loading: "lazy" or "eager". None leaves out the attribute `loading`.
            **attributes: More attributes, such as `class_="hero"` or `data_id=7`. They also override the
                attributes that this method sets, as in `sizes="50vw"`. An attribute that is True is written
                without a value. An attribute that is None is left out.
        """
        defaults: dict[str, Attribute] = {
            "src": self.src,
            "srcset": self.srcset or None,
            "sizes": self.sizes or None,
            "width": self.width,
            "height": self.height,
            "alt": alt,
            "loading": loading,
            "decoding": "async",
        }
        given = {attribute_name(name): value for name, value in attributes.items()}
        return Html(tag("img", defaults | given))

    def picture(
        self,
        *,
        alt: str,
        formats: Iterable[str] = ("avif", "webp"),
        loading: str | None = "lazy",
        **attributes: Attribute,
    ) -> Html:
        """Return a `<picture>` tag with one `<source>` per format and the `<img>` tag of `html` as fallback.

        Args:
            alt: As in `html`.
            formats: The formats, best first. The browser loads the first one that it supports.
            loading: As in `html`.
            **attributes: Attributes of the `<img>` tag, as in `html`. `sizes` is also set on each `<source>`.
        """
        sizes = attributes.get("sizes", self.sizes) or None
        sources = [self._source(name, sizes) for name in formats] if self.candidates else []
        image = self.html(alt=alt, loading=loading, **attributes)
        return Html(f"<picture>{''.join(sources)}{image}</picture>")

    def _source(self, format_: str, sizes: Attribute) -> str:
        checked = check([("format", format_)])
        report(checked.faults, "raise")
        name = checked.pairs["format"]
        if name == "auto":
            raise ValueError("formats must not contain auto: a <source> has one format")
        format_rule = from_checked(checked)
        candidates = [
            Candidate(candidate.transformation | format_rule, candidate.descriptor)
            for candidate in self.candidates
        ]
        mime = f"image/{_MIME_SUBTYPES.get(name, name)}"
        return tag("source", {"type": mime, "srcset": _srcset(self.cdn_url, candidates), "sizes": sizes})

    def __html__(self) -> str:
        return self.html(alt="")


def responsive_image(
    cdn_url: str,
    original_width: int,
    original_height: int,
    options: Options = None,
    /,
    *,
    widths: Iterable[int] | None = None,
    breakpoints: Breakpoints | None = None,
    densities: Iterable[float] = (1, 2),
    upscale: bool = False,
    preset: Preset | None = None,
    on_invalid: OnInvalid = "raise",
    raw: Mapping[str, object] | None = None,
    **rules: Unpack[Rules],
) -> ResponsiveImage:
    """Return an image in several sizes, with its `srcset`, `sizes` and HTML.

    Without `widths` and `breakpoints`, the rules decide. With a rule `width`, the `srcset` has one URL per
    density. Without this rule, there are breakpoints for pictures of 320, 640, 1024 and 1440 pixels.

    No picture is wider than 8192 pixels. Unless `upscale` is True, no picture is wider than the original
    after its crop. When two pictures have the same descriptor (such as `640w`), the `srcset` has the first
    one only.

    Args:
        cdn_url: The URL of the image, `image.cdn_url`.
        original_width: The width of the original in pixels, or 0 when it is unknown.
        original_height: The height of the original in pixels, or 0 when it is unknown.
        options: A `Transformation` or a mapping of rules, as in `build_url`.
        widths: Widths in pixels. The `srcset` has one URL per width, with a descriptor such as `640w`.
        breakpoints: `Breakpoint`s, mappings or (min_width, width) tuples. The `srcset` has one URL per
            breakpoint and density.
        densities: Pixel densities of screens. The CDN multiplies the width by the density.
        upscale: Whether pictures may be wider than the original.
        preset: As in `build_url`.
        on_invalid: As in `build_url`.
        raw: As in `build_url`.
        **rules: Rules by name or alias, as in `build_url`.

    Raises:
        TransformationError: As in `build_url`. It is also raised for the rule `dpr`, which `densities` sets,
            and, with `widths`, for the rule `width`.
        ValueError: Both `widths` and `breakpoints` are given, some breakpoints have a width and some have
            none, or a `min_width` is not a whole number of at least 0.
        TypeError: `widths`, `densities` or a breakpoint has a wrong type.
    """
    if widths is not None and breakpoints is not None:
        raise ValueError("pass widths or breakpoints, not both")
    checked = check_options(options, preset, raw, rules, on_invalid)
    base = from_checked(checked)
    _require_not_given(
        base, {"dpr": "densities", "width": "widths"} if widths is not None else {"dpr": "densities"}
    )
    original = Original(base, original_width, original_height, upscale)
    if widths is not None:
        layout = layout_by_widths(original, widths, on_invalid)
    else:
        if breakpoints is None:
            breakpoints = BREAKPOINTS if size_rule_value(base, "width") is None else (Breakpoint(0),)
        layout = layout_by_breakpoints(original, breakpoints, densities, on_invalid)
    report([*checked.faults, *missing_source_faults(checked), *layout.faults], on_invalid)
    return _build(cdn_url, original, layout)


def srcset(
    cdn_url: str,
    original_width: int,
    original_height: int,
    options: Options = None,
    /,
    **keywords: Unpack[ResponsiveOptions],
) -> str:
    """Return the text of a `srcset` attribute.

    Args:
        cdn_url: The URL of the image, `image.cdn_url`.
        original_width: The width of the original in pixels, or 0 when it is unknown.
        original_height: The height of the original in pixels, or 0 when it is unknown.
        options: A `Transformation` or a mapping of rules, as in `build_url`.
        **keywords: The keywords of `responsive_image`: `widths`, `breakpoints`, `densities`, `upscale`,
            `preset`, `on_invalid`, `raw`, and rules.
    """
    return responsive_image(cdn_url, original_width, original_height, options, **keywords).srcset


def _require_not_given(base: Transformation, set_by: Mapping[str, str]) -> None:
    """Raise `TransformationError` if `base` has a rule that an argument of `responsive_image` also sets.

    `set_by` maps the names of such rules to the argument. Like any duplicate rule, this is an error for every
    value of `on_invalid`.
    """
    given = dict(base.pairs)
    faults = [
        Fault(name, given[name], f"Duplicate transformation rule: {name} (the {argument} set it)")
        for name, argument in set_by.items()
        if name in given
    ]
    if faults:
        raise TransformationError(faults)


def _build(cdn_url: str, original: Original, layout: Layout) -> ResponsiveImage:
    width, height = layout.size or (None, None)
    return ResponsiveImage(
        src=_url(cdn_url, layout.fallback),
        srcset=_srcset(cdn_url, layout.candidates),
        sizes=layout.sizes,
        width=width,
        height=height,
        placeholder=_url(cdn_url, placeholder(original, layout.fallback)),
        cdn_url=cdn_url,
        candidates=layout.candidates,
    )


def _url(cdn_url: str, rules: Transformation) -> str:
    return with_query(cdn_url, rules.preset, rules.query)


def _srcset(cdn_url: str, candidates: Iterable[Candidate]) -> str:
    urls = [(_url(cdn_url, candidate.transformation), candidate.descriptor) for candidate in candidates]
    # In a `srcset`, a space or a comma may end a URL. So both are encoded. Only the path and the fragment can
    # contain them, because the query is encoded already.
    return ", ".join(
        [f"{url.replace(' ', '%20').replace(',', '%2C')} {descriptor}" for url, descriptor in urls]
    )
