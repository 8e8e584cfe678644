"""Delete ids in batches, and collect the outcome of each id."""

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

# Errors that every batch would raise: the first batch that raises one ends the call.
_FATAL = (AuthenticationError, PaymentRequiredError, PermissionDeniedError)


@contextmanager
def add_deleted_count_to_timeout(total: int) -> Generator[list[str], None, None]:
    """Give a list for the ids that are deleted. When the deadline passes, add their number to the error."""
    deleted: list[str] = []
    try:
        yield deleted
    except APITimeoutError as error:
        error.add_note(f"{len(deleted)} of {total} images are known to be deleted: the first ones")
        raise


async def delete_in_batches(
    ids: Sequence[str],
    size: int,
    delete: Callable[[Sequence[str]], Awaitable[Mapping[str, object]]],
    deleted: list[str],
) -> BulkDeleteResult:
    """Delete `ids` in batches of `size`, one after the other, and return the outcome of each id.

    `deleted` receives the ids as they are deleted.
    """
    failed: list[tuple[str, ImgwireError]] = []
    unknown: list[str] = []
    responses: list[Mapping[str, object]] = []
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        try:
            responses.append(await delete(batch))
        except _FATAL as error:
            if start == 0:
                raise
            failed += [(image_id, error) for image_id in batch]
        except APIConnectionError as error:
            if error.sent:
                unknown += batch
            else:
                failed += [(image_id, error) for image_id in batch]
        except DecodeError as error:
            # A success of the API whose body cannot be decoded has deleted the images.
            if error.from_api:
                deleted += batch
            else:
                unknown += batch
        except ImgwireError as error:
            failed += [(image_id, error) for image_id in batch]
        else:
            deleted += batch
    return BulkDeleteResult(
        deleted=tuple(deleted), failed=tuple(failed), unknown=tuple(unknown), replies=tuple(responses)
    )
