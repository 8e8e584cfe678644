"""The pure decisions (retries, next action of an upload, pages, slots) hold for all values."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import attrs
from drawing import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recording import Api, Response, in_no_time
from samples import image, upload_state

from imgwire_async import PaginationError, RetryPolicy
from imgwire_async.models import ImageStatus
from imgwire_async.resources.pages import last_page, pagination
from imgwire_async.retry import Failure, may_retry, parse_retry_after, retry_delay, stagger
from imgwire_async.transport.slots import cap_by_open_files
from imgwire_async.uploads.states import (
    MAX_UPLOAD_URLS,
    Action,
    PutOutcome,
    UploadState,
    action_after_check,
    next_action,
)

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
numbers = st.floats(0, math.inf) | st.integers(0, 2**64 - 1) | st.sampled_from([0, 0.25, 8.0, math.inf])
policies = st.builds(
    RetryPolicy, max_retries=st.integers(0, 50), backoff=numbers, max_backoff=numbers, max_retry_after=numbers, max_rate_wait=numbers
)  # fmt: skip
jitters = st.floats(0, 1, exclude_max=True)
kinds = st.sampled_from(["not_sent", "connect_timeout", "connection_lost", "attempt_timeout", "stalled"])
failures = st.builds(Failure, st.just("x"), kind=kinds) | st.builds(
    Failure, st.just("x"), status=st.integers(300, 999)
)
methods = st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "PATCH", "POST", "OPTIONS"])
declarations = st.sampled_from([None, True, False])


# --- retries ------------------------------------------------------------------------------------------------


@given(
    retry=st.integers(1, 10**9),
    retry_after=st.none() | st.floats(0, 1e15, exclude_min=True),
    policy=policies,
    jitter=jitters,
)
@example(retry=1, retry_after=None, policy=RetryPolicy(backoff=math.inf, max_backoff=math.inf), jitter=0.0)
def test_a_delay_is_finite_and_at_least_the_retry_after(
    retry: int, retry_after: float | None, policy: RetryPolicy, jitter: float
) -> None:
    seconds = retry_delay(retry, retry_after, policy=policy, jitter=jitter)
    if retry_after is None:
        assert seconds is not None
        assert 0 <= seconds <= policy.max_backoff
    elif retry_after > policy.max_retry_after:
        assert seconds is None
    else:
        assert seconds is not None
        assert retry_after <= seconds <= retry_after + 1


@given(seconds=st.floats(0, 1e12), jitter=jitters)
def test_jitter_adds_at_most_a_second_to_retry_after(seconds: float, jitter: float) -> None:
    assert 0 <= stagger(seconds, jitter) <= 1


@given(
    st.text(st.characters(), max_size=40)
    | st.from_regex(r"\A[-+0-9 .eE:,]{0,30}\Z")
    | st.from_regex(
        r"\A(Mon, )?[0-9]{1,3} (Jan|Feb|Dec|Foo) [0-9]{1,6} [0-9]{1,3}:[0-9]{2}(:[0-9]{2,3})? (GMT|-0000|[+-][0-9]{2,6}|PST)?\Z"
    )
)
def test_a_parsed_retry_after_is_none_or_positive_and_finite(header: str) -> None:
    seconds = parse_retry_after({"Retry-After": header, "Date": "Wed, 01 Apr 2026 12:00:00 GMT"})
    assert seconds is None or (math.isfinite(seconds) and seconds > 0)


@given(method=methods, failure=failures, declared=declarations)
def test_a_request_that_may_have_succeeded_is_retried_only_if_it_is_idempotent(
    method: str, failure: Failure, declared: bool | None
) -> None:
    if failure.may_have_succeeded and may_retry(method, failure, repeatable=declared):
        assert declared is True or (declared is None and method != "POST")


@given(method=methods, failure=failures, declared=declarations)
def test_a_request_that_declares_itself_repeatable_is_never_retried_less(
    method: str, failure: Failure, declared: bool | None
) -> None:
    if may_retry(method, failure, repeatable=declared):
        assert may_retry(method, failure, repeatable=True)


# --- actions of an upload -----------------------------------------------------------------------------------

_IN_DOUBT = {PutOutcome.CONNECTION_LOST, PutOutcome.STALLED, PutOutcome.BUSY}


@settings(max_examples=examples(50))
@given(
    outcomes=st.lists(
        st.tuples(
            # INTERRUPTED is left out: it says that the caller was busy, and it does not use up a retry.
            st.sampled_from(sorted(set(PutOutcome) - {PutOutcome.STORED, PutOutcome.INTERRUPTED}, key=str)),
            st.sampled_from(list(ImageStatus)),
        ),
        min_size=10,
        max_size=10,
    ),
    max_retries=st.integers(0, 5),
)
def test_an_upload_ends_after_a_bounded_number_of_puts_for_any_responses_of_the_storage(
    outcomes: list[tuple[PutOutcome, ImageStatus]], max_retries: int
) -> None:
    state = upload_state(urls_requested=1, max_retries=max_retries)
    puts = 0
    for outcome, status in outcomes:
        puts += 1
        state = attrs.evolve(state, may_have_arrived=state.may_have_arrived or outcome in _IN_DOUBT)
        action = next_action(outcome, state)
        if action is Action.CHECK_RECORD:
            action = action_after_check(outcome, status, state)
        if action is Action.NEW_URL:
            state = attrs.evolve(
                state,
                urls_requested=state.urls_requested + 1,
                forbidden_puts=state.forbidden_puts + (outcome is PutOutcome.FORBIDDEN),
            )
        elif action is Action.RETRY:
            assert state.budget.next_delay(Failure("x")) is not None
        else:
            break
    else:
        raise AssertionError("the upload does not end")
    assert state.urls_requested <= MAX_UPLOAD_URLS
    assert puts <= MAX_UPLOAD_URLS + max_retries
    if max_retries == 0:
        assert (state.urls_requested, puts) == (1, 1)


@given(
    outcome=st.sampled_from(list(PutOutcome)),
    state=st.builds(
        upload_state,
        st.integers(0, 4),
        st.booleans(),
        st.integers(0, 3),
        st.integers(0, 5),
        st.integers(1, 5),
    ),
)
def test_an_upload_checks_the_record_if_the_bytes_may_have_arrived(
    outcome: PutOutcome, state: UploadState
) -> None:
    if outcome in {PutOutcome.CONNECTION_LOST, PutOutcome.STALLED}:
        assert next_action(outcome, state) is Action.CHECK_RECORD


# --- pages --------------------------------------------------------------------------------------------------

page_numbers = (
    st.integers(-5, 12).map(str)
    | st.sampled_from(["null", "", "None", "1e3", "٣", "9" * 30, "0x2", " 3 "])
    | st.text(max_size=4)
)
page_headers = st.dictionaries(
    st.sampled_from(["X-Total-Count", "X-Page", "X-Limit", "X-Prev-Page", "X-Next-Page"]), page_numbers
)


@given(page_headers)
def test_parsed_page_numbers_are_none_or_not_negative(headers: dict[str, str]) -> None:
    found = pagination(headers)
    assert all(value is None or value >= 0 for value in attrs.astuple(found))
    last = last_page(found, 20)
    assert last is None or last >= 0


plausible_headers = st.builds(lambda total: {"X-Total-Count": str(total)}, st.integers(0, 40))


@settings(max_examples=examples(40))
@given(
    responses=st.lists(
        st.tuples(st.integers(0, 3), page_headers | plausible_headers, st.booleans()), min_size=1, max_size=12
    ),
    prefetch=st.integers(1, 6),
    start=st.integers(1, 3),
)
def test_pages_are_requested_in_order_and_only_once_for_any_responses(
    responses: list[tuple[int, dict[str, str], bool]], prefetch: int, start: int
) -> None:
    requested: list[int] = []

    def respond(request: Any) -> Response:
        number = int(request.params["page"])
        requested.append(number)
        count, headers, forward = responses[number % len(responses)]
        return Response([image()] * count, headers | ({"X-Next-Page": str(number + 1)} if forward else {}))

    async def iterate() -> int:
        received = 0
        try:
            async for page in Api(respond).images.list_pages(page=start, limit=3, prefetch=prefetch):
                received += 1
                assert page.data or received == 1 or page.pagination
                if received == 15:
                    break
        except PaginationError:
            pass
        return received

    received = in_no_time(iterate)
    assert requested == list(range(start, start + len(requested)))
    assert len(requested) <= received + prefetch


# --- connections --------------------------------------------------------------------------------------------


@given(connections=st.integers(1, 10**6), open_files=st.integers(1, 10**6))
def test_the_number_of_connections_fits_the_limit_of_open_files(connections: int, open_files: int) -> None:
    allowed = cap_by_open_files(connections, open_files)
    assert 1 <= allowed <= connections
    # Files of a connection: sockets to the API, the storage and the CDN, and the file that is read.
    # 32 files are left for the application.
    assert allowed == 1 or 4 * allowed + 32 <= open_files
