"""What `imgwire_async.urls` gives, and what loading it costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

from imgwire_async import urls


def test_every_listed_name_is_there_and_every_name_is_listed() -> None:
    homes = [name for names in urls._NAMES_BY_MODULE.values() for name in names]
    assert sorted(homes) == sorted(urls.__all__)
    for module, names in urls._NAMES_BY_MODULE.items():
        for name in names:
            found = getattr(urls, name)
            assert getattr(found, "__module__", f"imgwire_async.urls.{module}") in {
                f"imgwire_async.urls.{module}",
                "imgwire_async.urls.layout",  # Breakpoint is shown where it is used
                "typing",
            }
    with pytest.raises(AttributeError, match="no attribute 'widht'"):
        _ = urls.widht


def test_building_a_url_loads_nothing_heavy() -> None:
    script = (
        "import sys; bare = set(sys.modules); from imgwire_async.urls import build_url; build_url('https://h/a', width=5, crop='1:2', on_invalid='omit');"
        "print(*sorted({'aiohttp', 'anyio', 'asyncio', 'cattrs', 'yarl', 'difflib', 'decimal', 'uuid', 'html', 'logging',"
        "'imgwire_async.urls.values', 'imgwire_async.urls.types', 'imgwire_async.urls.responsive'} & (set(sys.modules) - bare)))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == ""
