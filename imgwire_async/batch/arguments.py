"""Check the arguments of a batch and of its methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import attrs

from imgwire_async import checks
from imgwire_async.batch.keys import parse_shard
from imgwire_async.batch.options import Reconcile, RunOptions, failure_limit
from imgwire_async.batch.plan import RetryFailed
from imgwire_async.batch.records import STATUSES, RowStatus
from imgwire_async.client import AsyncImgwireClient
from imgwire_async.coercion import as_bool
from imgwire_async.errors import ConfigurationError
from imgwire_async.resources import arguments

# The largest number of files in work that an argument may ask for.
_MAX_CONCURRENCY = 10_000


def asynchronous_client(client: object) -> AsyncImgwireClient:
    """Return the client of an `AsyncBatch`. Raises `TypeError` for the blocking client, and names `Batch`."""
    if isinstance(client, AsyncImgwireClient):
        return client
    # The blocking client is of a higher layer, so its name decides.
    advice = "; use Batch with an ImgwireClient" if _is_named(client, "ImgwireClient") else ""
    raise checks.wrong_type("client", "an AsyncImgwireClient", client, advice)


def _is_named(value: object, name: str) -> bool:
    return any(base.__name__ == name for base in type(value).__mro__)


def journal_path(journal: object) -> str:
    """Return the path of a journal. Raises `TypeError` or `ValueError` for what cannot be a path."""
    path = checks.path("journal", journal)
    if not path:
        raise ValueError("journal must be the path of a file, not an empty text")
    return path


def batch_options(
    *,
    concurrency: object,
    rate: object,
    wait: object,
    checksum: object,
    verify: object,
    reconcile: object,
    max_failures: object,
    max_duration: object,
    purpose: object,
    custom_metadata: object,
) -> RunOptions:
    """Return the options of a batch. Raises `TypeError` or `ValueError` for a wrong argument."""
    metadata = arguments.metadata(custom_metadata)
    return RunOptions(
        concurrency=checks.optional_integer("concurrency", concurrency, minimum=1, maximum=_MAX_CONCURRENCY),
        rate=None if rate is None else float(checks.number("rate", rate, unit=" files per second")),
        wait=arguments.wait_timeout(wait),
        checksum=checks.flag("checksum", checksum),
        verify=checks.flag("verify", verify),
        reconcile=cast("Reconcile", _flag_or_all("reconcile", reconcile)),
        max_failures=failure_limit(max_failures),
        max_duration=None if max_duration is None else checks.positive_seconds("max_duration", max_duration),
        purpose=checks.optional_text("purpose", purpose),
        custom_metadata=cast("Mapping[str, str | int | float | bool] | None", metadata),
    )


def run_options(
    options: RunOptions, *, retry_failed: object, include_done: object, shard: object
) -> RunOptions:
    """Return the options of a batch with those of one run."""
    return attrs.evolve(
        options,
        retry_failed=cast("RetryFailed", _flag_or_all("retry_failed", retry_failed)),
        include_done=checks.flag("include_done", include_done),
        shard=None if shard is None else parse_shard(shard),
    )


def _flag_or_all(name: str, value: object) -> bool | str:
    """Return a bool, or the text "all"."""
    if isinstance(value, str):
        if value != "all":
            raise checks.wrong_text(name, 'True, False or "all"', value)
        return "all"
    found = as_bool(value)
    if found is None:
        raise checks.wrong_type(name, 'a bool or "all"', value)
    return found


def require_one_machine(scheduler: object, worker_client: object) -> None:
    """Raise `ConfigurationError` for the arguments of a run on several machines, which do not exist yet."""
    for name, value in (("scheduler", scheduler), ("worker_client", worker_client)):
        if value is not None:
            raise ConfigurationError(
                f"{name}= is reserved for runs on a cluster, which this version cannot do. Start a run with shard= on each "
                'machine, such as shard="1/4", each with a journal of its own, and call merge_journals() at the end.'
            )


def record_status(status: Any) -> RowStatus | None:
    """Return the argument `status` of `records`."""
    if status is None:
        return None
    text = checks.text("status", status)
    for known in STATUSES:
        if text == known:
            return known
    raise checks.wrong_text("status", f"one of {', '.join(STATUSES)}", text)
