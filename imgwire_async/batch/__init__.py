"""Batch runs: uploads of many files that survive interruptions, with a journal of what became of each file.

```python
from imgwire_async import AsyncImgwireClient
from imgwire_async.batch import AsyncBatch

async with AsyncImgwireClient() as client, AsyncBatch(client, "photos.journal") as batch:
    async for result in batch.upload("photos"):
        print(result.key, result.status)
```

Every public name is imported on first use.
"""

from __future__ import annotations

# Type checkers treat a variable of this name as true, as in the package itself.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from imgwire_async.batch.batch import AsyncBatch
    from imgwire_async.batch.items import BatchItem, BatchSource, RemoteFile, Skip
    from imgwire_async.batch.merge import merge_journals
    from imgwire_async.batch.records import BatchRecord
    from imgwire_async.batch.reporter import BatchEvent
    from imgwire_async.batch.results import BatchResult, PlannedFile
    from imgwire_async.batch.sources.archive import archive
    from imgwire_async.batch.sources.cloud import cloud
    from imgwire_async.batch.sources.folder import folder
    from imgwire_async.batch.sources.manifest import manifest
    from imgwire_async.batch.sources.urls import urls
    from imgwire_async.batch_errors import BatchError, BatchStoppedError, JournalError, JournalLockedError
    from imgwire_async.blocking_batch import Batch
    from imgwire_async.results import BatchSummary

# `Batch` belongs to a higher layer. No module of this package imports it; only its users do, by this name.
_MODULE_BY_NAME = {
    "AsyncBatch": "imgwire_async.batch.batch",
    "Batch": "imgwire_async.blocking_batch",
    "BatchError": "imgwire_async.batch_errors",
    "BatchEvent": "imgwire_async.batch.reporter",
    "BatchItem": "imgwire_async.batch.items",
    "BatchRecord": "imgwire_async.batch.records",
    "BatchResult": "imgwire_async.batch.results",
    "BatchSource": "imgwire_async.batch.items",
    "BatchStoppedError": "imgwire_async.batch_errors",
    "BatchSummary": "imgwire_async.results",
    "JournalError": "imgwire_async.batch_errors",
    "JournalLockedError": "imgwire_async.batch_errors",
    "PlannedFile": "imgwire_async.batch.results",
    "RemoteFile": "imgwire_async.batch.items",
    "Skip": "imgwire_async.batch.items",
    "archive": "imgwire_async.batch.sources.archive",
    "cloud": "imgwire_async.batch.sources.cloud",
    "folder": "imgwire_async.batch.sources.folder",
    "manifest": "imgwire_async.batch.sources.manifest",
    "merge_journals": "imgwire_async.batch.merge",
    "urls": "imgwire_async.batch.sources.urls",
}

__all__ = [
    "AsyncBatch",
    "Batch",
    "BatchError",
    "BatchEvent",
    "BatchItem",
    "BatchRecord",
    "BatchResult",
    "BatchSource",
    "BatchStoppedError",
    "BatchSummary",
    "JournalError",
    "JournalLockedError",
    "PlannedFile",
    "RemoteFile",
    "Skip",
    "archive",
    "cloud",
    "folder",
    "manifest",
    "merge_journals",
    "urls",
]


# Type checkers do not see this function, so that they reject names which the package does not have.
if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        module = _MODULE_BY_NAME.get(name)
        if module is None:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        value = getattr(import_module(module), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
