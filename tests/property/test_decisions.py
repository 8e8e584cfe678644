"""What is decided without a loop or a socket holds for every value, not only for those that somebody thought of."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any

import attrs
from drawing import examples
from hypothesis import example, given, settings
from hypothesis import strategies as st
from recording import Answer, Api, in_no_time
from samples import image, upload_state

from imgwire_async import PaginationError, RetryPolicy
from imgwire_async.models import ImageStatus
from imgwire_async.resources.pages import last_page, pagination
from imgwire_async.retry import Failure, may_repeat, pause, retry_after, spread
from imgwire_async.transport.slots import fitting
from imgwire_async.uploads.states import (
    MAX_UPLOAD_URLS,
    Action,
    PutOutcome,
    UploadState,
    action_after_check,
    next_action,
)

NOW = datetime(2026, 4, 1, 12, 0, tzinfo=UTC)
figures = st.floats(0, math.inf) | st.integers(0, 2**64 - 1) | st.sampled_from([0, 0.25, 8.0, math.inf])
policies = st.builds(
    RetryPolicy, max_retries=st.integers(0, 50), backoff=figures, max_backoff=figures, max_retry_after=figures, max_rate_wait=figures
)  # fmt: skip
dice = st.floats(0, 1, exclude_max=True)
fates = st.sampled_from(["unsent", "connect", "lost", "attempt", "stall"])
failures = st.builds(Failure, st.just("x"), fate=fates) | st.builds(
    Failure, st.just("x"), status=st.integers(300, 999)
)
methods = st.sampled_from(["GET", "HEAD", "PUT", "DELETE", "PATCH", "POST", "OPTIONS"])
words = st.sampled_from([None, True, False])


# --- retries ----------------------------------------------------------------------------------------------------------


@given(
    retry=st.integers(1, 10**9),
    told=st.none() | st.floats(0, 1e15, exclude_min=True),
    policy=policies,
    dice=dice,
)
@example(retry=1, told=None, policy=RetryPolicy(backoff=math.inf, max_backoff=math.inf), dice=0.0)
def test_every_pause_is_a_number_that_a_loop_can_sleep_for_and_obeys_the_server(
    retry: int, told: float | None, policy: RetryPolicy, dice: float
) -> None:
    seconds = pause(retry, told, policy=policy, dice=dice)
    if told is None:
        assert seconds is not None
        assert 0 <= seconds <= policy.max_backoff
    elif told > policy.max_retry_after:
        assert seconds is None
    else:
        assert seconds is not None
        assert told <= seconds <= told + 1


@given(seconds=st.floats(0, 1e12), dice=dice)
def test_whoever_waited_with_others_waits_at_most_a_second_longer(seconds: float, dice: float) -> None:
    assert 0 <= spread(seconds, dice) <= 1


@given(
    st.text(st.characters(), max_size=40)
    | st.from_regex(r"\A[-+0-9 .eE:,]{0,30}\Z")
    | st.from_regex(
        r"\A(Mon, )?[0-9]{1,3} (Jan|Feb|Dec|Foo) [0-9]{1,6} [0-9]{1,3}:[0-9]{2}(:[0-9]{2,3})? (GMT|-0000|[+-][0-9]{2,6}|PST)?\Z"
    )
)
def test_any_retry_after_is_a_finite_time_to_come_or_nothing(header: str) -> None:
    seconds = retry_after({"Retry-After": header, "Date": "Wed, 01 Apr 2026 12:00:00 GMT"})
    assert seconds is None or (math.isfinite(seconds) and seconds > 0)


@given(method=methods, failure=failures, word=words)
def test_nothing_that_may_have_been_done_is_done_twice_unless_twice_is_once(
    method: str, failure: Failure, word: bool | None
) -> None:
    if failure.in_doubt and may_repeat(method, failure, repeatable=word):
        assert word is True or (word is None and method != "POST")


@given(method=methods, failure=failures, word=words)
def test_a_word_that_allows_a_repeat_never_forbids_one(
    method: str, failure: Failure, word: bool | None
) -> None:
    if may_repeat(method, failure, repeatable=word):
        assert may_repeat(method, failure, repeatable=True)


# --- the life of an upload --------------------------------------------------------------------------------------------

_IN_DOUBT = {PutOutcome.CONNECTION_LOST, PutOutcome.STALLED, PutOutcome.BUSY}


@settings(max_examples=examples(50))
@given(
    course=st.lists(
        st.tuples(
            # INTERRUPTED is no answer: it is the caller who was away, as often as it likes.
            st.sampled_from(sorted(set(PutOutcome) - {PutOutcome.STORED, PutOutcome.INTERRUPTED}, key=str)),
            st.sampled_from(list(ImageStatus)),
        ),
        min_size=10,
        max_size=10,
    ),
    max_retries=st.integers(0, 5),
)
def test_whatever_a_storage_answers_an_upload_ends_after_a_bounded_number_of_tries(
    course: list[tuple[PutOutcome, ImageStatus]], max_retries: int
) -> None:
    tally = upload_state(urls_requested=1, max_retries=max_retries)
    puts = 0
    for event, status in course:
        puts += 1
        tally = attrs.evolve(tally, may_have_arrived=tally.may_have_arrived or event in _IN_DOUBT)
        step = next_action(event, tally)
        if step is Action.CHECK_RECORD:
            step = action_after_check(event, status, tally)
        if step is Action.NEW_URL:
            tally = attrs.evolve(
                tally,
                urls_requested=tally.urls_requested + 1,
                forbidden_puts=tally.forbidden_puts + (event is PutOutcome.FORBIDDEN),
            )
        elif step is Action.RETRY:
            assert tally.budget.next_delay(Failure("x")) is not None
        else:
            break
    else:
        raise AssertionError("it never ends")
    assert tally.urls_requested <= MAX_UPLOAD_URLS
    assert puts <= MAX_UPLOAD_URLS + max_retries
    if max_retries == 0:
        assert (tally.urls_requested, puts) == (1, 1)


@given(
    event=st.sampled_from(list(PutOutcome)),
    tally=st.builds(
        upload_state,
        st.integers(0, 4),
        st.booleans(),
        st.integers(0, 3),
        st.integers(0, 5),
        st.integers(1, 5),
    ),
)
def test_bytes_that_may_have_arrived_are_never_sent_anew_or_given_up_without_a_look(
    event: PutOutcome, tally: UploadState
) -> None:
    if event in {PutOutcome.CONNECTION_LOST, PutOutcome.STALLED}:
        assert next_action(event, tally) is Action.CHECK_RECORD


# --- pages ------------------------------------------------------------------------------------------------------------

numbers = (
    st.integers(-5, 12).map(str)
    | st.sampled_from(["null", "", "None", "1e3", "٣", "9" * 30, "0x2", " 3 "])
    | st.text(max_size=4)
)
told = st.dictionaries(
    st.sampled_from(["X-Total-Count", "X-Page", "X-Limit", "X-Prev-Page", "X-Next-Page"]), numbers
)


@given(told)
def test_any_page_numbers_are_whole_or_none(headers: dict[str, str]) -> None:
    found = pagination(headers)
    assert all(value is None or value >= 0 for value in attrs.astuple(found))
    last = last_page(found, 20)
    assert last is None or last >= 0


honest = st.builds(lambda total: {"X-Total-Count": str(total)}, st.integers(0, 40))


@settings(max_examples=examples(40))
@given(
    answers=st.lists(st.tuples(st.integers(0, 3), told | honest, st.booleans()), min_size=1, max_size=12),
    prefetch=st.integers(1, 6),
    start=st.integers(1, 3),
)
def test_whatever_pages_a_service_makes_up_no_page_is_asked_for_twice_or_out_of_turn(
    answers: list[tuple[int, dict[str, str], bool]], prefetch: int, start: int
) -> None:
    asked: list[int] = []

    def answer(request: Any) -> Answer:
        number = int(request.params["page"])
        asked.append(number)
        count, headers, forward = answers[number % len(answers)]
        return Answer([image()] * count, headers | ({"X-Next-Page": str(number + 1)} if forward else {}))

    async def walk() -> int:
        given = 0
        try:
            async for page in Api(answer).images.list_pages(page=start, limit=3, prefetch=prefetch):
                given += 1
                assert page.data or given == 1 or page.pagination
                if given == 15:
                    break
        except PaginationError:
            pass
        return given

    given = in_no_time(walk)
    assert asked == list(range(start, start + len(asked)))
    assert len(asked) <= given + prefetch


# --- connections ------------------------------------------------------------------------------------------------------


@given(wanted=st.integers(1, 10**6), open_files=st.integers(1, 10**6))
def test_what_so_many_connections_may_have_open_fits_the_limit_of_the_process(
    wanted: int, open_files: int
) -> None:
    allowed = fitting(wanted, open_files)
    assert 1 <= allowed <= wanted
    # An API socket, a storage socket, a file being read, a socket that idles to the CDN; and some left for the application.
    assert allowed == 1 or 4 * allowed + 32 <= open_files
