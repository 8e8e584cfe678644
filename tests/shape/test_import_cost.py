"""`import imgwire_async` is nearly free, and nobody pays for HTTP before the first call."""

from __future__ import annotations

import json
import os
import subprocess
import sys

HEAVY = {"aiohttp", "anyio", "asyncio", "attr", "attrs", "cattrs", "orjson", "ssl", "typing", "yarl"}


def loaded_by(code: str) -> set[str]:
    """The top-level modules that `code` loads in a fresh interpreter, beyond what a bare one has."""
    script = f"import json, sys\nbare = set(sys.modules)\n{code}\nprint(json.dumps(sorted(set(sys.modules) - bare)))"
    plain = {name: text for name, text in os.environ.items() if not name.startswith("COVERAGE_")}
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True, env=plain
    )
    return set(json.loads(answer.stdout))


def test_importing_the_package_loads_none_of_its_dependencies() -> None:
    assert not HEAVY & loaded_by("import imgwire_async")


def test_importing_the_package_loads_no_module_of_its_own() -> None:
    assert {name for name in loaded_by("import imgwire_async") if name.startswith("imgwire_async.")} == set()


def test_naming_the_client_class_loads_what_its_signature_needs() -> None:
    loaded = loaded_by("from imgwire_async import AsyncImgwireClient")
    assert not {"aiohttp", "anyio", "asyncio", "cattrs", "logging", "pickle", "ssl", "urllib.parse"} & loaded


def test_making_a_client_does_not_load_what_only_calls_need() -> None:
    code = "import imgwire_async\nimgwire_async.AsyncImgwireClient('sk_test').images"
    assert not {"aiohttp", "cattrs", "yarl"} & loaded_by(code)


def test_importing_the_emulator_loads_nothing_of_the_client() -> None:
    ours = {name for name in loaded_by("import imgwire_async.emulator") if name.startswith("imgwire_async.")}
    assert {name.split(".")[1] for name in ours} == {"emulator"}


def test_to_end_where_nothing_is_under_way_loads_no_backend() -> None:
    code = "import asyncio\nfrom imgwire_async import cancellation\nasyncio.run(cancellation.wait_all([]))"
    assert "anyio._backends._asyncio" not in loaded_by(code)
