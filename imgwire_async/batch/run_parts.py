"""The parts of a run, connected with each other."""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import cast

import attrs

from imgwire_async.batch.items import Source
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.list_search import ListSearch
from imgwire_async.batch.options import RunOptions
from imgwire_async.batch.pacing import Pacer
from imgwire_async.batch.records import JournalRow, RowOwner
from imgwire_async.batch.reporter import Reporter
from imgwire_async.batch.row_writer import RowWriter
from imgwire_async.batch.run_collect import Collector
from imgwire_async.batch.run_feed import Feed
from imgwire_async.batch.run_fill import Filler
from imgwire_async.batch.run_gate import Gate
from imgwire_async.batch.run_limit import Meter, limit_range
from imgwire_async.batch.run_results import Note, Results
from imgwire_async.batch.run_rows import KeySource
from imgwire_async.batch.run_waits import Waits
from imgwire_async.batch.run_work import Throughput, Uploads, Work
from imgwire_async.batch.service import Service
from imgwire_async.batch.settle import Settled
from imgwire_async.batch.walk import Walk
from imgwire_async.models import Image
from imgwire_async.resources.uploading import head_bytes_of
from imgwire_async.uploads.source import File
from imgwire_async.uploads.upload_run import UploadRun


@attrs.frozen(kw_only=True)
class RunInputs:
    """What a run works with, known once the rows in doubt are settled.

    Args:
        service: The client.
        journal: The open journal.
        source: The files.
        options: The options of the run.
        reporter: Receives counts and events.
        results: Takes the results.
        owner: The run in the journal.
        settled: The records of interrupted runs.
        is_gone: Returns whether the image of a row no longer exists, None if that was not checked.
        check_record: Called with each record of the service.
        on_fatal: Called with an error that ends the run at once.
        on_fatal_wait: Called with an error of a wait that ends the run after the files in flight.
    """

    service: Service
    journal: Journal
    source: Source
    options: RunOptions
    reporter: Reporter
    results: Results
    owner: RowOwner
    settled: Settled
    is_gone: Callable[[JournalRow], bool] | None
    check_record: Callable[[Image], Awaitable[None]]
    on_fatal: Callable[[Exception], None]
    on_fatal_wait: Callable[[Exception], None]


@attrs.frozen(kw_only=True)
class RunParts:
    """The parts of a run. The modules of their classes describe them."""

    walk: Walk
    rows: RowWriter[Note]
    feed: Feed
    filler: Filler
    uploads: UploadRun
    collector: Collector
    waits: Waits
    meter: Meter


# long: one statement per part
def make_parts(inputs: RunInputs) -> RunParts:
    """Create the parts of a run. Nothing is started."""
    service, options, reporter = inputs.service, inputs.options, inputs.reporter
    transport, rate_gate = service.transport, service.shared.rate_gate
    max_connections = service.shared.config.max_connections
    limits, adaptive = limit_range(max_connections, options.concurrency)
    waits = Waits(service.images.retrieve, timeout=options.wait, max_checks=max_connections)

    def is_full() -> bool:
        return inputs.results.is_full or reporter.is_full or waits.is_full

    gate = Gate(
        None if options.rate is None else Pacer(options.rate), is_full, reporter.held, reporter.resumed
    )
    feed = Feed(gate)
    rows: RowWriter[Note] = RowWriter(inputs.journal, inputs.results.on_written, inputs.on_fatal)
    keys = KeySource(prefix=inputs.source.prefix)
    throughput = Throughput()
    filler = Filler(
        inputs.journal,
        inputs.owner,
        options,
        reporter,
        rows,
        gate,
        feed,
        inputs.results,
        keys,
        inputs.settled,
        inputs.is_gone,
        waits,
    )
    creator = Uploads(
        transport=transport,
        keys=keys,
        reporter=reporter,
        throughput=throughput,
        head_bytes=head_bytes_of(limits.maximum),
        write=rows.write,
        write_now=lambda row: rows.write_all([row]),
        check_record=inputs.check_record,
        search=ListSearch(service.images, reporter.unsure),
    )
    uploads = UploadRun(
        transport,
        # The workers pass each `Work` from the feed to `start`, whose results contain it.
        cast("AsyncIterable[File]", feed),
        lambda work, _created, _progress: creator.start(cast("Work", work)),
        limit=limits.first,
    )
    collector = Collector(
        transport,
        rows,
        feed,
        gate,
        filler,
        inputs.results,
        throughput,
        waits,
        rate_gate.seconds_until_open,
        inputs.on_fatal_wait,
    )

    def set_limit(limit: int) -> None:
        uploads.limit = limit

    def on_window() -> None:
        # The caller may have taken events meanwhile.
        feed.wake()

    meter = Meter(
        throughput,
        reporter,
        lambda: rate_gate.rejections,
        adaptive,
        None if limits.is_fixed else set_limit,
        on_window,
    )
    reporter.concurrency(limits.first)
    walk = Walk(
        inputs.source,
        inputs.journal,
        inputs.owner,
        shard=options.shard,
        checksum=options.checksum,
        retry_failed=options.retry_failed,
        include_done=options.include_done,
        is_gone=inputs.is_gone,
        listener=reporter,
    )
    return RunParts(
        walk=walk,
        rows=rows,
        feed=feed,
        filler=filler,
        uploads=uploads,
        collector=collector,
        waits=waits,
        meter=meter,
    )
