"""Packages for thumbnails work with the Django storage, and never delete an original."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from imgwire_async.emulator import Emulator

from .serving import settings

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SITE = Path(__file__).with_name("thumbnail_site.py")
PACKAGES = ["easy_thumbnails", "sorl.thumbnail", "imagekit", "versatileimagefield"]


@pytest.fixture(scope="module")
def emulator() -> Iterator[Emulator]:
    with Emulator() as emulator:
        yield emulator


@pytest.fixture
def run(emulator: Emulator, tmp_path: Path, package: str) -> Any:
    for module in ("django", "PIL", package.partition(".")[0]):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"needs {module}: install the dependency group `slow` and the extra `emulator`")
    if package == "versatileimagefield":
        try:
            # The import fails without the C library, which pip does not install.
            import magic  # noqa: F401  # see above
        except ImportError as error:
            pytest.skip(f"versatileimagefield needs libmagic of the system: {error}")

    def site(storage: str) -> dict[str, Any]:
        emulator.reset()
        finished = subprocess.run(
            [sys.executable, str(SITE), package, str(tmp_path), storage],
            env=settings(emulator),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert finished.returncode == 0, finished.stderr
        # The emulator rejected no request as invalid.
        assert {request.status for request in emulator.requests} <= {200, 404}
        report: dict[str, Any] = json.loads(finished.stdout)
        return report

    return site


@pytest.mark.parametrize("storage", ["disk", "default"])
@pytest.mark.parametrize("package", PACKAGES)
def test_originals_survive_the_deletion_of_their_thumbnails(run: Any, storage: str) -> None:
    report = run(storage)
    assert report["survivors"] == [True, True]
    assert report["opened"] == [64, 48]
    assert report["original"] not in {report["thumbnail"], report["again"]}
    # Deleting one original deletes this one only.
    assert (report["deleted"], report["exists"]) == (None, [False, True])


@pytest.mark.parametrize("package", ["easy_thumbnails", "sorl.thumbnail", "imagekit"])
def test_thumbnails_on_disk_are_made_once_and_cleaned_up(run: Any, package: str) -> None:
    report = run("disk")
    (made,) = report["on_disk"]
    assert report["sizes"] == [[32, 24]]
    assert report["thumbnail"] == report["again"] == f"/media/{made}"
    # No thumbnail was uploaded to Imgwire.
    assert report["images"] == 2
    assert report["forgot"] is None
    if package == "easy_thumbnails":
        # The package's clean-up finds the originals, and so keeps the thumbnails.
        assert report["kept"] == report["on_disk"]
    if package == "sorl.thumbnail":
        assert report["left_on_disk"] == []
