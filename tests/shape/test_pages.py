"""The code and links of the pages work, and their lists are complete."""

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
from imgwire_async import RetryPolicy, Timeouts, batch_errors, errors
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
# A GIF of 1 x 1 pixels for all file names of a page: the service checks the bytes, not the name.
PICTURE = bytes.fromhex(
    "47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b"
)


def named(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty working directory, and an emulator in the environment variables."""
    with Emulator() as emulator:
        monkeypatch.setenv("IMGWIRE_API_KEY", emulator.api_key)
        monkeypatch.setenv("IMGWIRE_API_BASE_URL", emulator.base_url)
        monkeypatch.chdir(tmp_path)
        yield tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.runs for block in blocks(page))], ids=named
)
def test_the_python_blocks_of_a_page_run(page: Path, folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for name in set(re.findall(r"[\w-]+\.(?:jpe?g|png|gif|webp)\b", page.read_text("utf-8"))):
        (folder / name).write_bytes(PICTURE)
    # Pages upload this folder.
    (folder / "photos").mkdir()
    (folder / "photos/beach.JPG").write_bytes(PICTURE)
    run(page)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_block_names_a_known_language(page: Path) -> None:
    # "py" or "pycon" would be highlighted as code and never run.
    unknown = {block.language for block in blocks(page)} - LANGUAGES
    assert not unknown, f"name one of {sorted(LANGUAGES)} behind the fence, not {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_a_line_of_code_has_at_most_90_characters(page: Path) -> None:
    shown = [line for block in blocks(page) if block.language == "python" for line in block.text.splitlines()]
    long = [line for line in shown if len(line) > 90]
    assert not long, f"shorten these lines, so that readers need not scroll: {long}"


def test_at_most_one_block_in_twenty_is_not_run() -> None:
    shown = [block for page in PAGES for block in blocks(page) if block.language == "python"]
    assert sum(not block.runs and block.excerpt_of is None for block in shown) <= len(shown) // 20


@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(block.excerpt_of for block in blocks(page))], ids=named
)
def test_a_part_of_an_example_on_a_page_is_equal_to_the_file(page: Path) -> None:
    for block in blocks(page):
        if block.excerpt_of is not None:
            source = (ROOT / block.excerpt_of).read_text("utf-8")
            paragraphs = block.text.strip("\n").split("\n\n")
            different = [text for text in paragraphs if f"\n{text}\n" not in f"\n{source}"]
            assert not different, f"copy these parts anew from {block.excerpt_of}: {different}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_an_async_tab_has_a_blocking_one_beside_it(page: Path) -> None:
    tabs = re.findall(r'^ *=== "(Async|Blocking)"$', page.read_text("utf-8"), re.MULTILINE)
    assert tabs == ["Async", "Blocking"] * (len(tabs) // 2)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_file_that_a_page_links_exists(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|mailto:|#)([^)#\s]+)", page.read_text("utf-8"))
    missing = [link for link in links if not (page.parent / link).exists()]
    assert not missing, f"correct these links of {page.name}: {missing}"


def test_the_navigation_lists_every_page() -> None:
    listed = set(
        re.findall(
            r"^ +- (?:[^:\n]+: )?([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.MULTILINE
        )
    )
    pages = {named(page) for page in PAGES}
    assert listed == pages, f"correct `nav` in mkdocs.yml: {listed ^ pages}"


def described() -> list[str]:
    """Return the entries of the reference, as paths below `imgwire_async`."""
    text = "\n".join(page.read_text("utf-8") for page in sorted(DOCS.glob("reference/*.md")))
    return re.findall(r"^::: imgwire_async\.([\w.]+)$", text, re.MULTILINE)


def test_every_public_name_has_one_entry_in_the_reference() -> None:
    # `emulator` is a module.
    names = [name for name in described() if "." not in name and name != "emulator"]
    assert sorted(names) == imgwire_async.__all__


def error_tree() -> dict[str, int]:
    """Return every error with the number of its public base classes below `ImgwireError`."""
    return {
        name: len([base for base in value.__mro__[1:] if is_public_error(base)][:-1])
        for name, value in (vars(errors) | vars(batch_errors)).items()
        if is_public_error(value)
    }


SEPARATE_MODULES = [
    "batch",
    "emulator",
    "otel",
    *(f"integrations.{path.stem}" for path in PACKAGE.glob("integrations/[a-z]*.py")),
]


@pytest.mark.parametrize("module", SEPARATE_MODULES)
def test_every_name_of_a_separate_module_has_an_entry_in_the_reference(module: str) -> None:
    # The test reads the file instead of importing it, because the import needs an optional package.
    path = PACKAGE / module.replace(".", "/")
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text("utf-8")
    (listed,) = [
        ast.literal_eval(statement.value)
        for statement in ast.parse(source).body
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == "__all__"
    ]
    assert listed
    missing = {f"{module}.{name}" for name in listed} - set(described())
    assert not missing, f"add these to a page of docs/reference, as `::: imgwire_async.NAME`: {missing}"


def is_public_error(value: object) -> bool:
    return (
        isinstance(value, type)
        and issubclass(value, errors.ImgwireError)
        and not value.__name__.startswith("_")
    )


def test_the_table_of_errors_has_every_error_below_its_base_class() -> None:
    table = (DOCS / "errors.md").read_text("utf-8").partition("## All errors")[2]
    rows = re.findall(r"^\| ((?:↳ )*)`(\w+)`", table, re.MULTILINE)
    assert {name: len(arrows) // 2 for arrows, name in rows} == error_tree()
    assert len(rows) == len(error_tree())


def test_the_drawing_shows_every_module_of_the_table() -> None:
    table = (DOCS / "architecture.md").read_text("utf-8").partition("## Layers")[2].partition("\n## ")[0]
    names = [
        name
        for row in re.findall(r"^\|[^|]+\|([^|]+)\|", table, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    ]
    drawn = re.findall(
        r"\w+",
        " ".join(re.findall(r"<text[^>]*>([^<]*)", (DOCS / "assets/architecture.svg").read_text("utf-8"))),
    )
    missing = set(names) - set(drawn)
    assert not missing, f"add these modules to docs/assets/architecture.svg: {missing}"
    assert len(names) > 15


@pytest.mark.parametrize(
    ("page", "settings"),
    [("testing.md", Emulator), ("retries.md", Timeouts), ("retries.md", RetryPolicy)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_page_names_every_setting(page: str, settings: type) -> None:
    shown = set(in_backticks(DOCS / page))
    missing = [name for name in inspect.signature(settings).parameters if name not in shown]
    assert not missing, f"docs/{page} does not describe {missing}"


RESOURCES = {
    "images": AsyncImages,
    "cors_origins": AsyncCorsOrigins,
    "custom_domain": AsyncCustomDomain,
    "metrics": AsyncMetrics,
}


def in_backticks(page: Path) -> list[str]:
    """Return the texts in backticks outside of code blocks."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_method_that_a_page_names_exists(page: Path) -> None:
    named_methods = re.findall(rf"\b({'|'.join(RESOURCES)})\.(\w+)", "\n".join(in_backticks(page)))
    unknown = [(group, name) for group, name in named_methods if not hasattr(RESOURCES[group], name)]
    assert not unknown, f"these methods do not exist: {unknown}"


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_every_error_that_a_page_names_exists(page: Path) -> None:
    # A name with a dot before it belongs to another library.
    errors_named = {text for text in in_backticks(page) if re.fullmatch(r"[A-Z]\w+Error", text)}
    unknown = {
        name for name in errors_named if not hasattr(imgwire_async, name) and not hasattr(builtins, name)
    }
    assert not unknown, f"these errors do not exist: {unknown}"


def test_the_site_loads_nothing_from_third_parties() -> None:
    settings = (ROOT / "mkdocs.yml").read_text("utf-8")
    assert "font: false" in settings
    foreign = re.compile(
        r"(?:src|href)=[\"']?(?:https?:)?//|!\[[^\]]*\]\((?:https?:)?//|https?://\S+\.(?:js|css)\b"
    )
    found = [named(page) for page in PAGES if foreign.search(page.read_text("utf-8"))]
    assert not found, f"copy scripts, styles and pictures into docs/assets: {found}"
    assert foreign.search(settings) is None
