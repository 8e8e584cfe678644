"""Some words must not come back, because each had several meanings. CONTRIBUTING.md says how to choose words.

The tables name each word with the words that replace it. The tests read docstrings, comments, identifiers and
the pages of the documentation. They do not read data strings, because the API and users may use any word.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from module_imports import PACKAGE, modules
from source_words import comments, docstrings, identifiers, words_of_name

TESTS = Path(__file__).parents[1]
DOCS = TESTS.parent / "docs"

# Not allowed in the package, the pages and the names of tests.
WORDS = {
    "told": "name the value (retry_after, context) or use a verb: reported, passed, raised",
    "heard": "received, notified",
    "dice": "jitter, random",
    "fate": "outcome, failure kind",
    "hush": "scrub, suppress",
    "trouble": "failure, error",
    "troubles": "failures, errors",
    "whoever": "the noun: caller, task, server, user",
    "whatever": "any, with the noun",
    "midst": "during the transfer, inside the call",
    "house": "package, architecture",
    "rooms": "layers, modules",
    "guest": "plugin, integration",
    "guests": "plugins, integrations",
    "desk": "API",
    "errand": "work item, call",
    "passenger": "work item, caller",
    "tidy": "clean up, close",
    "glance": "check",
    "glances": "checks",
}
PHRASES = {
    "at hand": "available, current",
    "hand in": "pass",
    "hands in": "passes",
    "hand out": "return",
    "hands out": "returns",
}
# Not allowed in names, docstrings and comments of the package. A sentence needs a concrete subject.
IN_PACKAGE = {
    "nobody": "no caller, no task, no server",
    "somebody": "another task, another program, the user",
}
# Not allowed in names of the package.
IN_NAMES = {
    "each": "the noun: image, path, event",
    "began": "started_at",
    "most": "maximum, max",
    "least": "minimum, min",
    "look": "check, probe",
    "looks": "checks, probes",
    "silence": "no_response",
    "piece": "chunk",
    "pieces": "chunks",
    "answer": "response (HTTP), future (asyncio), result",
    "answers": "responses, results",
}

REPLACEMENTS = WORDS | PHRASES | IN_PACKAGE
PROSE = re.compile(
    r"\b(?:" + "|".join([*WORDS, *IN_PACKAGE, *(phrase.replace(" ", r"\s+") for phrase in PHRASES)]) + r")\b",
    re.IGNORECASE,
)


def in_text(text: str) -> Iterator[tuple[int, str]]:
    """Yield the offset and the text of each forbidden word or phrase. Code in backticks may use any word."""
    blanked = re.sub(r"`[^`]*`", lambda code: " " * len(code[0]), text)
    for found in PROSE.finditer(blanked):
        yield found.start(), " ".join(found[0].lower().split())


def in_prose(source: str) -> Iterator[str]:
    texts = [*docstrings(source), *((comment.line, comment.text) for comment in comments(source))]
    for line, text in texts:
        for offset, word in in_text(text):
            yield f"line {line + text.count(chr(10), 0, offset)}: {word!r} -> {REPLACEMENTS[word]}"


def in_names(names: Iterable[tuple[int, str]], forbidden: dict[str, str]) -> Iterator[str]:
    for line, name in names:
        for word in words_of_name(name):
            if word in forbidden:
                yield f"line {line}: {name} -> {forbidden[word]}"


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_the_package_uses_no_forbidden_word(path: Path) -> None:
    source = path.read_text("utf-8")
    found = [*in_prose(source), *in_names(identifiers(source), WORDS | IN_PACKAGE | IN_NAMES)]
    assert not found, f"say these in plain words: {found}"


@pytest.mark.parametrize(
    "path", sorted(TESTS.rglob("*.py")), ids=lambda path: path.relative_to(TESTS).as_posix()
)
def test_the_tests_use_no_forbidden_word_in_their_names(path: Path) -> None:
    found = [*in_names(identifiers(path.read_text("utf-8")), WORDS)]
    assert not found, f"say these in plain words: {found}"


@pytest.mark.parametrize(
    "path",
    sorted([*DOCS.rglob("*.md"), *DOCS.parent.glob("*.md")]),
    ids=lambda path: path.relative_to(DOCS.parent).as_posix(),
)
def test_the_pages_use_no_forbidden_word(path: Path) -> None:
    text = re.sub(r"^ *```.*?^ *```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    found = [f"{word!r} -> {REPLACEMENTS[word]}" for _, word in in_text(text) if word not in IN_PACKAGE]
    assert not found, f"say these in plain words: {found}"


def test_data_strings_and_messages_may_use_any_word() -> None:
    source = '''
def f(told: str) -> str:
    """Take what whoever told."""
    # Whatever is  at  hand.
    return "told by somebody"
'''
    assert [found.partition(" -> ")[0] for found in in_names(identifiers(source), WORDS)] == ["line 2: told"]
    assert [found.partition(" -> ")[0] for found in in_prose(source)] == [
        "line 3: 'whoever'",
        "line 3: 'told'",
        "line 4: 'whatever'",
        "line 4: 'at hand'",
    ]


def test_a_name_is_split_at_underscores_and_capitals() -> None:
    assert words_of_name("_toldHTTPClient_now2") == ["told", "http", "client", "now"]
