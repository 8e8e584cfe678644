"""The example `examples/batch_bucket.py`, run as on the command line, with a bucket of nanio."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from wire.pictures import png

from imgwire_async.emulator import Emulator

from .s3_server import KEY, SECRET, options_of

EXAMPLE = Path(__file__).parents[2] / "examples" / "batch_bucket.py"


@pytest.fixture
def bucket(nanio: str, tmp_path: Path) -> str:
    """A bucket with three pictures and a text, as a URL."""
    import s3fs

    files = s3fs.S3FileSystem(**options_of(nanio), use_listings_cache=False)
    name = tmp_path.name.replace("_", "-").lower()
    files.call_s3("create_bucket", Bucket=name)
    content = {f"photos/{number}.png": png(number + 1) for number in range(3)}
    for key, data in [*content.items(), ("photos/notes.txt", b"no picture")]:
        files.call_s3("put_object", Bucket=name, Key=key, Body=data)
    return f"s3://{name}/photos"


def run(emulator: Emulator, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {
        "IMGWIRE_API_KEY": emulator.api_key,
        "IMGWIRE_API_BASE_URL": emulator.base_url,
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET,
    }
    return subprocess.run(
        [sys.executable, EXAMPLE, *arguments],
        capture_output=True,
        text=True,
        timeout=50,
        env=os.environ | settings,
        cwd=folder,
        check=False,
    )


def test_the_example_of_a_bucket_uploads_each_picture_once(
    emulator: Emulator, nanio: str, bucket: str, tmp_path: Path
) -> None:
    arguments = [bucket, "--endpoint", nanio, "--region", "us-east-1", "--include", "*.png"]
    first, second = run(emulator, tmp_path, *arguments), run(emulator, tmp_path, *arguments)
    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert len(emulator.images) == 3
    with (tmp_path / "bucket.csv").open(encoding="utf-8", newline="") as table:
        rows = {row["key"]: row["image_id"] for row in csv.DictReader(table)}
    assert rows.keys() == {"0.png", "1.png", "2.png"}
    assert {*rows.values()} == {*emulator.images}


def test_the_example_prints_failures_and_a_missing_bucket_without_a_traceback(
    emulator: Emulator, nanio: str, bucket: str, tmp_path: Path
) -> None:
    process = run(emulator, tmp_path, bucket, "--endpoint", nanio)
    assert process.returncode == 3, process.stderr
    assert "notes.txt: this is plain text" in process.stderr
    process = run(emulator, tmp_path, "s3://no-such-bucket", "--endpoint", nanio, "--journal", "other")
    assert process.returncode == 1
    assert "no-such-bucket" in process.stderr
    assert "Traceback" not in process.stderr
