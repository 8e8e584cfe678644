"""Numbered pages with their headers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from imgwire_async.emulator.validation import Field, number_text
from imgwire_async.emulator.wire import Answer, json_answer
from imgwire_async.emulator.world import Call

__all__ = ["PAGE", "paged"]

PAGE = (Field("page", number_text(1), default=1), Field("limit", number_text(1, 100), default=20))


def paged(call: Call, total: int, page_of: Callable[[int, int], Sequence[object]]) -> Answer:
    """A bare list; the numbers are in headers, with the word `null` at both ends. [contract 4]"""
    page = call.query.maybe_number("page") or 1
    limit = call.query.maybe_number("limit") or 20
    numbers = {
        "X-Total-Count": str(total),
        "X-Page": str(page),
        "X-Limit": str(limit),
        "X-Prev-Page": str(page - 1) if page > 1 else "null",
        "X-Next-Page": str(page + 1) if page * limit < total else "null",
    }
    return json_answer(page_of(page, limit), headers=tuple(numbers.items()))
