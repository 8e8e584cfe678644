"""Delete images in batches, and collect the outcome of each id."""

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

# The reason of these errors is the API key or the plan, so every batch would fail. When the first batch
# raises such an error, no more batches are sent, and `bulk_delete` raises the error.
_FATAL_ERRORS = (AuthenticationError, PaymentRequiredError, PermissionDeniedError)


@contextmanager
def add_deleted_count_to_timeout(total: int) -> Generator[list[str], None, None]:
    """Give the `with` block a list for the deleted ids. If the deadline passes, report how many it contains.

    The number is added to the `APITimeoutError` as a note. `total` is the number of all ids.
    """
    deleted: list[str] = []
    try:
        yield deleted
    except APITimeoutError as error:
        error.add_note(f"{len(deleted)} of {total} images are known to be deleted")
        raise


async def delete_in_batches(
    ids: Sequence[str],
    size: int,
    delete: Callable[[Sequence[str]], Awaitable[Mapping[str, object]]],
    deleted: list[str],
) -> BulkDeleteResult:
    """Delete `ids` in batches of `size`, one batch after the other, and return the outcome of each id.

    `delete` sends the request for one batch. Deleted ids are added to the list `deleted` after each batch.
    """
    failed: list[tuple[str, ImgwireError]] = []
    unknown: list[str] = []
    responses: list[Mapping[str, object]] = []
    for start in range(0, len(ids), size):
        batch = ids[start : start + size]
        try:
            responses.append(await delete(batch))
        except _FATAL_ERRORS as error:
            if start == 0:
                raise
            failed += [(image_id, error) for image_id in batch]
        except APIConnectionError as error:
            if error.sent:
                unknown += batch
            else:
                failed += [(image_id, error) for image_id in batch]
        except DecodeError as error:
            # The response had a successful status. If the API sent it, the images are deleted, although its
            # body cannot be decoded.
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
