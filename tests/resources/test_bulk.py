"""Bulk deletion reports each id as deleted, failed with its error, or unknown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording import Api, numbered

from imgwire_async import errors
from imgwire_async.results import BulkDeleteResult

IDS = list(numbered(1, 6))
OK = {"message": "deleted"}


def status(cls: type[errors.APIStatusError], code: int) -> errors.APIStatusError:
    return cls(f"HTTP {code}", status=code)


LOST = errors.APIConnectionError("connection reset")
LATE = errors.APITimeoutError("too long", which="attempt")
GARBLED = errors.DecodeError("no JSON")
GONE = status(errors.NotFoundError, 404)
DOWN = status(errors.ServerError, 503)
BUSY = status(errors.RateLimitError, 429)
DENIED = status(errors.PermissionDeniedError, 403)
AWAY = errors.UnsafeURLError("redirected")


async def test_ids_are_sent_in_batches_and_in_order() -> None:
    api = Api(OK, OK, OK)
    result = await api.images.bulk_delete(numbered(1, 6), chunk_size=4)
    assert [request.json["image_ids"] for request in api.sent.requests] == [IDS[:4], IDS[4:]]
    assert result == BulkDeleteResult(deleted=tuple(IDS), replies=(OK, OK))
    result.raise_if_failed()


async def test_a_batch_holds_100_ids_by_default() -> None:
    api = Api(OK, OK, OK)
    await api.images.bulk_delete(numbered(1, 201))
    assert [len(request.json["image_ids"]) for request in api.sent.requests] == [100, 100, 1]


async def test_an_empty_list_sends_no_request() -> None:
    api = Api()
    assert await api.images.bulk_delete([]) == BulkDeleteResult()
    assert api.sent.requests == []


@pytest.mark.parametrize("error", [GONE, DOWN, BUSY, DENIED, AWAY], ids=lambda error: type(error).__name__)
async def test_a_rejected_batch_fails_with_its_error_and_the_others_are_deleted(error: Exception) -> None:
    api = Api(OK, error, OK)
    result = await api.images.bulk_delete(IDS, chunk_size=2)
    assert result.deleted == ("id-1", "id-2", "id-5", "id-6")
    assert result.failed == (("id-3", error), ("id-4", error))
    assert (result.unknown, len(result.replies)) == ((), 2)


@pytest.mark.parametrize("error", [LOST, LATE], ids=lambda error: type(error).__name__)
async def test_a_batch_with_a_lost_response_is_unknown(error: Exception) -> None:
    api = Api(error, OK, OK)
    result = await api.images.bulk_delete(IDS, chunk_size=2)
    assert (result.deleted, result.failed, result.unknown) == (tuple(IDS[2:]), (), ("id-1", "id-2"))


async def test_a_batch_with_a_success_is_deleted_even_if_its_body_cannot_be_decoded() -> None:
    result = await Api(GARBLED, OK, OK).images.bulk_delete(IDS, chunk_size=2)
    assert (result.deleted, len(result.replies)) == (tuple(IDS), 2)


HOPELESS = [
    status(errors.AuthenticationError, 401),
    status(errors.PaymentRequiredError, 402),
    status(errors.PermissionDeniedError, 403),
]


@pytest.mark.parametrize("error", HOPELESS, ids=lambda error: type(error).__name__)
async def test_an_error_that_every_batch_would_get_is_raised_by_the_first_batch(error: Exception) -> None:
    api = Api(error, OK, OK)
    with pytest.raises(type(error)):
        await api.images.bulk_delete(IDS, chunk_size=2)
    assert len(api.sent.requests) == 1


@pytest.mark.parametrize("error", HOPELESS, ids=lambda error: type(error).__name__)
async def test_after_a_first_success_errors_are_results_and_not_raised(error: Exception) -> None:
    api = Api(OK, error, OK)
    result = await api.images.bulk_delete(IDS, chunk_size=2)
    assert result.deleted == ("id-1", "id-2", "id-5", "id-6")
    assert [image_id for image_id, _ in result.failed] == ["id-3", "id-4"]


async def test_the_summary_has_the_counts_and_the_first_error() -> None:
    api = Api(GONE, LOST, OK)
    result = await api.images.bulk_delete(IDS, chunk_size=2)
    with pytest.raises(
        errors.BulkDeleteError, match=r"2 image.* 2 may be deleted or not, 2 were deleted.*HTTP 404"
    ) as caught:
        result.raise_if_failed()
    assert caught.value.result is result


async def test_raise_if_failed_raises_for_unknown_ids_alone() -> None:
    api = Api(LOST)
    result = await api.images.bulk_delete(["a"])
    with pytest.raises(errors.BulkDeleteError, match="no response came"):
        result.raise_if_failed()


async def test_an_error_of_user_code_passes_unchanged() -> None:
    api = Api(OK, KeyError("the key callable's own"))
    with pytest.raises(KeyError):
        await api.images.bulk_delete(IDS, chunk_size=2)


@given(
    st.integers(0, 30),
    st.integers(1, 12),
    st.lists(st.sampled_from([OK, GONE, LOST, DOWN]), min_size=30, max_size=30),
)
async def test_every_id_is_in_exactly_one_group_of_the_result(
    count: int, size: int, outcomes: list[Any]
) -> None:
    ids = list(numbered(1, count))
    result = await Api(*outcomes).images.bulk_delete(ids, chunk_size=size)
    assert sorted([*result.deleted, *(image_id for image_id, _ in result.failed), *result.unknown]) == sorted(
        ids
    )
