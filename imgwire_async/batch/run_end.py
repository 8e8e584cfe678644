"""What a run says at its end: that it stopped at a limit, that records can be deleted, or may be twice."""

from __future__ import annotations

from imgwire_async import disk_work
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.options import RunOptions
from imgwire_async.batch_errors import BatchStoppedError
from imgwire_async.errors import PaymentRequiredError
from imgwire_async.logs import logger
from imgwire_async.results import BatchSummary

MAX_DURATION = "max_duration"
MAX_FAILURES = "max_failures"


def stopped_error(reason: str | None, options: RunOptions, summary: BatchSummary) -> BatchStoppedError | None:
    """Return the error of a run that stopped at a limit, None if it did not or if nothing is left."""
    if reason == MAX_FAILURES:
        limit = options.max_failures
        msg = (
            f"the run stopped: {summary.failed:,} files have failed, more than max_failures={limit} allows. "
        )
    elif reason == MAX_DURATION and (summary.left or not summary.counted):
        msg = f"the run stopped after max_duration={options.max_duration:g} seconds. "
    else:
        return None
    msg += "Run it again: it continues with the files that are left"
    return BatchStoppedError(msg, reason=reason, summary=summary)


async def complete_failure(
    error: BaseException | None, journal: Journal, destination: Destination | None
) -> None:
    """Say in the error of a plan that is used up which records can be deleted."""
    if not isinstance(error, PaymentRequiredError) or destination is None:
        return
    count = await disk_work.run(lambda: sum(1 for _ in journal.abandoned(destination.number)))
    if count:
        advice = (
            f" The journal knows {count:,} record(s) without bytes, or replaced by newer versions. To delete them, pass the "
            "ids that abandoned() of the batch returns to client.images.bulk_delete()."
        )
        error.args = (f"{error.args[0]}{advice}", *error.args[1:])


def warn_if_unsure(summary: BatchSummary) -> None:
    """Log a warning if files may have been uploaded twice."""
    if summary.unsure:
        logger.warning(
            "%d file(s) of interrupted runs may have been uploaded twice, because the images of these runs could not all be "
            "found. The image ids in the journal are those of the last upload",
            summary.unsure,
        )
