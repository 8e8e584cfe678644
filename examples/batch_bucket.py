"""Upload the pictures of a bucket: `IMGWIRE_API_KEY=... python batch_bucket.py s3://bucket/folder`.

The bytes go from the bucket to the service, and never to the disk. The keys of the bucket are in the
environment variables `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY`, or in `~/.aws`. Other storages need the
address of their server, and some a region:

    python batch_bucket.py s3://bucket --endpoint http://127.0.0.1:9000 --region us-east-1

Run the program again until all pictures are done. It continues where the last run stopped. The exit code is 0
if all pictures are done, 3 if some failed, and 1 if the run ended early.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from pathlib import Path
from typing import Any

from imgwire_async import AsyncImgwireClient, ImgwireError
from imgwire_async.batch import AsyncBatch, cloud


def main() -> int:
    arguments = argparse.ArgumentParser(description="Upload the pictures of a bucket.")
    arguments.add_argument("url", help="such as s3://bucket/folder")
    arguments.add_argument("--endpoint", help="address of a server that is not Amazon's")
    arguments.add_argument("--region", help="region of the bucket")
    arguments.add_argument("--include", action="append", default=[], help='a pattern such as "*.jpg"')
    arguments.add_argument("--journal", type=Path, default=Path("bucket.journal"))
    options = arguments.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        return asyncio.run(upload(options))
    # OSError: the bucket cannot be read. ValueError: the URL is wrong. ImportError: a package is missing.
    except (ImgwireError, OSError, ValueError, ImportError) as error:
        print(error, file=sys.stderr)
    except KeyboardInterrupt:
        print("Interrupted. Run the program again to continue.", file=sys.stderr)
    return 1


def storage_options(endpoint: str | None, region: str | None) -> dict[str, Any]:
    """Return the options of s3fs. Without an endpoint and a region, it needs none."""
    settings: dict[str, Any] = {}
    if endpoint is not None:
        settings["endpoint_url"] = endpoint
        # Servers without a domain have the bucket in the path of the URL.
        settings["config_kwargs"] = {"s3": {"addressing_style": "path"}}
    if region is not None:
        settings["client_kwargs"] = {"region_name": region}
    return settings


async def upload(options: argparse.Namespace) -> int:
    pictures = cloud(
        options.url,
        include=options.include,
        storage_options=storage_options(options.endpoint, options.region),
    )
    async with AsyncImgwireClient() as client, AsyncBatch(client, options.journal) as batch:
        try:
            async for result in batch.upload(pictures, progress=True):
                if result.error is not None:
                    print(result.error, file=sys.stderr)
        finally:
            print(batch.summary())
            batch.export(options.journal.with_suffix(".csv"))
        failed = sum(1 for _ in batch.records(status="failed"))
    return 3 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
