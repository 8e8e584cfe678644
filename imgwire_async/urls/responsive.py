"""Responsive images: `srcset`, `sizes`, and the HTML around them. [contract 12]"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import attrs

from imgwire_async.errors import Fault, TransformationError
from imgwire_async.urls.check import check, missing_source_faults, report
from imgwire_async.urls.encoding import with_query
from imgwire_async.urls.geometry import pixels
from imgwire_async.urls.layout import (
    BREAKPOINTS,
    Breakpoint,
    Breakpoints,
    Candidate,
    Layout,
    Picture,
    by_breakpoints,
    by_widths,
    tiny,
)
from imgwire_async.urls.markup import Attribute, Html, attribute_name, tag
from imgwire_async.urls.transformation import Transformation, check_call, from_checked

if TYPE_CHECKING:
    from typing import Unpack

    from imgwire_async.urls.types import OnInvalid, Options, Preset, ResponsiveOptions, Rules

__all__ = ["Breakpoint", "Breakpoints", "ResponsiveImage", "responsive_image", "srcset"]

_MIME_OF = {"jpg": "jpeg"}  # where a format and its mime type differ


@attrs.frozen
class ResponsiveImage:
    """An image in several sizes, ready for a page.

    `src` is the smallest one, `srcset` and `sizes` let the browser choose, `width` and `height` (None: not known) keep its
    place free while it loads, `placeholder` is a tiny blurred one. Templates print it as an `<img>` without alt text.
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
        """Return an `<img>` tag, everything escaped.

        `attributes` are added or replace ours: `class_="hero"`, `sizes="50vw"`, `data_id=7`; True gives a bare attribute,
        None takes one away.
        """
        own: dict[str, Attribute] = {
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
        return Html(tag("img", own | given))

    def picture(
        self,
        *,
        alt: str,
        formats: Iterable[str] = ("avif", "webp"),
        loading: str | None = "lazy",
        **attributes: Attribute,
    ) -> Html:
        """Return a `<picture>` with one source per format, best first, and the `<img>` of `html` as fallback."""
        sizes = attributes.get("sizes", self.sizes) or None
        sources = [self._source(name, sizes) for name in formats] if self.candidates else []
        image = self.html(alt=alt, loading=loading, **attributes)
        return Html(f"<picture>{''.join(sources)}{image}</picture>")

    def _source(self, name: str, sizes: Attribute) -> str:
        checked = check([("format", name)])
        report(checked.faults, "raise")
        word = checked.pairs["format"]
        if word == "auto":
            raise ValueError("a <source> has one format, not auto")
        form = from_checked(checked)
        candidates = [
            Candidate(candidate.transformation | form, candidate.descriptor) for candidate in self.candidates
        ]
        mime = f"image/{_MIME_OF.get(word, word)}"
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
    """Return an image in several sizes, made of an original of so many pixels (0: unknown).

    `widths`: one candidate per width, `640w`. `breakpoints`: one per breakpoint and density, the CDN multiplies the
    breakpoint's width by `dpr`. With neither, a `width` among the rules is a fixed width in several densities (`2x`), else
    the four default breakpoints count (320, 640, 1024 and 1440 pixels). Nothing is wider than the original (or its crop)
    unless `upscale`, nor than 8192 pixels; of equal descriptors the first stays.
    """
    if widths is not None and breakpoints is not None:
        raise ValueError("give widths or breakpoints, not both")
    checked = check_call(options, preset, raw, rules, on_invalid)
    base = from_checked(checked)
    _refuse_twice(
        base, {"dpr": "densities", "width": "widths"} if widths is not None else {"dpr": "densities"}
    )
    picture = Picture(base, original_width, original_height, upscale)
    if widths is not None:
        layout = by_widths(picture, widths, on_invalid)
    else:
        default = BREAKPOINTS if pixels(base, "width") is None else (Breakpoint(0),)
        layout = by_breakpoints(
            picture, default if breakpoints is None else breakpoints, densities, on_invalid
        )
    report([*checked.faults, *missing_source_faults(checked), *layout.faults], on_invalid)
    return _build(cdn_url, picture, layout)


def srcset(
    cdn_url: str,
    original_width: int,
    original_height: int,
    options: Options = None,
    /,
    **keywords: Unpack[ResponsiveOptions],
) -> str:
    """Return the `srcset` text alone.

    Keywords as in `responsive_image`: `widths`, `breakpoints`, `densities`, `upscale`, `preset`, `on_invalid`, `raw` and
    the rules.
    """
    return responsive_image(cdn_url, original_width, original_height, options, **keywords).srcset


def _refuse_twice(base: Transformation, set_by: Mapping[str, str]) -> None:
    """Raise when a rule is given that the layout sets itself: a duplicate, an error in every mode."""
    given = {name for name, _ in base.pairs}
    faults = [
        Fault(name, dict(base.pairs)[name], f"Duplicate transformation rule: {name} (the {by} set it)")
        for name, by in set_by.items()
        if name in given
    ]
    if faults:
        raise TransformationError(faults)


def _build(cdn_url: str, picture: Picture, layout: Layout) -> ResponsiveImage:
    width, height = layout.box or (None, None)
    return ResponsiveImage(
        src=_address(cdn_url, layout.fallback),
        srcset=_srcset(cdn_url, layout.candidates),
        sizes=layout.sizes,
        width=width,
        height=height,
        placeholder=_address(cdn_url, tiny(picture, layout.fallback)),
        cdn_url=cdn_url,
        candidates=layout.candidates,
    )


def _address(cdn_url: str, rules: Transformation) -> str:
    return with_query(cdn_url, rules.preset, rules.query)


def _srcset(cdn_url: str, candidates: Iterable[Candidate]) -> str:
    addresses = [
        (_address(cdn_url, candidate.transformation), candidate.descriptor) for candidate in candidates
    ]
    # A blank would end the address, a comma may; in a query they are encoded anyway.
    return ", ".join(
        [f"{url.replace(' ', '%20').replace(',', '%2C')} {descriptor}" for url, descriptor in addresses]
    )
