"""`import imgwire_async` loads almost nothing, and HTTP libraries are loaded with the first call."""

from __future__ import annotations

import json
import os
import subprocess
import sys

HEAVY = {"aiohttp", "anyio", "asyncio", "attr", "attrs", "cattrs", "orjson", "ssl", "typing", "yarl"}


def loaded_by(code: str) -> set[str]:
    """Return the modules that `code` loads in a new interpreter, without those that Python loads itself."""
    script = f"import json, sys\nbare = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - bare)))"
    plain = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, env=plain
    )
    return set(json.loads(process.stdout))


def test_importing_the_package_loads_none_of_its_dependencies() -> None:
    loaded = HEAVY & loaded_by("import imgwire_async")
    assert not loaded, f"import these on first use only: {loaded}"


def test_importing_the_package_loads_no_other_module_of_it() -> None:
    assert {name for name in loaded_by("import imgwire_async") if name.startswith("imgwire_async.")} == set()


def test_importing_the_client_class_loads_only_the_types_of_its_signature() -> None:
    loaded = loaded_by("from imgwire_async import AsyncImgwireClient")
    assert not {"aiohttp", "anyio", "asyncio", "cattrs", "logging", "pickle", "ssl", "urllib.parse"} & loaded


def test_creating_a_client_loads_no_http_library() -> None:
    code = "import imgwire_async\nimgwire_async.AsyncImgwireClient('sk_test').images"
    assert not {"aiohttp", "cattrs", "yarl"} & loaded_by(code)


def test_importing_the_package_of_batches_loads_no_other_module_of_it() -> None:
    loaded = loaded_by("import imgwire_async.batch")
    ours = {name for name in loaded if name.startswith("imgwire_async.")}
    assert (ours, HEAVY & loaded) == ({"imgwire_async.batch"}, set())


def test_a_batch_loads_no_http_library_before_its_first_request() -> None:
    code = "import imgwire_async, imgwire_async.batch\n"
    code += "imgwire_async.batch.AsyncBatch(imgwire_async.AsyncImgwireClient('sk_test'), 'journal')"
    assert not {"aiohttp", "pyarrow", "rich", "yarl"} & loaded_by(code)


def test_importing_the_emulator_loads_no_module_of_the_client() -> None:
    ours = {name for name in loaded_by("import imgwire_async.emulator") if name.startswith("imgwire_async.")}
    assert {name.split(".")[1] for name in ours} == {"emulator"}


def test_waiting_for_no_task_does_not_load_the_backend_of_anyio() -> None:
    code = "import asyncio\nfrom imgwire_async import cancellation\nasyncio.run(cancellation.wait_all([]))"
    assert "anyio._backends._asyncio" not in loaded_by(code)
