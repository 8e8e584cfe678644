"""Paginated responses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imgwire_async.emulator.http import Response, json_response
from imgwire_async.emulator.state import ApiCall
from imgwire_async.emulator.validation import Field
from imgwire_async.emulator.validators import query_integer

__all__ = ["PAGE_FIELDS", "paged_response"]

PAGE_FIELDS = (Field("page", query_integer(1), default=1), Field("limit", query_integer(1, 100), default=20))


def paged_response(call: ApiCall, total: int, get_items: Callable[[int, int], Sequence[object]]) -> Response:
    """Return one page as a JSON list, with its position in the pagination headers.

    `get_items` is called with the page number and the maximum number of items, and returns the items. On the
    first page, the header `X-Prev-Page` has the value `null`. On the last page, `X-Next-Page` has the value
    `null`. [contract 4]
    """
    page = call.query.optional_integer("page") or 1
    limit = call.query.optional_integer("limit") or 20
    headers = {
        "X-Total-Count": str(total),
        "X-Page": str(page),
        "X-Limit": str(limit),
        "X-Prev-Page": str(page - 1) if page > 1 else "null",
        "X-Next-Page": str(page + 1) if page * limit < total else "null",
    }
    return json_response(get_items(page, limit), headers=tuple(headers.items()))
