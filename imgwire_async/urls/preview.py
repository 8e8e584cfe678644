"""Show an image record in a notebook: a thumbnail and a line of details."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from urllib.parse import urlsplit

from imgwire_async.urls.markup import Html, clean, tag
from imgwire_async.urls.responsive import responsive_image

# CSS pixels. The `srcset` has twice as many for screens with a high density.
_MAX_WIDTH = 320


def preview(
    cdn_url: str, width: int, height: int, *, name: str, state: str | None, facts: Iterable[str]
) -> Html:
    """Return a `<figure>` with the thumbnail, or `state` when there is none, and the name and facts below it.

    All text is escaped. The record may come from an untrusted source, so the thumbnail is left out unless
    `cdn_url` is an http or https URL without user info.
    """
    if state is None and not _loadable(cdn_url):
        state = "no preview: cdn_url is not an http(s) URL"
    # `<bdi>` isolates the name: its characters may change the text direction of what follows.
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
        # Without width and height the picture keeps its ratio when `style` limits one of them.
        width=None,
        height=None,
        style=f"max-width:min(100%,{_MAX_WIDTH}px);max-height:{_MAX_WIDTH}px",
        referrerpolicy="no-referrer",
    )


def _loadable(url: str) -> bool:
    """Return whether a browser may load `url`."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
