"""`run_page` runs the code of a page and reports its failures."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest
from run_page import blocks, run


def page(folder: Path, text: str) -> Path:
    path = folder / "page.md"
    path.write_text(text, "utf-8")
    return path


def test_a_failing_block_is_reported_with_its_page_and_line(tmp_path: Path) -> None:
    wrong = page(tmp_path, "# Page\n\n```python\nx = 1\nassert x == 2\n```\n")
    with pytest.raises(AssertionError) as caught:
        run(wrong)
    last = traceback.extract_tb(caught.tb)[-1]
    assert (last.filename, last.lineno) == (str(wrong), 5)


def test_blocks_share_names_and_may_await(tmp_path: Path) -> None:
    run(
        page(
            tmp_path,
            "```python\nimport asyncio\nx = await asyncio.sleep(0, 1)\n```\ntext\n```python\nassert x == 1\n```\n",
        )
    )


def test_blocks_in_tabs_run_and_blocking_tabs_have_a_namespace_of_their_own(tmp_path: Path) -> None:
    tabs = '=== "Async"\n\n    ```python\n    x = 1\n    ```\n\n=== "Blocking"\n\n    ```python\n    x = 2\n    ```\n'
    after = '\n```python\nassert x == 1\n```\n\n=== "Blocking"\n\n    ```python\n    assert x == 2\n    ```\n'
    both = page(tmp_path, tabs + after)
    assert [block.tab for block in blocks(both)] == ["Async", "Blocking", None, "Blocking"]
    run(both)


def test_a_block_with_a_reason_is_not_run(tmp_path: Path) -> None:
    run(page(tmp_path, '```python title="Not run: needs a printer"\nraise SystemExit\n```\n'))


@pytest.mark.parametrize("title", ["", ' title="Not run: "', ' title="Example"'])
def test_a_block_without_a_reason_is_run(title: str, tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        run(page(tmp_path, f"```python{title}\n1 / 0\n```\n"))


def test_a_block_in_another_language_is_not_run(tmp_path: Path) -> None:
    run(page(tmp_path, "```console\nrm -r everything\n```\n```text\nnot code\n```\n"))
