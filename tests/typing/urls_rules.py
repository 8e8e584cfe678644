# pyright: reportUnnecessaryTypeIgnoreComment=error
"""Type checks of image URLs: valid calls and mistakes. `nox -s typing` checks this file; it is never run.

Both checkers report an unused ignore as an error, so each ignore shows that they report the mistake.
"""

from __future__ import annotations

from decimal import Decimal
from enum import Enum, StrEnum
from typing import assert_type
from uuid import UUID

from imgwire_async.models import Image
from imgwire_async.urls import (
    Breakpoint,
    Color,
    Crop,
    Gradient,
    Padding,
    ResponsiveImage,
    Rules,
    Transformation,
    Watermark,
    build_url,
    parse_url,
)


class Type(Enum):
    WEB = "webp"


class Brand(StrEnum):
    BLUE = "#0044ff"


def valid_calls(image: Image, settings: dict[str, object], url: str) -> None:
    assert_type(image.url(), str)
    assert_type(image.url(preset="thumbnail", width=300, h=200, format="webp", quality="auto"), str)
    image.url(settings)
    image.url({"min-width": 300, "width": "300"})
    image.url(Transformation(width=300), quality=80, on_invalid="omit", raw={"new_rule": "x"})
    image.url(width=Decimal(300), dpr=Decimal("1.5"), format=Type.WEB, background=Brand.BLUE)
    image.url(resizing_type="fill-down", gravity="noea", chroma_subsampling="4:2:2", progressive="auto")
    image.url(crop="400:300:ne", rotate=90, zoom=1.5, extend_aspect_ratio=(16, 9), padding=10)
    image.url(crop=(400, 300, "ne"), colorize=(255, 0, 0), monochrome={"r": 1, "g": 2, "b": 3})
    image.url(crop={"width": 400, "height": 300, "gravity": "ne"}, flip={"horizontal": True})
    image.url(crop=Crop(400, 300, gravity="ne"), background=Color(255, 0, 0), padding=Padding(all=5))
    image.url(
        gradient=Gradient(["#fff", Color(0, 0, 0)], 45), blur=True, sharpen={"sigma": 1.5}, negate=False
    )
    image.url(watermark=Watermark(UUID(int=1), "se", opacity=0.5), watermark_size=(None, None, 0.5))
    rules: Rules = {"width": 300, "format": "webp"}
    image.url(**rules)
    build_url(url, rules)
    thumb = Transformation(rules, preset="small") | Transformation(quality=80) | {"width": 100}
    assert_type(thumb, Transformation)
    assert_type(image.srcset(widths=[320, 640], format="avif"), str)
    assert_type(
        image.responsive(breakpoints=[Breakpoint(0, 320), (640, 640)], densities=(1, 1.5)), ResponsiveImage
    )
    image.responsive(breakpoints={"sm": {"minWidth": 0, "width": 320}}, upscale=True).html(
        alt="", class_="hero"
    )
    assert_type(parse_url(url).base, str)


def mistakes(image: Image, url: str) -> None:
    image.url(widht=300)  # type: ignore[call-arg]
    image.url(width="wide")  # type: ignore[arg-type]
    image.url(width=1.5)  # type: ignore[arg-type]
    image.url(width=None)  # type: ignore[arg-type]
    image.url(format="jpgg")  # type: ignore[arg-type]
    image.url(resizing_type="stretch")  # type: ignore[arg-type]
    image.url(gravity="middle")  # type: ignore[arg-type]
    image.url(quality="best")  # type: ignore[arg-type]
    image.url(enlarge="yes")  # type: ignore[arg-type]
    image.url(preset="huge")  # type: ignore[arg-type]
    image.url(on_invalid="ignore")  # type: ignore[arg-type]
    image.url(background=16777215)  # type: ignore[arg-type]
    image.url(crop=[400, 300])  # type: ignore[arg-type]
    image.url(crop={"width": 400})  # type: ignore[arg-type]
    image.url(crop=Crop(400))  # type: ignore[call-arg]
    image.url(padding=Padding(5))  # type: ignore[call-arg]
    image.url(["width", 300])  # type: ignore[arg-type]
    image.url(options={"width": 300})  # type: ignore[call-arg]
    build_url(url, hieght=300)  # type: ignore[call-arg]
    Transformation(format="jpgg")  # type: ignore[arg-type]
    Transformation(width=300).preset = None  # type: ignore[misc]
    Transformation(width=300) | 80  # type: ignore[operator]
    image.srcset(breakpoint=[])  # type: ignore[call-arg]
    image.srcset(widths="640")  # type: ignore[arg-type]
    image.srcset(densities=2)  # type: ignore[arg-type]
    image.responsive(upscale="yes")  # type: ignore[arg-type]
    image.responsive(widht=300)  # type: ignore[call-arg]
    image.responsive().html()  # type: ignore[call-arg]
    rules: Rules = {"widht": 300}  # type: ignore[typeddict-unknown-key]
    image.url(**rules)
