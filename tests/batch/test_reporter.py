"""The counts of a run are exact at any time, and its events reach `on_event` in order and in its thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async import user_code
from imgwire_async._bridge import iterate
from imgwire_async.batch.reporter import BatchEvent, Reporter
from imgwire_async.results import BatchSummary

Report: TypeAlias = Callable[[Reporter], object]
FAILURE = ValueError("the disk is gone")


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


# --- counts -------------------------------------------------------------------------------------------------


def a_short_run(reporter: Reporter) -> None:
    reporter.concurrency(4)
    reporter.found(6)
    reporter.done_before(1)
    reporter.skipped("a/.hidden", "hidden")
    reporter.started("a/1.png", 10)
    reporter.add_bytes(10)
    reporter.uploaded("a/1.png", "img_1", 10, 1)
    reporter.done("a/1.png", "img_1")
    reporter.failed("a/2.png", FAILURE, 2)
    reporter.counted()


def test_the_summary_counts_each_file_once() -> None:
    clock = Clock()
    reporter = Reporter(clock=clock)
    a_short_run(reporter)
    clock.now += 2
    assert reporter.summary() == BatchSummary(
        found=6,
        skipped=1,
        uploaded=1,
        done_before=1,
        failed=1,
        left=2,
        bytes_sent=10,
        elapsed=2.0,
        files_per_second=0.5,
        counted=True,
        concurrency=4,
    )


COUNTS: list[tuple[Report, dict[str, int]]] = [
    (lambda r: r.done("a", "img"), {"uploaded": 1, "left": 2}),
    (lambda r: r.done("b", "img", stored_before=True), {"uploaded": 1, "done_before": 1, "left": 1}),
    (lambda r: r.failed("a", FAILURE, 1, was_uploaded=True), {"uploaded": 0, "failed": 1, "left": 2}),
    (lambda r: r.not_ready(was_uploaded=True), {"uploaded": 0, "left": 3}),
    (lambda r: r.not_ready(was_uploaded=False), {"uploaded": 1, "left": 2}),
    (lambda r: r.unsure(2), {"uploaded": 1, "unsure": 2, "left": 2}),
    (lambda r: r.add_bytes(-5), {"uploaded": 1, "bytes_sent": 0, "left": 2}),
    (lambda r: r.done_before(7), {"uploaded": 1, "done_before": 7, "left": 0}),
]


@pytest.mark.parametrize(
    ("report", "counts"),
    COUNTS,
    ids=[
        "done",
        "stored before",
        "failed after it was stored",
        "not ready",
        "not ready again",
        "unsure",
        "fewer bytes",
        "never below 0",
    ],
)
def test_the_files_that_are_left_are_all_others(report: Report, counts: dict[str, int]) -> None:
    reporter = Reporter()
    reporter.found(3)
    reporter.uploaded("a", "img", 1, 1)
    report(reporter)
    summary = attrs.asdict(reporter.summary())
    names = ("uploaded", "done_before", "failed", "unsure", "bytes_sent", "left")
    assert {name: summary[name] for name in names} == dict.fromkeys(names, 0) | counts


def test_the_time_stops_when_the_run_ends() -> None:
    clock = Clock()
    reporter = Reporter(clock=clock)
    clock.now += 5
    reporter.ended()
    clock.now += 5
    reporter.ended()
    assert reporter.summary().elapsed == 5
    assert reporter.status().has_ended


def test_the_status_tells_what_a_run_waits_for() -> None:
    reporter = Reporter()
    reporter.doubt(3, 8)
    reporter.held("no connection")
    for key in "abcdefgh":
        reporter.uploaded(key, "img", 1, 1)
    reporter.done("a", "img")
    reporter.done("of an earlier run", "img", stored_before=True)
    reporter.failed("b", FAILURE, 1, was_uploaded=True)
    status = reporter.status()
    assert (status.doubts_left, status.doubts, status.held, status.waiting) == (3, 8, "no connection", 6)
    reporter.resumed()
    assert reporter.status().held is None


def test_other_threads_read_the_summary_while_the_run_goes_on() -> None:
    reporter, has_ended = Reporter(), threading.Event()

    def read() -> int:
        reads = 0
        while not has_ended.is_set():
            summary = reporter.summary()
            assert summary.left >= 0
            assert summary.uploaded <= 20_000
            reads += 1
        return reads

    with ThreadPoolExecutor(3) as threads:
        readers = [threads.submit(read) for _ in range(3)]
        for number in range(20_000):
            reporter.found(1)
            reporter.uploaded(str(number), "img", 1, 1)
        has_ended.set()
        assert all(reader.result() > 0 for reader in readers)
    assert reporter.summary().uploaded == 20_000


# --- events on the event loop -------------------------------------------------------------------------------

OF_A_SHORT_RUN = [
    BatchEvent("found", found=6),
    BatchEvent("skipped", "a/.hidden", reason="hidden"),
    BatchEvent("started", "a/1.png", size=10),
    BatchEvent("uploaded", "a/1.png", size=10, image_id="img_1", attempts=1),
    BatchEvent("done", "a/1.png", image_id="img_1"),
    BatchEvent("failed", "a/2.png", reason="the disk is gone", error=FAILURE, attempts=2),
    BatchEvent("counted", found=6),
]


async def test_events_reach_the_listener_at_once_on_the_loop() -> None:
    events, threads = list[BatchEvent](), set[int]()

    def on_event(event: BatchEvent) -> None:
        events.append(event)
        threads.add(threading.get_ident())

    reporter = Reporter(on_event)
    a_short_run(reporter)
    assert events == OF_A_SHORT_RUN
    assert threads == {threading.get_ident()}


EVENTS: list[tuple[Report, BatchEvent | None]] = [
    (lambda r: r.progress("a", 5, 10), BatchEvent("progress", "a", sent=5, total=10)),
    (lambda r: r.held("no connection"), BatchEvent("held", reason="no connection")),
    (lambda r: r.resumed(), BatchEvent("resumed")),
    (lambda r: r.doubt(3, 8), BatchEvent("doubt", sent=5, total=8)),
    (lambda r: r.doubt(0, 0), None),
    (lambda r: r.concurrency(3), BatchEvent("slowed", concurrency=3)),
    (lambda r: r.concurrency(5), BatchEvent("sped_up", concurrency=5)),
    (lambda r: r.concurrency(4), None),
    (lambda r: r.done_before(4), None),
    (lambda r: r.add_bytes(4), None),
]


@pytest.mark.parametrize(
    ("report", "expected"),
    EVENTS,
)
async def test_an_event_has_the_fields_of_its_kind(report: Report, expected: BatchEvent | None) -> None:
    events = list[BatchEvent]()
    reporter = Reporter(events.append)
    reporter.concurrency(4)
    report(reporter)
    assert events == ([] if expected is None else [expected])


@pytest.mark.parametrize(
    "error",
    [FAILURE, asyncio.CancelledError(), StopIteration(), StopAsyncIteration(), GeneratorExit()],
    ids=lambda error: type(error).__name__,
)
async def test_a_listener_that_raises_gets_no_more_events_and_ends_the_run(error: BaseException) -> None:
    events, ends = list[BatchEvent](), list[None]()

    def on_event(event: BatchEvent) -> None:
        events.append(event)
        raise error

    reporter = Reporter(on_event, on_error=lambda: ends.append(None))
    a_short_run(reporter)
    assert events == OF_A_SHORT_RUN[:1]
    assert ends == [None]
    assert error in (reporter.error, getattr(reporter.error, "__cause__", None))
    assert isinstance(reporter.error, type(FAILURE) if error is FAILURE else RuntimeError)
    assert reporter.summary().found == 6


async def test_without_a_caller_nothing_is_gathered() -> None:
    reporter = Reporter(list[BatchEvent]().append)
    a_short_run(reporter)
    async with asyncio.timeout(10):
        await reporter.pump()
        await reporter.flush()
        await reporter.wait_until_room()
    assert not reporter.is_full


async def test_without_a_listener_the_run_need_not_report_progress() -> None:
    assert not Reporter().is_listening
    assert Reporter(print).is_listening


# --- events in the thread of the caller ---------------------------------------------------------------------


class CountingCaller:
    """The caller of the blocking client, which counts the switches to its thread."""

    def __init__(self, caller: user_code.Caller) -> None:
        self._caller = caller
        self.switches = 0

    @property
    def is_waiting(self) -> bool:
        return self._caller.is_waiting

    def __call__(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> asyncio.Future[Any]:
        self.switches += 1
        return self._caller(function, *args, **kwargs)


def count_switches() -> CountingCaller:
    """Count the switches of the current task."""
    caller = user_code.current_caller.get()
    assert caller is not None
    counting = CountingCaller(caller)
    user_code.current_caller.set(counting)
    return counting


def test_events_reach_the_listener_in_the_thread_of_the_caller() -> None:
    events, threads = list[BatchEvent](), set[int]()

    def on_event(event: BatchEvent) -> None:
        events.append(event)
        threads.add(threading.get_ident())

    async def run() -> AsyncGenerator[int, None]:
        reporter = Reporter(on_event)
        pump = asyncio.ensure_future(reporter.pump())
        a_short_run(reporter)
        assert events == []
        await reporter.flush()
        yield len(events)
        pump.cancel()

    assert list(iterate(run())) == [len(OF_A_SHORT_RUN)]
    assert events == OF_A_SHORT_RUN
    assert threads == {threading.get_ident()}


def test_the_pump_delivers_while_the_caller_waits() -> None:
    received = threading.Event()

    async def run() -> AsyncGenerator[None, None]:
        reporter = Reporter(lambda event: received.set())
        pump = asyncio.ensure_future(reporter.pump())
        reporter.found(1)
        async with asyncio.timeout(10):
            while not received.is_set():
                await asyncio.sleep(0.01)
        pump.cancel()
        yield

    assert list(iterate(run())) == [None]


@pytest.mark.long
def test_a_hundred_thousand_events_need_few_switches_of_threads() -> None:
    events = list[BatchEvent]()
    switches = 0

    async def run() -> AsyncGenerator[int, None]:
        nonlocal switches
        counting = count_switches()
        reporter = Reporter(events.append)
        pump = asyncio.ensure_future(reporter.pump())
        for number in range(50_000):
            reporter.started(str(number), 1)
            reporter.uploaded(str(number), "img", 1, 1)
            if reporter.is_full:
                await reporter.wait_until_room()
            elif number % 16 == 0:
                await asyncio.sleep(0)
            if number == 25_000:
                yield number
        await reporter.flush()
        pump.cancel()
        switches = counting.switches

    started_at = time.monotonic()
    assert list(iterate(run())) == [25_000]
    elapsed = time.monotonic() - started_at
    assert len(events) == 100_000
    assert [event.key for event in events[::2]] == [str(number) for number in range(50_000)]
    # One switch for a full buffer of 10,000, one per interval of 50 ms, and the last one.
    assert switches <= 12 + elapsed / 0.05, f"{switches} switches in {elapsed:.2f} s"


def test_the_run_pauses_while_the_caller_is_busy_with_its_own_code() -> None:
    events = list[BatchEvent]()
    was_full = list[bool]()

    async def produce(reporter: Reporter) -> None:
        for number in range(12_000):
            if reporter.is_full:
                was_full.append(True)
                await reporter.wait_until_room()
            reporter.skipped(str(number), "hidden")

    async def run() -> AsyncGenerator[None, None]:
        reporter = Reporter(events.append)
        pump = asyncio.ensure_future(reporter.pump())
        producer = asyncio.ensure_future(produce(reporter))
        yield
        await producer
        await reporter.flush()
        pump.cancel()

    for _ in iterate(run()):
        time.sleep(0.2)
        assert len(events) <= 10_000
    assert len(events) == 12_000
    assert was_full


def test_only_the_newest_progress_of_a_file_is_delivered() -> None:
    events = list[BatchEvent]()

    async def run() -> AsyncGenerator[None, None]:
        reporter = Reporter(events.append)
        reporter.started("a", 3)
        for sent in range(4):
            reporter.progress("a", sent, 3)
            reporter.progress("b", 10 * sent, 30)
        reporter.uploaded("a", "img", 3, 1)
        await reporter.flush()
        reporter.progress("b", 30, 30)
        await reporter.flush()
        yield

    assert list(iterate(run())) == [None]
    assert [(event.kind, event.key, event.sent) for event in events] == [
        ("started", "a", None),
        ("progress", "a", 3),
        ("progress", "b", 30),
        ("uploaded", "a", None),
        ("progress", "b", 30),
    ]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["started", "progress", "failed"]))))
def test_gathered_events_of_a_file_keep_their_order(reports: list[tuple[str, str]]) -> None:
    events, expected = list[BatchEvent](), list[tuple[str, str, int | None]]()
    newest = dict[str, int]()

    async def run() -> AsyncGenerator[None, None]:
        reporter = Reporter(events.append)
        for number, (key, kind) in enumerate(reports):
            if kind == "progress":
                reporter.progress(key, number, None)
            elif kind == "started":
                reporter.started(key, None)
            else:
                reporter.failed(key, FAILURE, 1)
        await reporter.flush()
        yield

    for number, (key, kind) in enumerate(reports):
        if kind == "progress" and newest.get(key, -1) >= 0:
            expected[newest[key]] = (key, kind, number)
            continue
        newest[key] = len(expected) if kind == "progress" else -1
        expected.append((key, kind, number if kind == "progress" else None))
    assert list(iterate(run())) == [None]
    for key in "ab":
        assert [(event.key, event.kind, event.sent) for event in events if event.key == key] == [
            row for row in expected if row[0] == key
        ]


def test_a_listener_that_raises_in_the_thread_of_the_caller_ends_the_run() -> None:
    events, ends = list[BatchEvent](), list[None]()

    def on_event(event: BatchEvent) -> None:
        events.append(event)
        raise FAILURE

    async def run() -> AsyncGenerator[Exception | None, None]:
        has_failed = asyncio.Event()

        def on_error() -> None:
            ends.append(None)
            has_failed.set()

        reporter = Reporter(on_event, on_error=on_error)
        pump = asyncio.ensure_future(reporter.pump())
        a_short_run(reporter)
        await asyncio.wait_for(has_failed.wait(), 10)
        a_short_run(reporter)
        await reporter.flush()
        await asyncio.wait_for(pump, 10)
        yield reporter.error

    assert list(iterate(run())) == [FAILURE]
    assert events == OF_A_SHORT_RUN[:1]
    assert ends == [None]


def test_a_caller_that_leaves_the_loop_does_not_stop_the_end_of_the_run() -> None:
    events, has_ended = list[BatchEvent](), list[bool]()

    async def run() -> AsyncGenerator[None, None]:
        reporter = Reporter(events.append)
        try:
            yield
        finally:
            reporter.found(1)
            async with asyncio.timeout(10):
                await reporter.flush()
            has_ended.append(reporter.error is None)

    results = iterate(run())
    next(results)
    results.close()
    assert has_ended == [True]
    assert events == []
