"""Show an image record in a notebook: a thumbnail and a line of details."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from urllib.parse import urlsplit

from imgwire_async.urls.markup import Html, clean, tag
from imgwire_async.urls.responsive import responsive_image

# The maximum width and height of the thumbnail in CSS pixels. For screens with a high density, the `srcset`
# has a picture with twice as many pixels.
_MAX_WIDTH = 320


def preview(
    cdn_url: str, width: int, height: int, *, name: str, state: str | None, facts: Iterable[str]
) -> Html:
    """Return a `<figure>` with a thumbnail of the image, and its `name` and `facts` below the thumbnail.

    `state` says why the image has no thumbnail yet, and is shown in its place. It is None for an image that
    can be shown. The record may come from an untrusted source, so all text is escaped. The thumbnail is also
    left out unless `cdn_url` is an http or https URL without user info.
    """
    if state is None and not _is_safe_to_load(cdn_url):
        state = "no preview: cdn_url is not an http(s) URL"
    # `<bdi>` isolates the name, because characters in the name could change the direction of the text after
    # it.
    caption = f"<bdi>{escape(clean(name))}</bdi>{''.join(f' · {escape(clean(fact))}' for fact in facts)}"
    content = (
        f"<em>{escape(clean(state))}</em>" if state is not None else _thumbnail(cdn_url, width, height, name)
    )
    return Html(f"{tag('figure', {'style': 'margin:0'})}{content}<figcaption>{caption}</figcaption></figure>")


def _thumbnail(cdn_url: str, width: int, height: int, name: str) -> Html:
    small = responsive_image(
        cdn_url, width, height, width=min(_MAX_WIDTH, width or _MAX_WIDTH), format="auto", on_invalid="omit"
    )
    return small.html(
        alt=name,
        # These attributes are left out, because `style` may shrink one side, and the picture would then lose
        # its aspect ratio.
        width=None,
        height=None,
        style=f"max-width:min(100%,{_MAX_WIDTH}px);max-height:{_MAX_WIDTH}px",
        referrerpolicy="no-referrer",
    )


def _is_safe_to_load(url: str) -> bool:
    """Return whether `url` is an http or https URL with a host and without user info."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
