"""Page numbers from headers, and the decision whether to go on. [contract 4]"""

from __future__ import annotations

from collections.abc import Mapping

from imgwire_async.results import Pagination


def _number(text: str | None) -> int | None:
    """A whole number, or None for what is missing, a word ("null") or nonsense."""
    word = (text or "").strip()
    return int(word) if word.isascii() and word.isdigit() and len(word) <= 18 else None


def pagination(headers: Mapping[str, str]) -> Pagination:
    """The numbers that an answer's headers carry."""
    return Pagination(
        total_count=_number(headers.get("X-Total-Count")),
        page=_number(headers.get("X-Page")),
        limit=_number(headers.get("X-Limit")),
        prev_page=_number(headers.get("X-Prev-Page")),
        next_page=_number(headers.get("X-Next-Page")),
    )


def last_page(known: Pagination, limit: int) -> int | None:
    """The number of the last page by the newest total, or None when the service gave no total."""
    return None if known.total_count is None else -(-known.total_count // (known.limit or limit))
