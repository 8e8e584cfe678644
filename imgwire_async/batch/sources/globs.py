"""Patterns that choose files of a folder: globs as in gitignore, with the alternatives of rclone. Pure.

A pattern is compared with the path of a file or folder below the source folder, with `/` between the parts.

* `*` matches any characters except `/`, `?` one of them, `[a-z]` and `[!a-z]` one of a set, and a backslash
  makes the next character an ordinary one. `{jpg,png}` stands for two patterns.
* A pattern without `/`, or with `/` only at its end, matches at any depth. Others begin at the source folder.
* `**/` matches any number of folders, also none, and `/**` all that is in a folder. Elsewhere `**` matches
  any characters.
* `/` at the end matches only folders. `!` at the beginning takes back what an earlier pattern has matched.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import TypeAlias, cast

import attrs

from imgwire_async import checks
from imgwire_async.formatting import quoted

# The maximum number of patterns for which the braces of one pattern may stand.
_MAX_ALTERNATIVES = 1_000
_ANY_FOLDERS = "**"

# The regular expressions of single characters, and these two for any number of them. None stands for the part
# `**`.
_STAR, _ANY = "*", "**"
_Part: TypeAlias = list[str] | None


@attrs.frozen
class Pattern:
    """One pattern: the regular expression of the paths that it matches.

    `parents` is the regular expression of the folders in which a match can be, at any depth. None means every
    folder. `content_of` is that of the folders whose whole content matches, None if there are none.
    """

    regex: str
    is_negated: bool
    only_folders: bool
    parents: str | None
    content_of: str | None


def parse_patterns(name: str, value: object) -> tuple[Pattern, ...]:
    """Return the patterns of an argument: one pattern, or an iterable of patterns.

    Raises `TypeError` for another type, and `ValueError` for a pattern that cannot match anything.
    """
    texts: Iterable[object] = [value] if isinstance(value, str) else _iterable(name, value)
    return tuple(pattern for text in texts for pattern in _parse(checks.text(f"a pattern of {name}", text)))


def _iterable(name: str, value: object) -> Iterable[object]:
    if not isinstance(value, Iterable) or isinstance(value, bytes):
        raise checks.wrong_type(name, "a pattern or an iterable of patterns", value)
    return cast("Iterable[object]", value)


class Exclusion:
    """The patterns of what is left out. A folder that matches is left out with all that it contains."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self.is_empty: bool = not patterns
        self._files = _Matcher([pattern for pattern in patterns if not pattern.only_folders])
        folders = [*patterns]
        if not any(pattern.is_negated for pattern in patterns):
            # Reading a folder whose whole content is left out would take time for nothing.
            folders += [
                attrs.evolve(pattern, regex=pattern.content_of)
                for pattern in patterns
                if pattern.content_of is not None
            ]
        self._folders = _Matcher(folders)

    def has_file(self, path: str) -> bool:
        """Return whether a file is left out. The folders above it are not."""
        return self._files.matches(path)

    def has_folder(self, path: str) -> bool:
        """Return whether a folder is left out. The folders above it are not."""
        return self._folders.matches(path)


class Inclusion:
    """The patterns of the files that are taken. Without patterns, all files are taken."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        # A folder stands for the files in it.
        self._files = _Matcher(
            [
                attrs.evolve(pattern, regex=f"(?:{pattern.regex})/.+") if pattern.only_folders else pattern
                for pattern in patterns
            ]
        )
        parents = [pattern.parents for pattern in patterns if not pattern.is_negated]
        known = [parent for parent in parents if parent is not None]
        self._parents = _compiled(known) if len(known) == len(parents) else None
        self.is_empty: bool = not patterns

    def has_file(self, path: str) -> bool:
        """Return whether a file is taken."""
        return self.is_empty or self._files.matches(path)

    def may_be_below(self, path: str) -> bool:
        """Return whether a folder can contain files that are taken."""
        return self.is_empty or self._parents is None or self._parents.fullmatch(path) is not None


class _Matcher:
    """Patterns of which the last one that matches decides."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._one: re.Pattern[str] | None = None
        self._patterns: list[tuple[re.Pattern[str], bool]] = []
        if not patterns:
            return
        if any(pattern.is_negated for pattern in patterns):
            self._patterns = [
                (_compiled([pattern.regex]), not pattern.is_negated) for pattern in reversed(patterns)
            ]
        else:
            self._one = _compiled([pattern.regex for pattern in patterns])

    def matches(self, path: str) -> bool:
        if self._one is not None:
            return self._one.fullmatch(path) is not None
        for regex, result in self._patterns:
            if regex.fullmatch(path) is not None:
                return result
        return False


def _compiled(regexes: Iterable[str]) -> re.Pattern[str]:
    # Without any regex, the result matches nothing.
    return re.compile("|".join(f"(?:{regex})" for regex in regexes) or "(?!)", re.DOTALL)


# --- parse --------------------------------------------------------------------------------------------------


def _parse(text: str) -> list[Pattern]:
    """Return the patterns for which a text stands."""
    is_negated = text.startswith("!")
    body = text[1:] if is_negated else text
    return [_pattern(text, plain, is_negated=is_negated) for plain in _expand(text, body)]


def _pattern(text: str, plain: str, *, is_negated: bool) -> Pattern:
    """Return the pattern of a text without braces. `text` is the whole pattern, for messages."""
    only_folders = plain.endswith("/") and not plain.endswith("\\/")
    plain = plain.removesuffix("/") if only_folders else plain
    is_anchored = "/" in plain
    parts = _parts(text, plain.removeprefix("/"))
    if not is_anchored and parts[0] != _ANY_FOLDERS:
        parts.insert(0, _ANY_FOLDERS)
    tokens: list[_Part] = [None if part == _ANY_FOLDERS else _tokens(text, part) for part in parts]
    has_content = len(tokens) > 1 and tokens[-1] is None and not only_folders
    content_of = _regex_of(tokens[:-1]) if has_content else None
    parents = _parents_of(tokens, only_folders=only_folders)
    return Pattern(_regex_of(tokens), is_negated, only_folders, parents, content_of)


def _parts(text: str, path: str) -> list[str]:
    """Return the parts of a pattern between slashes. Several `**` in a row are the same as one."""
    parts: list[str] = []
    for part in path.split("/"):
        if part in {"", ".", ".."}:
            kind = f"the part {part!r}" if part else "an empty part"
            raise _error(text, f"has {kind}, which no path below a folder has")
        if part != _ANY_FOLDERS or parts[-1:] != [part]:
            parts.append(part)
    return parts


def _tokens(text: str, part: str) -> list[str]:
    """Return the regular expressions of the characters of a part."""
    tokens: list[str] = []
    position = 0
    while position < len(part):
        character = part[position]
        end = position + 1
        if character == "*":
            end += len(part[end:]) - len(part[end:].lstrip("*"))
            tokens.append(_STAR if end == position + 1 else _ANY)
        elif character == "?":
            tokens.append("[^/]")
        elif character == "[":
            end = _end_of_set(text, part, position)
            tokens.append(_set(text, part[position + 1 : end - 1]))
        elif character == "\\":
            end += 1
            if end > len(part):
                raise _error(text, "ends with a backslash")
            tokens.append(re.escape(part[end - 1]))
        else:
            tokens.append(re.escape(character))
        position = end
    return tokens


def _end_of_set(text: str, part: str, start: int) -> int:
    """Return the position after a set of characters, which begins with `[` at `start`."""
    position = start + 1
    if part[position : position + 1] in {"!", "^"}:
        position += 1
    # As the first character, `]` belongs to the set.
    if part[position : position + 1] == "]":
        position += 1
    while part[position : position + 1] not in {"]", ""}:
        position += 2 if part[position] == "\\" else 1
    if position >= len(part):
        raise _error(text, "has a [ without a ]; write \\[ for the character")
    return position + 1


def _set(text: str, body: str) -> str:
    """Return the regular expression of a set of characters, without its brackets. A `/` is never in it."""
    is_negated = body[:1] in {"!", "^"}
    if "[:" in body:
        raise _error(text, "has a named set such as [:alpha:], which is not supported; write a range")
    # Pairs of a character, and whether a backslash stands before it.
    found = re.findall(r"(\\?)(.)", body[is_negated:], re.DOTALL)
    ranges: list[str] = []
    position = 0
    while position < len(found):
        first = last = found[position][1]
        if position + 2 < len(found) and found[position + 1] == ("", "-"):
            last = found[position + 2][1]
            position += 2
        if first > last:
            raise _error(text, f"has the range {first}-{last}, which is empty")
        ranges.append(f"{re.escape(first)}-{re.escape(last)}")
        position += 1
    return f"(?!/)[{'^' if is_negated else ''}{''.join(ranges)}]"


# --- braces -------------------------------------------------------------------------------------------------


def _expand(text: str, plain: str) -> list[str]:
    """Return the patterns for which a pattern with braces stands. Braces without a comma are characters."""
    position = 0
    while position < len(plain):
        character = plain[position]
        if character == "{":
            cuts = _cuts(text, plain, position)
            if len(cuts) > 2:
                head, tail = plain[:position], plain[cuts[-1] + 1 :]
                found = [
                    head + end
                    for start, stop in itertools.pairwise(cuts)
                    for end in _expand(text, plain[start + 1 : stop] + tail)
                ]
                if len(found) > _MAX_ALTERNATIVES:
                    raise _error(
                        text, f"stands for more than {_MAX_ALTERNATIVES} patterns; write fewer braces"
                    )
                return found
            position += 1
        else:
            position = _after(text, plain, position)
    return [plain]


def _cuts(text: str, plain: str, start: int) -> list[int]:
    """Return the positions of a brace at `start`, the commas of its group, and the brace that closes it."""
    cuts = [start]
    depth = 0
    position = start
    while position < len(plain):
        character = plain[position]
        depth += (character == "{") - (character == "}")
        if depth == 0:
            return [*cuts, position]
        if character == "," and depth == 1:
            cuts.append(position)
        position = _after(text, plain, position)
    raise _error(text, "has a { without a }; write \\{ for the character")


def _after(text: str, plain: str, position: int) -> int:
    """Return the position after one character, which may be escaped, or after one set of characters."""
    if plain[position] == "[":
        return _end_of_set(text, plain, position)
    return position + (2 if plain[position] == "\\" else 1)


# --- regular expressions ------------------------------------------------------------------------------------


def _regex_of(parts: Sequence[_Part]) -> str:
    """Return the regular expression of a path.

    If more folders may follow a match, the first match is as good as any later one. So the regex never tries
    another one (`(?>...)`), and many stars are not slow.
    """
    # The parts between two `**`.
    groups = [[*group] for is_any, group in itertools.groupby([*parts], key=_is_none) if not is_any]
    has_any = any(part is not None and _ANY in part for part in parts)
    regex = "" if parts[0] is not None or len(parts) == 1 else "(?:.*/)?"
    for index, group in enumerate(groups):
        text = "/".join(_regex_of_part(part) for part in group if part is not None)
        is_last = index == len(groups) - 1
        if is_last:
            regex += text
        elif (index or parts[0] is None) and not has_any:
            regex = f"{regex.removesuffix('(?:.*/)?')}(?>(?:[^/]+/)*?{text}/)(?:.*/)?"
        else:
            regex += f"{text}/(?:.*/)?"
    if parts[-1] is None:
        regex += "/.+" if groups else ".+"
    return regex


def _is_none(part: _Part) -> bool:
    return part is None


def _regex_of_part(tokens: list[str]) -> str:
    """Return the regular expression of one part of a path."""
    # The tokens between two `**`, which match a part if all others may follow at any place.
    first, *groups = [_regex_of_group(group) for group in _split(tokens, _ANY)]
    if not groups:
        return _regex_of_group(tokens, is_last=True)
    middle = "".join(f"(?>.*?{group})" for group in groups[:-1])
    last = _regex_of_group(_split(tokens, _ANY)[-1], is_last=True)
    return f"{first}{middle}.*{last}"


def _regex_of_group(tokens: list[str], *, is_last: bool = False) -> str:
    """Return the regular expression of tokens without `**`. The end of the part follows the last ones."""
    first, *chunks = ["".join(chunk) for chunk in _split(tokens, _STAR)]
    last = [f"[^/]*{chunks.pop()}"] if chunks and is_last else []
    return "".join([first, *(f"(?>[^/]*?{chunk})" for chunk in chunks), *last])


def _split(tokens: list[str], separator: str) -> list[list[str]]:
    """Return the tokens before, between and after separators."""
    found: list[list[str]] = [[]]
    for token in tokens:
        if token == separator:
            found.append([])
        else:
            found[-1].append(token)
    return found


def _parents_of(parts: Sequence[_Part], *, only_folders: bool) -> str | None:
    """Return the regular expression of the folders in which a match can be, None for every folder."""
    regexes: list[str] = []
    is_deep = only_folders
    for part in parts:
        if part is None or _ANY in part:
            is_deep = True
            break
        regexes.append(_regex_of_part(part))
    else:
        if not only_folders:
            # The last part is the name of a file.
            regexes.pop()
    if is_deep and not regexes:
        return None
    regex = "(?:/.*)?" if is_deep else ""
    for index, part_regex in reversed([*enumerate(regexes)]):
        regex = f"(?:{'/' if index else ''}{part_regex}{regex})?"
    return regex


def _error(text: str, problem: str) -> ValueError:
    return ValueError(f"the pattern {quoted(text)} {problem}")
