"""Patterns of `folder`: a table, and comparisons with a simple matcher, with git, and with a whole walk."""

from __future__ import annotations

import functools
import re
import shutil
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async.batch.sources.globs import Exclusion, Inclusion, parse_patterns


def includes(patterns: str | Iterable[str], path: str) -> bool:
    return Inclusion(parse_patterns("include", patterns)).has_file(path)


def excludes(patterns: str | Iterable[str], path: str) -> bool:
    """Return whether a file, or a folder above it, is left out."""
    exclusion = Exclusion(parse_patterns("exclude", patterns))
    return exclusion.has_file(path) or any(map(exclusion.has_folder, folders_of(path)))


def folders_of(path: str) -> Iterator[str]:
    parts = path.split("/")
    for end in range(1, len(parts)):
        yield "/".join(parts[:end])


# A pattern, the files that it includes, and other files.
TABLE = [
    ("*.jpg", ["a.jpg", "x/a.jpg", "x/y/.jpg"], ["a.png", "a.jpg.txt", "a.JPG", "a.jpg/b.png"]),
    ("a.jpg", ["a.jpg", "x/y/a.jpg"], ["aa.jpg", "xa.jpg"]),
    ("/a.jpg", ["a.jpg"], ["x/a.jpg"]),
    ("/*.jpg", ["a.jpg"], ["x/a.jpg"]),
    ("2024/*.jpg", ["2024/a.jpg"], ["2024/x/a.jpg", "x/2024/a.jpg"]),
    ("**/2024/*.jpg", ["2024/a.jpg", "x/2024/a.jpg", "x/y/2024/a.jpg"], ["2024/x/a.jpg", "x2024/a.jpg"]),
    ("**/*.jpg", ["a.jpg", "x/y/a.jpg"], ["a.png"]),
    ("2024/**", ["2024/a.jpg", "2024/x/y"], ["2024", "x/2024/a.jpg", "20245/a"]),
    ("2024/**/a.jpg", ["2024/a.jpg", "2024/x/y/a.jpg"], ["2024/xa.jpg", "2024a.jpg"]),
    ("2024/**.jpg", ["2024/a.jpg", "2024/x/y.jpg"], ["2024.jpg", "2024/a.png"]),
    ("**", ["a", "x/y/z"], []),
    ("**/**/**/a", ["a", "x/a", "x/y/z/a"], ["xa"]),
    ("raw/", ["raw/a", "raw/x/a", "x/raw/a"], ["raw", "x/raw", "draw/a"]),
    ("/raw/", ["raw/a", "raw/x/a"], ["x/raw/a"]),
    ("x/raw/", ["x/raw/a"], ["raw/a", "y/x/raw/a"]),
    ("raw", ["raw", "x/raw"], ["raw/a"]),
    ("?.jpg", ["a.jpg", "x/ä.jpg", "\udcff.jpg"], ["ab.jpg", ".jpg"]),
    ("IMG_[0-9][0-9].jpg", ["IMG_12.jpg"], ["IMG_1.jpg", "IMG_1x.jpg"]),
    ("[!a-c]", ["d", "x/e", "!"], ["a", "x/b"]),
    ("[^a-c]", ["d", "^"], ["a"]),
    ("[]a]", ["]", "a"], ["b"]),
    ("[!]a]", ["b"], ["]", "a"]),
    ("[a-]", ["a", "-"], ["b"]),
    (r"[\]a\-c]", ["]", "a", "-", "c"], ["b"]),
    ("x[!a]y", ["xby"], ["x/y", "xay"]),
    ("*.{jpg,png}", ["a.jpg", "x/a.png"], ["a.gif", "a.{jpg,png}"]),
    ("{2023,2024/0[1-6]}/*", ["2023/a", "2024/03/a"], ["2024/a", "2024/07/a", "x/2023/a"]),
    ("{a,b{c,d}}.jpg", ["a.jpg", "bc.jpg", "bd.jpg"], ["b.jpg"]),
    ("a{,b}", ["a", "ab"], ["b"]),
    ("{id}.jpg", ["{id}.jpg"], ["id.jpg"]),
    ("a}b", ["a}b"], ["ab"]),
    ("[{,]x", ["{x", ",x"], ["x"]),
    (r"\*.jpg", ["*.jpg"], ["a.jpg"]),
    (r"\!a", ["!a"], ["a"]),
    (r"a\{b,c}", ["a{b,c}"], ["ab", "ac"]),
    ("a\nb*", ["a\nb", "a\nb\nc"], ["a"]),
    ("a.b+c(d)$", ["a.b+c(d)$"], ["aXb+c(d)$"]),
    ("*a*b*.jpg", ["ab.jpg", "xaybz.jpg", "aabb.jpg"], ["ba.jpg", "a/b.jpg"]),
]


@pytest.mark.parametrize(
    ("pattern", "path", "expected"),
    [(pattern, path, True) for pattern, yes, _ in TABLE for path in yes]
    + [(pattern, path, False) for pattern, _, no in TABLE for path in no],
)
def test_a_pattern_includes_these_files(pattern: str, path: str, expected: bool) -> None:
    assert includes(pattern, path) is expected


# A list of patterns, the files that it excludes, and other files. git agrees.
EXCLUDED = [
    (["*.tmp"], ["a.tmp", "x/a.tmp", "x.tmp/a"], ["a.jpg"]),
    (["raw"], ["raw", "raw/a", "x/raw/y/a"], ["draw/a"]),
    (["raw/"], ["raw/a", "x/raw/y/a"], ["raw", "x/raw"]),
    (["/raw/"], ["raw/a"], ["x/raw/a"]),
    (["raw/**"], ["raw/a", "raw/x/a"], ["raw", "x/raw/a"]),
    (["**/raw/**"], ["raw/a", "x/raw/y/a"], ["raw"]),
    (["2024/*"], ["2024/a", "2024/x/a"], ["x/2024/a", "2024"]),
    (["**/x/y"], ["x/y", "x/y/a", "z/x/y/a"], ["x/a/y"]),
    (["*.jpg", "!keep.jpg"], ["a.jpg", "x/a.jpg"], ["keep.jpg", "x/keep.jpg"]),
    (["!keep.jpg", "*.jpg"], ["keep.jpg"], ["a.png"]),
    (["raw/", "!raw/keep.jpg"], ["raw/keep.jpg", "raw/a"], ["a"]),
    (["raw/*", "!raw/keep.jpg"], ["raw/a", "raw/x/y"], ["raw/keep.jpg"]),
    (["raw/**", "!raw/keep.jpg"], ["raw/a", "raw/x/y"], ["raw/keep.jpg"]),
    (["[!a]*"], ["b", "xa/a"], ["a", "ab"]),
    ([r"\!a", r"b\*"], ["!a", "b*"], ["a", "bc"]),
]


@pytest.mark.parametrize(("patterns", "excluded", "others"), EXCLUDED)
def test_patterns_exclude_what_git_ignores(
    patterns: list[str], excluded: list[str], others: list[str]
) -> None:
    assert [path for path in [*excluded, *others] if excludes(patterns, path)] == excluded


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
@pytest.mark.parametrize(("patterns", "excluded", "others"), EXCLUDED)
def test_git_ignores_what_the_table_says(
    patterns: list[str], excluded: list[str], others: list[str], tmp_path: Path
) -> None:
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True, env={"PATH": _path(), "HOME": "/"})
    (tmp_path / ".git" / "info" / "exclude").write_text("\n".join(patterns), "utf-8")
    paths = [*excluded, *others]
    result = subprocess.run(
        ["git", "-C", str(tmp_path), "check-ignore", "--no-index", "--stdin", "-z"],
        input="\0".join(paths).encode(),
        stdout=subprocess.PIPE,
        check=False,
        env={"PATH": _path(), "HOME": "/"},
    )
    ignored = set(result.stdout.decode().split("\0"))
    assert [path for path in paths if path in ignored] == excluded


def _path() -> str:
    git = shutil.which("git")
    assert git is not None
    return str(Path(git).parent)


# --- random patterns and paths ------------------------------------------------------------------------------

PARTS = st.text("ab.", min_size=1, max_size=4).filter(lambda part: part not in {".", ".."})
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)
GLOB_PARTS = st.text("ab.*?", min_size=1, max_size=6).filter(lambda part: part not in {".", ".."})
GLOBS = st.builds(
    lambda parts, start, end: start + "/".join(parts) + end,
    st.lists(st.one_of(GLOB_PARTS, st.just("**")), min_size=1, max_size=5),
    st.sampled_from(["", "", "/"]),
    st.sampled_from(["", "", "/"]),
)


def simple_match(glob: str, path: str) -> bool:
    """Return whether a glob matches a path, by trying all lengths for each star."""
    is_folder = glob.endswith("/")
    body = glob.removesuffix("/")
    parts = body.removeprefix("/").split("/")
    if "/" not in body and body != "**":
        parts.insert(0, "**")
    if is_folder and parts[-1] == "**":
        parts.append("*")
    tokens: list[str] = []
    for index, part in enumerate(parts):
        if part == "**":
            tokens.append("rest" if index == len(parts) - 1 else "folders")
        else:
            tokens += [token if set(token) != {"*"} else token[:2] for token in re.findall(r"\*+|.", part)]
            tokens += ["/"] if index < len(parts) - 1 else []
    if is_folder:
        tokens += ["/", "rest"]
    return match_tokens(tuple(tokens), path, 0)


@functools.cache
def match_tokens(tokens: tuple[str, ...], path: str, start: int) -> bool:
    if not tokens:
        return start == len(path)
    token, rest = tokens[0], tokens[1:]
    ends = range(start, len(path) + 1)
    if token == "rest":
        ends = range(len(path), len(path) + (start < len(path)))
    elif token == "folders":
        ends = [end for end in ends if end == start or path[end - 1] == "/"]
    elif token == "*":
        ends = [end for end in ends if "/" not in path[start:end]]
    elif token != "**":
        found = path[start : start + 1]
        ends = [start + 1] if found == token or (token == "?" and found not in {"", "/"}) else []
    return any(match_tokens(rest, path, end) for end in ends)


@settings(max_examples=examples(500), deadline=None)
@given(GLOBS, PATHS)
def test_a_pattern_matches_like_a_simple_matcher(glob: str, path: str) -> None:
    assert includes(glob, path) == simple_match(glob, path)


@settings(max_examples=examples(250), deadline=None)
@given(st.lists(GLOBS, max_size=3), PATHS)
def test_no_folder_is_passed_over_that_contains_a_file_to_upload(globs: list[str], path: str) -> None:
    inclusion = Inclusion(parse_patterns("include", globs))
    if inclusion.has_file(path):
        assert all(map(inclusion.may_be_below, folders_of(path)))


@settings(max_examples=examples(250), deadline=None)
@given(st.lists(GLOBS, max_size=3), PATHS)
def test_a_folder_is_left_out_only_with_all_its_files(globs: list[str], path: str) -> None:
    patterns = parse_patterns("exclude", globs)
    exclusion = Exclusion(patterns)
    for folder in folders_of(path):
        if exclusion.has_folder(folder) and not any(
            re.fullmatch(pattern.regex, folder, re.DOTALL) for pattern in patterns
        ):
            assert exclusion.has_file(path)


@settings(max_examples=examples(400), deadline=None)
@given(st.text(r"ab/*?[]{},!\^-", max_size=12), PATHS)
def test_any_text_is_a_pattern_or_raises_a_value_error(text: str, path: str) -> None:
    try:
        patterns = parse_patterns("include", text)
    except ValueError:
        return
    inclusion = Inclusion(patterns)
    assert not inclusion.has_file(path) or all(map(inclusion.may_be_below, folders_of(path)))


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "empty part"),
        ("/", "empty part"),
        ("!", "empty part"),
        ("a//b", "empty part"),
        ("./a", r"the part '\.'"),
        ("../a", r"the part '\.\.'"),
        ("a\\", "ends with a backslash"),
        ("[a", r"a \[ without a \]"),
        ("[a/b]", r"a \[ without a \]"),
        ("[z-a]", "range z-a"),
        ("[[:alpha:]]", "named set"),
        ("{a,b", "a { without a }"),
        ("{a,b}" * 10, "more than 1000"),
        ("{a,b}" * 40, "more than 1000"),
    ],
)
def test_a_pattern_that_cannot_match_is_an_error(pattern: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_patterns("exclude", pattern)


@pytest.mark.parametrize("value", [7, b"*.jpg", None])
def test_patterns_of_another_type_are_an_error(value: object) -> None:
    with pytest.raises(TypeError, match="include must be a pattern or an iterable of patterns"):
        parse_patterns("include", value)
    with pytest.raises(TypeError, match="a pattern of include must be text"):
        parse_patterns("include", [value])


@pytest.mark.parametrize(
    "pattern",
    [
        "*a" * 30 + "b",
        "**/a*/" * 20 + "b",
        "**a*" * 20 + "b",
        "{*a*,*b*}" * 6 + "c",
        "/" + "**/*a*/" * 10 + "b",
    ],
)
def test_a_pattern_with_many_stars_is_fast(pattern: str) -> None:
    inclusion = Inclusion(parse_patterns("include", pattern))
    started_at = time.monotonic()
    assert not inclusion.has_file("/".join(["a" * 20] * 40))
    assert time.monotonic() - started_at < 2
