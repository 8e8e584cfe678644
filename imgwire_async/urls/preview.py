"""An image record as a notebook shows it: a thumbnail and a line of facts, whatever its fields hold."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from urllib.parse import urlsplit

from imgwire_async.urls.markup import Html, clean, tag
from imgwire_async.urls.responsive import responsive_image

_WIDEST = 320  # CSS pixels; screens with more get twice as many from the `srcset`


def preview(
    cdn_url: str, width: int, height: int, *, name: str, state: str | None, facts: Iterable[str]
) -> Html:
    """A `<figure>`: the thumbnail, or `state` while there is none, then name and facts. Everything is escaped.

    Nothing but an http(s) address without user info is asked for a picture: the record may come from anywhere.
    """
    if state is None and not _loadable(cdn_url):
        state = "no preview: cdn_url is no http(s) address"
    # No alternative would be less safe: a name may hold marks that turn the text around it.
    caption = f"<bdi>{escape(clean(name))}</bdi>{''.join(f' · {escape(clean(fact))}' for fact in facts)}"
    shown = (
        f"<em>{escape(clean(state))}</em>" if state is not None else _thumbnail(cdn_url, width, height, name)
    )
    return Html(f"{tag('figure', {'style': 'margin:0'})}{shown}<figcaption>{caption}</figcaption></figure>")


def _thumbnail(cdn_url: str, width: int, height: int, name: str) -> Html:
    small = responsive_image(
        cdn_url, width, height, width=min(_WIDEST, width or _WIDEST), format="auto", on_invalid="omit"
    )
    return small.html(
        alt=name,
        # Neither side is set, so that a tall picture, or a narrow notebook, shrinks both.
        width=None,
        height=None,
        style=f"max-width:min(100%,{_WIDEST}px);max-height:{_WIDEST}px",
        referrerpolicy="no-referrer",
    )


def _loadable(url: str) -> bool:
    """Whether a browser may be sent there."""
    try:
        parts = urlsplit(url)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and "@" not in parts.netloc
    except ValueError:
        return False
