"""The display shows what a run does: never more than 100 %, and no remaining time that nothing supports."""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imgwire_async.batch.progress_text import (
    Rate,
    bar,
    duration_text,
    end_text,
    percentage,
    progress_line,
    progress_lines,
    size_text,
)
from imgwire_async.batch.reporter import RunStatus
from imgwire_async.results import BatchSummary

# 40 files and 4 MB a second, known well.
STEADY = Rate(files=800.0, sent=80e6, seconds=20.0)
HELD = "held because of server error: one upload at a time is tried until one succeeds"


def summary(**counts: Any) -> BatchSummary:
    return attrs.evolve(BatchSummary(found=300_000, elapsed=100.0, concurrency=24), **counts)


def status(held: str | None = None, waiting: int = 0, **counts: Any) -> RunStatus:
    return RunStatus(summary(**counts), held=held, waiting=waiting)


# --- numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_999, "1.0 MB"),
        (12_600_000_000, "12.6 GB"),
        (3.2e15, "3.2 PB"),
    ],
)
def test_a_size_has_its_unit(size: float, text: str) -> None:
    assert size_text(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0:00"),
        (0.6, "0:01"),
        (59.7, "1:00"),
        (3599.9, "1:00:00"),
        (4580, "1:16:20"),
        (100_000, "27:46:40"),
        (200_000, "2 days 7 h"),
    ],
)
def test_a_duration_is_readable(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("percent", "text"), [(0, "░░░░"), (49, "█░░░"), (99, "███░"), (100, "████"), (250, "████"), (-5, "░░░░")]
)
def test_the_bar_is_full_only_at_the_end(percent: int, text: str) -> None:
    assert bar(percent, width=4) == text
    assert bar(percent, width=4, ascii_only=True) == text.replace("█", "#").replace("░", "-")


@pytest.mark.parametrize(
    ("counts", "percent"),
    [
        ({"found": 0}, 100),
        ({"found": 10, "left": 10}, 0),
        ({"found": 3, "left": 1}, 66),
        ({"found": 1_000_000, "left": 1}, 99),
        ({"found": 10, "left": 0}, 100),
        ({"found": 10, "left": 0, "waiting": 1}, 90),
        ({"found": 10, "left": 20}, 0),
    ],
)
def test_the_percentage_is_100_only_if_all_files_are_finished(counts: dict[str, Any], percent: int) -> None:
    assert percentage(status(**counts)) == percent


@given(st.integers(0, 10**7), st.integers(0, 10**7), st.integers(0, 10**4))
def test_the_percentage_is_never_over_100(found: int, left: int, waiting: int) -> None:
    assert 0 <= percentage(status(found=found, left=left, waiting=waiting)) <= 100


# --- the rate -----------------------------------------------------------------------------------------------


def measured(rate: Rate, seconds: float, files: float, *, interval: float = 0.25, since: float = 0.0) -> Rate:
    """Return the rate after `seconds` with `files` files per second of 1 kB."""
    for number in range(1, round(seconds / interval) + 1):
        done = rate.total_files if since else 0
        count = round(number * interval * files) + (done if number == 1 else 0)
        rate = rate.after(summary(uploaded=count, bytes_sent=1000 * count, elapsed=since + number * interval))
    return rate


@pytest.mark.parametrize("interval", [0.25, 1.0, 10.0])
def test_a_steady_rate_is_found_with_any_interval(interval: float) -> None:
    rate = measured(Rate(), 60, 40, interval=interval)
    assert rate.files_per_second == pytest.approx(40, rel=0.02)
    assert rate.bytes_per_second == pytest.approx(40_000, rel=0.02)


def test_the_first_seconds_are_not_pulled_towards_zero() -> None:
    assert measured(Rate(), 2, 40).files_per_second == pytest.approx(40, rel=0.02)


def test_one_pause_changes_the_rate_only_a_little() -> None:
    rate = measured(Rate(), 120, 40)
    paused = rate.after(summary(uploaded=4800, bytes_sent=4_800_000, elapsed=121.0))
    assert 36 < paused.files_per_second < 40


def test_after_a_minute_without_progress_the_rate_is_low() -> None:
    rate = measured(Rate(), 120, 40)
    paused = rate.after(summary(uploaded=4800, bytes_sent=4_800_000, elapsed=180.0))
    assert paused.files_per_second < 4


def test_bytes_that_a_failed_attempt_takes_back_make_no_negative_rate() -> None:
    rate = Rate().after(summary(bytes_sent=5000, elapsed=1.0)).after(summary(bytes_sent=0, elapsed=2.0))
    assert rate.bytes_per_second >= 0


def test_files_that_were_done_before_do_not_count_as_fast() -> None:
    rate = Rate().after(summary(done_before=200_000, skipped=500, uploaded=10, elapsed=1.0))
    assert rate.files_per_second == pytest.approx(10)


@pytest.mark.parametrize(
    ("rate", "seconds"),
    [
        (STEADY, 250.0),
        (Rate(files=40.0, seconds=1.0), None),
        (Rate(seconds=20.0), None),
        (Rate(), None),
    ],
    ids=["steady", "just begun", "nothing finished", "nothing measured"],
)
def test_the_remaining_time_is_known_only_after_a_measurement(rate: Rate, seconds: float | None) -> None:
    assert rate.seconds_left(10_000) == seconds


# --- the lines ----------------------------------------------------------------------------------------------


def test_a_run_in_the_middle() -> None:
    assert progress_lines(
        status(
            found=300_000,
            left=174_000,
            uploaded=124_785,
            done_before=1200,
            skipped=12,
            failed=3,
            bytes_sent=12_600_000_000,
            counted=True,
        ),
        STEADY,
    ) == [
        "██████████░░░░░░░░░░░░░░  42 %  126,000 of 300,000 files",
        "12.6 GB sent, 40.0 files/s, 4.0 MB/s, 24 uploads at once, about 1:12:30 left",
        "1,200 done before, 12 skipped, 3 failed",
    ]


def test_before_the_walk_is_over_there_is_no_percentage_and_no_remaining_time() -> None:
    assert progress_lines(status(found=5000, left=4000, uploaded=1000, bytes_sent=10**8), STEADY) == [
        "1,000 of 5,000 files, still counting",
        "100.0 MB sent, 40.0 files/s, 4.0 MB/s, 24 uploads at once",
    ]


def test_a_held_run_says_why_and_shows_no_remaining_time() -> None:
    lines = progress_lines(status(left=1000, counted=True, held="no connection"), STEADY)
    assert lines[-1] == ("held because of no connection: one upload at a time is tried until one succeeds")
    assert not any(" left" in line for line in lines)


def test_doubts_that_are_being_settled_are_shown() -> None:
    doubts = RunStatus(BatchSummary(elapsed=1.0), doubts_left=3, doubts=8)
    assert progress_lines(doubts, Rate()) == [
        "0 of 0 files, still counting",
        "0 B sent, 0.0 files/s, 0 B/s",
        "finding out what became of 8 files of an interrupted run: 5 settled",
        "bytes that it sent may still arrive, for up to a minute",
    ]


def test_images_that_are_not_ready_are_shown_and_keep_the_bar_below_the_end() -> None:
    lines = progress_lines(
        status(found=10, left=0, uploaded=10, counted=True, waiting=2), STEADY, ascii_only=True
    )
    assert lines[0] == "###################-----  80 %  8 of 10 files"
    assert lines[-1] == "2 stored and not ready yet"


def test_a_time_of_years_is_not_shown_to_the_second() -> None:
    slow = Rate(files=0.001, seconds=20.0)
    assert "more than 99 days left" in progress_lines(status(left=299_999, counted=True), slow)[1]


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (
            status(found=200, left=100, uploaded=98, failed=2, counted=True),
            "50 %, 100 of 200 files, 0 B sent, 40.0 files/s, 4.0 MB/s, 24 uploads at once, about 0:02 left, 2 failed",
        ),
        (
            status(found=1, left=1, concurrency=1, held="server error"),
            f"{HELD}; 0 of 1 file, still counting, 0 B sent, 40.0 files/s, 4.0 MB/s, 1 upload at once",
        ),
    ],
    ids=["running", "held"],
)
def test_a_line_of_the_log_has_everything(state: RunStatus, line: str) -> None:
    assert progress_line(state, STEADY) == line


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        (
            {"found": 1500, "uploaded": 1300, "done_before": 190, "skipped": 7, "failed": 3, "counted": True},
            "1,500 files: 1,300 uploaded, 190 done before, 7 skipped, 3 failed; 5.0 MB in 1:40",
        ),
        (
            {"found": 1, "uploaded": 0, "left": 1, "unsure": 1},
            "1 file found so far: 0 uploaded, 1 unsure, 1 not finished; 5.0 MB in 1:40",
        ),
    ],
    ids=["complete", "stopped"],
)
def test_the_last_line_counts_all_files(counts: dict[str, int], text: str) -> None:
    ended = summary(bytes_sent=5_000_000, **counts)
    assert end_text(ended) == text
    assert progress_line(RunStatus(ended, has_ended=True), STEADY) == text
    assert progress_lines(RunStatus(ended, has_ended=True), STEADY) == [text]


COUNTS = st.integers(0, 10**9)


@given(
    st.builds(
        RunStatus,
        st.builds(
            BatchSummary,
            found=COUNTS,
            skipped=COUNTS,
            uploaded=COUNTS,
            failed=COUNTS,
            left=COUNTS,
            bytes_sent=COUNTS,
            elapsed=st.floats(0, 1e8),
            counted=st.booleans(),
        ),
        doubts_left=COUNTS,
        doubts=COUNTS,
        held=st.sampled_from([None, "stalled"]),
        waiting=COUNTS,
        has_ended=st.booleans(),
    ),
    st.builds(Rate, st.floats(0, 1e6), st.floats(0, 1e12), st.floats(0, 20)),
)
def test_any_state_has_few_lines_of_limited_length(state: RunStatus, rate: Rate) -> None:
    lines = progress_lines(state, rate)
    assert 1 <= len(lines) <= 6
    assert all("\n" not in line and len(line) < 140 for line in lines)
    assert "\n" not in progress_line(state, rate)
