"""Bulk deletion in chunks: what became of each id."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

from imgwire_async.errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    DecodeError,
    ImgwireError,
    PaymentRequiredError,
    PermissionDeniedError,
)
from imgwire_async.results import BulkDeleteResult

# These would meet every chunk alike, so the first one says it for all.
_HOPELESS = (AuthenticationError, PaymentRequiredError, PermissionDeniedError)


@contextmanager
def noting_deleted(total: int) -> Generator[list[str], None, None]:
    """Give the list of the ids that are deleted, whose length a passed deadline then tells in a note."""
    deleted: list[str] = []
    try:
        yield deleted
    except APITimeoutError as error:
        error.add_note(f"{len(deleted)} of {total} images are deleted for sure: the first ones")
        raise


async def delete_in_chunks(
    ids: Sequence[str],
    size: int,
    delete: Callable[[Sequence[str]], Awaitable[Mapping[str, object]]],
    deleted: list[str],
) -> BulkDeleteResult:
    """Delete `ids`, one chunk after the other, and sort them by what became of them; `deleted` grows meanwhile."""
    failed: list[tuple[str, ImgwireError]] = []
    unknown: list[str] = []
    replies: list[Mapping[str, object]] = []
    for start in range(0, len(ids), size):
        chunk = ids[start : start + size]
        try:
            replies.append(await delete(chunk))
        except _HOPELESS as error:
            if start == 0:
                raise
            failed += [(each, error) for each in chunk]
        except APIConnectionError as error:
            if error.sent:
                unknown += chunk
            else:
                failed += [(each, error) for each in chunk]
        except DecodeError as error:
            if error.from_api:  # answered with success, in words that nobody here can read
                deleted += chunk
            else:
                unknown += chunk
        except ImgwireError as error:
            failed += [(each, error) for each in chunk]
        else:
            deleted += chunk
    return BulkDeleteResult(
        deleted=tuple(deleted), failed=tuple(failed), unknown=tuple(unknown), replies=tuple(replies)
    )
