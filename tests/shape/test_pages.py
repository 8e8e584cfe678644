"""What the pages of the site show is what works, and what they list is complete."""

from __future__ import annotations

import ast
import builtins
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from run_page import blocks, run

import imgwire_async
from imgwire_async import RetryPolicy, Timeouts, errors
from imgwire_async.emulator import Emulator
from imgwire_async.resources.cors_origins import AsyncCorsOrigins
from imgwire_async.resources.custom_domain import AsyncCustomDomain
from imgwire_async.resources.images import AsyncImages
from imgwire_async.resources.metrics import AsyncMetrics

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGE = ROOT / "imgwire_async"
PAGES = sorted(DOCS.rglob("*.md"))
LANGUAGES = {"python", "console", "text", "html", "toml", "json"}
# A 1x1 GIF under every name that a page may upload: the service goes by the bytes.
PICTURE = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)


def named(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder to be in, and an Imgwire that the environment names."""
    with Emulator() as emulator:
        monkeypatch.setenv("IMGWIRE_API_KEY", emulator.api_key)
        monkeypatch.setenv("IMGWIRE_API_BASE_URL", emulator.base_url)
        monkeypatch.chdir(tmp_path)
        yield tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.runs for block in blocks(page))], ids=named
)
def test_the_python_blocks_of_a_page_run(page: Path, place: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in set(re.findall(r"[\w-]+\.(?:jpe?g|png|gif|webp)\b", page.read_text("utf-8"))):
        (place / name).write_bytes(PICTURE)
    (place / "photos").mkdir()  # the folder that pages upload
    (place / "photos/beach.JPG").write_bytes(PICTURE)
    run(page)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_says_what_it_is_and_runs_if_it_is_python(page: Path) -> None:
    # "py", "pycon" and the like would be coloured as code and never be run.
    assert {block.language for block in blocks(page)} <= LANGUAGES


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_line_of_code_is_read_without_scrolling(page: Path) -> None:
    shown = [line for block in blocks(page) if block.language == "python" for line in block.text.splitlines()]
    assert [line for line in shown if len(line) > 90] == []


def test_hardly_a_block_is_not_run() -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.language == "python"]
    assert sum(not block.runs and block.excerpt_of is None for block in shown) <= len(shown) // 20


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.excerpt_of for block in blocks(page))], ids=named
)
def test_what_a_page_shows_of_an_example_stands_there_word_for_word(page: Path) -> None:
    for block in blocks(page):
        if block.excerpt_of is not None:
            source = (ROOT / block.excerpt_of).read_text("utf-8")
            paragraphs = block.text.strip("\n").split("\n\n")
            assert [text for text in paragraphs if f"\n{text}\n" not in f"\n{source}"] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_an_async_tab_has_a_blocking_one_beside_it(page: Path) -> None:
    tabs = re.findall(r'^ *=== "(Async|Blocking)"$', page.read_text("utf-8"), re.MULTILINE)
    assert tabs == ["Async", "Blocking"] * (len(tabs) // 2)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_that_a_page_links_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text("utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_every_page_stands_in_the_navigation() -> None:
    listed = set(
        re.findall(
            r"^ +- (?:[^:\n]+: )?([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
        )
    )
    assert listed == {named(page) for page in PAGES}


def described() -> list[str]:
    """What the reference has an entry for, as paths below `imgwire_async`."""
    text = "\n".join(page.read_text("utf-8") for page in sorted(DOCS.glob("reference/*.md")))
    return re.findall(r"^::: imgwire_async\.([\w.]+)$", text, re.MULTILINE)


def test_every_public_name_has_one_entry_in_the_reference() -> None:
    names = [name for name in described() if "." not in name and name != "emulator"]  # that is a module
    assert sorted(names) == imgwire_async.__all__


def tree_of_errors() -> dict[str, int]:
    """Every error with the number of its public ancestors below the root."""
    return {
        name: len([base for base in value.__mro__[1:] if is_public_error(base)][:-1])
        for name, value in vars(errors).items()
        if is_public_error(value)
    }


APART = [
    "emulator",
    "otel",
    *(f"integrations.{path.stem}" for path in PACKAGE.glob("integrations/[a-z]*.py")),
]


@pytest.mark.parametrize("module", APART)
def test_every_name_of_a_module_apart_has_an_entry_in_the_reference(module: str) -> None:
    # Read, not imported: each wants a package of its own.
    path = PACKAGE / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")
    (listed,) = [
        ast.literal_eval(each.value)
        for each in ast.parse(source).body
        if isinstance(each, ast.Assign) and ast.unparse(each.targets[0]) == "__all__"
    ]
    assert listed
    assert {f"{module}.{name}" for name in listed} <= set(described())


def is_public_error(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, errors.ImgwireError)
        and not value.__name__.startswith("_")
    )


def test_every_error_has_a_row_at_its_place_in_the_table_of_errors() -> None:
    table = (DOCS / "errors.md").read_text("utf-8").partition("## All errors")[2]
    rows = re.findall(r"^\| ((?:↳ )*)`(\w+)`", table, re.MULTILINE)
    assert {name: len(arrows) // 2 for arrows, name in rows} == tree_of_errors()
    assert len(rows) == len(tree_of_errors())


def test_the_drawing_shows_every_module_of_the_table() -> None:
    table = (DOCS / "architecture.md").read_text("utf-8").partition("## Layers")[2].partition("\n## ")[0]
    rooms = [
        name
        for row in re.findall(r"^\|[^|]+\|([^|]+)\|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    drawn = re.findall(
        r"\w+",
        " ".join(re.findall(r"<text[^>]*>([^<]*)", (DOCS / "assets/architecture.svg").read_text("utf-8"))),
    )
    assert set(rooms) <= set(drawn)
    assert len(rooms) > 15


@pytest.mark.parametrize(
    ("page", "maker"),
    [("testing.md", Emulator), ("retries.md", Timeouts), ("retries.md", RetryPolicy)],
    ids=lambda each: getattr(each, "__name__", each),
)
def test_a_page_names_every_setting(page: str, maker: type) -> None:
    shown = set(words(DOCS / page))
    assert [name for name in inspect.signature(maker).parameters if name not in shown] == []


RESOURCES = {
    "images": AsyncImages,
    "cors_origins": AsyncCorsOrigins,
    "custom_domain": AsyncCustomDomain,
    "metrics": AsyncMetrics,
}


def words(page: Path) -> list[str]:
    """What stands in backticks in the text, outside of blocks."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_method_that_a_page_names_exists(page: Path) -> None:
    named_methods = re.findall(rf"\b({'|'.join(RESOURCES)})\.(\w+)", "\n".join(words(page)))
    assert [each for each in named_methods if not hasattr(RESOURCES[each[0]], each[1])] == []


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_error_that_a_page_names_exists(page: Path) -> None:
    # Whole words in backticks; what has a dot before it is another library's.
    errors_named = {word for word in words(page) if re.fullmatch(r"[A-Z]\w+Error", word)}
    assert {
        name for name in errors_named if not hasattr(imgwire_async, name) and not hasattr(builtins, name)
    } == set()


def test_the_site_fetches_nothing_from_others() -> None:
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in settings
    foreign = re.compile(
        r"(?:src|href)=[\"']?(?:https?:)?//|!\[[^\]]*\]\((?:https?:)?//|https?://\S+\.(?:js|css)\b"
    )
    assert [named(page) for page in PAGES if foreign.search(page.read_text("utf-8"))] == []
    assert foreign.search(settings) is None
