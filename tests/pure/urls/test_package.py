"""Tests of the names that `imgwire_async.urls` exports, and of its imports."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imgwire_async import urls


def test_the_exported_names_are_exactly_those_of_all() -> None:
    exported = [name for names in urls._NAMES_BY_MODULE.values() for name in names]
    assert sorted(exported) == sorted(urls.__all__)
    for module, names in urls._NAMES_BY_MODULE.items():
        for name in names:
            value = getattr(urls, name)
            assert getattr(value, "__module__", f"imgwire_async.urls.{module}") in {
                f"imgwire_async.urls.{module}",
                # `Breakpoint` is defined there and exported by `responsive`.
                "imgwire_async.urls.layout",
                "typing",
            }
    with pytest.raises(AttributeError, match="no attribute 'widht'"):
        _ = urls.widht


def test_building_a_url_imports_no_slow_module() -> None:
    script = (
        "import sys; before = set(sys.modules); from imgwire_async.urls import build_url; build_url('https://h/a', width=5, crop='1:2', on_invalid='omit');"
        "print(*sorted({'aiohttp', 'anyio', 'asyncio', 'cattrs', 'yarl', 'difflib', 'decimal', 'uuid', 'html', 'logging',"
        "'imgwire_async.urls.values', 'imgwire_async.urls.types', 'imgwire_async.urls.responsive'} & (set(sys.modules) - before)))"
    )
    process = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert process.stdout.strip() == ""
