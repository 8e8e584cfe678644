"""The text that shows the progress of a batch run. Pure: the state and the time are arguments."""

from __future__ import annotations

import math

import attrs

from imgwire_async.batch.reporter import RunStatus
from imgwire_async.results import BatchSummary

# The rate is a mean of the last seconds, in which older seconds count less.
_MEMORY = 20.0
# A rate is known only after so many seconds of measurement, and the remaining time later.
_FIRST_RATE = 0.1
_FIRST_ESTIMATE = 2.0
_LONGEST_ESTIMATE = 99 * 86400.0
_BAR_WIDTH = 24


@attrs.frozen
class Rate:
    """A smoothed rate of files and bytes.

    Args:
        files: The number of finished files, in which older ones count less.
        sent: The number of bytes sent, in which older ones count less.
        seconds: The seconds of measurement, in which older ones count less.
        total_files: The number of files that the last measurement found.
        total_sent: The number of bytes that the last measurement found.
        measured_at: The seconds since the beginning of the run at the last measurement.
    """

    files: float = 0.0
    sent: float = 0.0
    seconds: float = 0.0
    total_files: int = 0
    total_sent: int = 0
    measured_at: float = 0.0

    def after(self, summary: BatchSummary) -> Rate:
        """Return the rate after one more measurement."""
        seconds = max(0.0, summary.elapsed - self.measured_at)
        weight = math.exp(-seconds / _MEMORY)
        files = summary.uploaded + summary.failed
        return Rate(
            weight * self.files + max(0, files - self.total_files),
            weight * self.sent + max(0, summary.bytes_sent - self.total_sent),
            weight * self.seconds + seconds,
            files,
            summary.bytes_sent,
            summary.elapsed,
        )

    @property
    def files_per_second(self) -> float:
        """The number of files that are finished per second."""
        return self.files / self.seconds if self.seconds >= _FIRST_RATE else 0.0

    @property
    def bytes_per_second(self) -> float:
        """The number of bytes that are sent per second."""
        return self.sent / self.seconds if self.seconds >= _FIRST_RATE else 0.0

    def seconds_left(self, left: int) -> float | None:
        """Return how long `left` files take, or None if that is not known."""
        if self.seconds < _FIRST_ESTIMATE or self.files_per_second <= 0:
            return None
        return left / self.files_per_second


def finished(status: RunStatus) -> int:
    """Return how many of the files that were found are finished, with or without success."""
    return max(0, status.summary.found - status.summary.left - status.waiting)


def percentage(status: RunStatus) -> int:
    """Return the share of finished files in percent. It is 100 only if all files are finished."""
    found, count = status.summary.found, finished(status)
    return 100 if count >= found else min(99, 100 * count // found)


def size_text(size: float) -> str:
    """Return a number of bytes with its unit."""
    if size < 1000:
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        # 999.95 would be rounded to 1000.0.
        if size < 999.95:
            return f"{size:.1f} {unit}"
    return f"{size / 1000:.1f} PB"


def duration_text(seconds: float) -> str:
    """Return a duration as hours, minutes and seconds, or as days and hours."""
    whole = max(0, round(seconds))
    if whole >= 2 * 86400:
        return f"{whole // 86400} days {whole % 86400 // 3600} h"
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def bar(percent: int, *, width: int = _BAR_WIDTH, ascii_only: bool = False) -> str:
    """Return a bar that shows a percentage."""
    full = width * min(100, max(0, percent)) // 100
    done, left = ("#", "-") if ascii_only else ("█", "░")
    return done * full + left * (width - full)


def progress_lines(status: RunStatus, rate: Rate, *, ascii_only: bool = False) -> list[str]:
    """Return the lines of the display of a running or ended run."""
    if status.has_ended:
        return [end_text(status.summary)]
    summary = status.summary
    files = _files_text(status)
    if summary.counted:
        percent = percentage(status)
        files = f"{bar(percent, ascii_only=ascii_only)} {percent:3} %  {files}"
    lines = [files, ", ".join(_speed_texts(status, rate))]
    if counts := _count_texts(status):
        lines.append(", ".join(counts))
    return lines + _notes(status)


def progress_line(status: RunStatus, rate: Rate) -> str:
    """Return the progress as one line of the log."""
    summary = status.summary
    if status.has_ended:
        return end_text(summary)
    files = _files_text(status)
    if summary.counted:
        files = f"{percentage(status)} %, {files}"
    return "; ".join(
        [*_notes(status), ", ".join([files, *_speed_texts(status, rate), *_count_texts(status)])]
    )


def end_text(summary: BatchSummary) -> str:
    """Return the line that stays after the end of a run."""
    counts = [f"{summary.uploaded:,} uploaded", *_summary_texts(summary)]
    if summary.left:
        counts.append(f"{summary.left:,} not finished")
    speed = f"{size_text(summary.bytes_sent)} in {duration_text(summary.elapsed)}"
    found = _number(summary.found, "file")
    if not summary.counted:
        found = f"{found} found so far"
    return f"{found}: {', '.join(counts)}; {speed}"


def _files_text(status: RunStatus) -> str:
    summary = status.summary
    files = f"{finished(status):,} of {_number(summary.found, 'file')}"
    return files if summary.counted else f"{files}, still counting"


def _speed_texts(status: RunStatus, rate: Rate) -> list[str]:
    summary = status.summary
    texts = [
        f"{size_text(summary.bytes_sent)} sent",
        f"{rate.files_per_second:.1f} files/s",
        f"{size_text(rate.bytes_per_second)}/s",
    ]
    if summary.concurrency:
        texts.append(f"{_number(summary.concurrency, 'upload')} at once")
    # Before the walk is over, and while nothing is uploaded, any time would be wrong.
    seconds = rate.seconds_left(summary.left) if summary.counted and status.held is None else None
    if seconds is not None and summary.left:
        days = seconds > _LONGEST_ESTIMATE
        texts.append("more than 99 days left" if days else f"about {duration_text(seconds)} left")
    return texts


def _count_texts(status: RunStatus) -> list[str]:
    texts = _summary_texts(status.summary)
    if status.waiting:
        texts.append(f"{status.waiting:,} stored and not ready yet")
    return texts


def _summary_texts(summary: BatchSummary) -> list[str]:
    counts = {
        "done before": summary.done_before,
        "skipped": summary.skipped,
        "failed": summary.failed,
        "unsure": summary.unsure,
    }
    return [f"{count:,} {name}" for name, count in counts.items() if count]


def _notes(status: RunStatus) -> list[str]:
    notes = list[str]()
    if status.doubts_left:
        settled = max(0, status.doubts - status.doubts_left)
        notes.append(
            f"finding out what became of {_number(status.doubts, 'file')} of an interrupted run: {settled:,} settled"
        )
        notes.append("bytes that it sent may still arrive, for up to a minute")
    if status.held is not None:
        notes.append(f"held because of {status.held}: one upload at a time is tried until one succeeds")
    return notes


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
