"""CORS origins: the hosts whose web pages may upload with a client API key.

[contract 8]
"""

from __future__ import annotations

import re
import warnings
from collections.abc import (
    AsyncGenerator,
    Generator,  # noqa: F401  # pyright: ignore[reportUnusedImport]  # for annotations of the blocking client
    Mapping,
)
from typing import TypeVar

from imgwire_async import checks
from imgwire_async.formatting import MAX_SHOWN, shortened
from imgwire_async.models import CorsOrigin
from imgwire_async.protocol.request import Request, path_segment
from imgwire_async.redaction import escape_unprintable
from imgwire_async.resources.arguments import Id, reject_mapping
from imgwire_async.resources.base import UNDOCUMENTED_BODY, Resource
from imgwire_async.resources.pages import page_params
from imgwire_async.results import Page

T = TypeVar("T")


class AsyncCorsOrigins(Resource):
    """`client.cors_origins`: list, create, update and delete host patterns such as `*.example.com`."""

    async def list(self, *, page: int = 1, limit: int | None = None) -> Page[CorsOrigin]:
        """Return one page of patterns, in the order of the service.

        `page` is the number of the page, from 1. `limit` is the maximum number of patterns on the page, from
        1 to 100. None takes the service's default of 20. [GET /cors_origins/]
        """
        return await self._page(_page_request(page_params(page, limit)))

    async def list_pages(
        self, *, page: int = 1, limit: int = 100, prefetch: int = 8
    ) -> AsyncGenerator[Page[CorsOrigin], None]:
        """Yield the pages of the list of patterns in order, beginning with page number `page`.

        A page has at most `limit` patterns (1 to 100). Up to `prefetch` pages (1 to 1000) are requested
        ahead. [GET /cors_origins/]
        """
        async with self._pages(_page_request, page, limit, prefetch) as pages:
            async for current_page in pages:
                yield current_page

    async def list_all(
        self, *, page: int = 1, limit: int = 100, prefetch: int = 8
    ) -> AsyncGenerator[CorsOrigin, None]:
        """Yield the patterns in order, beginning with those of page number `page`.

        Patterns are fetched in pages of `limit` patterns (1 to 100). Up to `prefetch` pages (1 to 1000) are
        requested ahead. [GET /cors_origins/]
        """
        async with self._pages(_page_request, page, limit, prefetch) as pages:
            async for current_page in pages:
                for origin in current_page.data:
                    yield origin

    async def create(self, pattern: str) -> CorsOrigin:
        """Allow web pages of a host to upload with a client key, and return the new pattern.

        `pattern` is a host without scheme and path, such as `app.example.com`, `*.example.com` or
        `localhost:3000`. Add a port only if it is not the default port. The text is always sent unchanged. If
        it is clearly in another form, for example a URL, a `UserWarning` shows the right form. The call is
        not retried after a lost response. Raises `UnprocessableEntityError` when the service rejects the
        pattern.
        [POST /cors_origins/]
        """
        return await self._call(
            Request("POST", "/cors_origins/", CorsOrigin, json={"pattern": _pattern(pattern, "create")})
        )

    async def retrieve(self, cors_origin_id: Id) -> CorsOrigin:
        """Fetch the pattern with the id `cors_origin_id`, and return it.

        Raises `NotFoundError` when there is no pattern with this id. [GET /cors_origins/{cors_origin_id}]
        """
        return await self._call(_origin_request("GET", cors_origin_id, CorsOrigin))

    async def update(self, cors_origin_id: Id, pattern: str) -> CorsOrigin:
        """Change the pattern with the id `cors_origin_id` to `pattern`, and return the changed pattern.

        Raises `NotFoundError` when there is no pattern with this id. [PATCH /cors_origins/{cors_origin_id}]
        """
        return await self._call(
            _origin_request("PATCH", cors_origin_id, CorsOrigin, {"pattern": _pattern(pattern, "update")})
        )

    async def delete(self, cors_origin_id: Id) -> Mapping[str, object]:
        """Delete the pattern with the id `cors_origin_id`, and return the body of the response.

        The service does not document the body. Raises `NotFoundError` when there is no pattern with this id.
        [DELETE /cors_origins/{cors_origin_id}]
        """
        return await self._call(_origin_request("DELETE", cors_origin_id, UNDOCUMENTED_BODY))


def _page_request(params: Mapping[str, int]) -> Request[list[CorsOrigin]]:
    """Return the request for one page of patterns."""
    return Request("GET", "/cors_origins/", list[CorsOrigin], params=params)


def _origin_request(
    method: str, cors_origin_id: Id, model: type[T], json: Mapping[str, str] | None = None
) -> Request[T]:
    """Return the request that retrieves, changes or deletes one pattern."""
    ids = {"cors_origin_id": path_segment("cors_origin_id", cors_origin_id)}
    return Request(method, "/cors_origins/{cors_origin_id}", model, ids, json=json)


def _pattern(pattern: object, method: str) -> str:
    """Check the argument `pattern`, and warn if it cannot match any host. `method` is for messages."""
    origin_id = "id, " if method == "update" else ""
    reject_mapping(pattern, f'cors_origins.{method}({origin_id}"app.example.com")')
    given = checks.nonempty_text("pattern", pattern, max_length=None)
    advice = _advice(given)
    if advice is not None:
        # The service may accept forms that it does not document, so the pattern is sent unchanged.
        warnings.warn(escape_unprintable(f"pattern={_quoted(given)} {advice}"), UserWarning, stacklevel=3)
    return given


_SCHEME = re.compile(r"\s*[A-Za-z][A-Za-z0-9+.-]*://")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def _advice(pattern: str) -> str | None:
    """Describe what is wrong with a pattern, as the end of a sentence. Return None for a correct pattern."""
    found = _SCHEME.match(pattern)
    rest = pattern[found.end() :] if found else pattern
    host = re.split(r"[/?#\\]", rest.strip(), maxsplit=1)[0].rpartition("@")[2]
    if found:
        host = host.removesuffix(_DEFAULT_PORTS.get(found[0].strip()[:-3].lower(), " "))
    if host in {"*", "*.", ""}:
        return "names no host: write app.example.com or *.example.com. To allow every origin, delete all patterns"
    if host == pattern and not re.search(r"[\s,]", host):
        return _host_advice(host)
    if host == pattern:
        return "holds more than one host: write one host per pattern, such as app.example.com"
    host = re.split(r"[\s,]", host.strip(), maxsplit=1)[0]
    return f"is not a host alone: write {_quoted(host)}, without scheme, path or blanks (a port only when it is not the default)"


def _quoted(text: str) -> str:
    """Return `text` in quotes for a message, shortened and on one line. Non-ASCII letters are not escaped."""
    return repr(shortened(text, MAX_SHOWN - 2))


def _host_advice(host: str) -> str | None:
    """Return why the pattern `host` cannot match any host, as the end of a sentence.

    Return None if the pattern may match.
    """
    name = host.removeprefix("*.")
    if "*" in name:
        return "has its * where it has no meaning: *.example.com stands for every subdomain; no other form is known"
    if name.startswith("."):
        return f"begins with a dot: write {_quoted(f'*{name}')} for every subdomain, {_quoted(name[1:])} for the host itself"
    return None
