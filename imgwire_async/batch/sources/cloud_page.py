"""Read the links of a web page, which is the listing of a folder.

fsspec would read a page of any size, and its search takes hours for a small page that is made for that.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from imgwire_async.batch.sources.cloud_errors import OtherServerError
from imgwire_async.uploads.disk import CHUNK_SIZE

# The maximum number of bytes of a page, enough for about 500,000 links.
MAX_PAGE = 64 * 2**20

_PORTS = {"http": 80, "https": 443}

# No pattern goes back over text that it has passed, so the time is proportional to the size of a page.
_ANCHOR = re.compile(r"<a\s([^>]*)", re.IGNORECASE)
_HREF = re.compile(r"""(?<!\S)href=["']([^"']+)""", re.IGNORECASE)
_ADDRESS = re.compile(r"https?://[-a-zA-Z0-9@:%_+.~#?&/=]+")


def with_one_origin(options: Mapping[str, object], url: str) -> dict[str, object]:
    """Return the options of an HTTP file system with a middleware that refuses redirects to other servers.

    Another server must not get the headers of the options. And what it returns is no file of this one.
    """
    parts = urlsplit(url)
    wanted = (parts.scheme.lower(), parts.hostname, parts.port or _PORTS[parts.scheme.lower()])

    async def stay(request: Any, handler: Callable[[Any], Awaitable[Any]]) -> Any:
        address = request.url
        if (address.scheme, address.raw_host, address.port) != wanted:
            # aiohttp would take an `OSError` for that of a connection.
            raise OtherServerError(
                f"the server redirects to {address.scheme}://{address.raw_host}:{address.port}, which is another server: pass its URL instead"
            )
        return await handler(request)

    given: Any = options.get("client_kwargs") or {}
    middlewares = (*given.get("middlewares", ()), stay)
    return {**options, "client_kwargs": {**given, "middlewares": middlewares}}


async def read_links(file_system: Any, url: str) -> list[str]:
    """Return the addresses of the links of a page that may lead to files below it.

    Raises the error of the request, and `ValueError` for a page that is too long.
    """
    session: Any = await file_system.set_session()
    async with session.get(file_system.encode_url(url), **file_system.kwargs) as response:
        response.raise_for_status()
        if response.headers.get("Content-Type", "text/html").partition(";")[0].strip().lower() != "text/html":
            return []
        data = bytearray()
        while chunk := await response.content.read(CHUNK_SIZE):
            data += chunk
            if len(data) > MAX_PAGE:
                raise ValueError(f"the page of a folder has more than {MAX_PAGE // 2**20} MiB")
        try:
            text = data.decode(response.charset or "utf-8", "ignore")
        except LookupError:
            text = data.decode("utf-8", "ignore")
    return find_links(text, url, with_text=bool(file_system.simple_links))


def find_links(page: str, url: str, *, with_text: bool) -> list[str]:
    """Return the addresses of the links of a page, each once.

    `with_text` also takes addresses in the text.
    """
    start, parts = url.rstrip("/"), urlsplit(url)
    found: dict[str, None] = {}
    for link in _links(page, with_text=with_text):
        if link in {"..", "../"}:
            continue
        if link.startswith("/") and len(link) > 1:
            address = f"{parts.scheme}://{parts.netloc}{link}"
        elif link.startswith(("http://", "https://")):
            address = link
        else:
            address = f"{start}/{link.lstrip('/')}"
        found[address] = None
    return [*found]


def _links(page: str, *, with_text: bool) -> Iterator[str]:
    for anchor in _ANCHOR.finditer(page):
        if (link := _HREF.search(page, anchor.start(1), anchor.end(1))) is not None:
            yield link[1]
    if with_text:
        yield from _ADDRESS.findall(page)
