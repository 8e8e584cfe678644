"""Check the arguments of operations, such as ids and metadata, and convert them for the request."""

from __future__ import annotations

import functools
import math
import re
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeAlias, TypeVar, cast
from urllib.parse import urlsplit

from imgwire_async import checks
from imgwire_async.coercion import as_bool, as_int, as_number, as_str
from imgwire_async.formatting import quoted
from imgwire_async.mime import mime_type_by_name
from imgwire_async.models import MetricsDatasetInterval
from imgwire_async.protocol.request import path_segment
from imgwire_async.redaction import as_secret

Id: TypeAlias = str | uuid.UUID
Metadata: TypeAlias = Mapping[str, str | int | float | bool]


# How many seconds an upload with `wait=True` waits until the image is READY.
DEFAULT_WAIT = 120.0

P = ParamSpec("P")
T = TypeVar("T")
Method: TypeAlias = "Callable[P, Coroutine[Any, Any, T]]"


def keyword_only(spelling: str) -> Callable[[Method[P, T]], Method[P, T]]:
    """Return a decorator for an async method that takes keyword arguments only.

    The decorated method raises `TypeError` for a positional argument. The message shows `spelling`, an
    example of a correct call. This helps users of other SDKs, who pass one mapping. The decorator also wraps
    the argument `upload_token` as a secret, so that its repr does not show it.
    """

    def decorate(method: Method[P, T]) -> Method[P, T]:
        @functools.wraps(method)
        async def checked(*args: P.args, **kwargs: P.kwargs) -> T:
            # `args` contains `self`, and must not contain more.
            if len(args) > 1:
                raise TypeError(
                    f"arguments are given by name here, not as a mapping or by position: {spelling}"
                )
            if "upload_token" in kwargs:
                kwargs["upload_token"] = as_secret(kwargs["upload_token"])
            return await method(*args, **kwargs)

        return checked

    return decorate


def reject_mapping(value: object, spelling: str) -> None:
    """Raise `TypeError` if `value` is a mapping, which other SDKs accept in place of arguments.

    The message shows `spelling`, an example of a correct call.
    """
    if isinstance(value, Mapping):
        raise TypeError(f"arguments are passed one by one here, not as a mapping: {spelling}")


def wait_timeout(value: object) -> float | None:
    """Convert the argument `wait` to seconds. True becomes 120 seconds, and False becomes None."""
    boolean = as_bool(value)
    if boolean is not None:
        return DEFAULT_WAIT if boolean else None
    return checks.positive_seconds("wait", value, expected="a bool or a number of seconds")


def metadata(value: object) -> dict[str, str | int | float | bool] | None:
    """Check the argument `custom_metadata`, and convert its values to built-in types.

    Keys must be text. Values must be text, numbers or booleans, because the API accepts no null and no nested
    values.

    [contract 6]
    """
    if value is None:
        return None
    checked: dict[str, str | int | float | bool] = {}
    for key, item in checks.mapping("custom_metadata", value).items():
        if not isinstance(key, str):
            raise TypeError(f"custom_metadata must have text keys, not {type(key).__name__}")
        name = checks.nonempty_text("a key of custom_metadata", key, max_length=None)
        checked[name] = _metadata_value(name, item)
    return checked


# The names of number types that are rejected as metadata. The conversion to a float would change most of
# their values silently.
_EXACT_NUMBER_TYPES = frozenset({"Decimal", "Fraction"})


def _metadata_value(key: str, item: object) -> str | int | float | bool:
    """Check `item`, the metadata value for `key`, and convert it to a built-in str, int, float or bool."""
    name = f"custom_metadata[{quoted(key)}]"
    if isinstance(item, str):
        return checks.nonempty_text(name, item, max_length=None) if item else ""
    boolean = as_bool(item)
    if boolean is not None:
        return boolean
    is_exact = type(item).__name__ in _EXACT_NUMBER_TYPES
    number = None if is_exact else as_number(item)
    if number is None:
        exact = "pass float(...) or its text" if is_exact else "leave out what is unset"
        advice = f"; it is flat: {exact}, and write nested things as text"
        raise checks.wrong_type(name, "text, a number or a bool", item, advice)
    if isinstance(number, float) and not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, not {number}")
    if isinstance(number, int) and not -(2**63) <= number < 2**64:
        raise ValueError(f"{name} must be an integer of at most 64 bits")
    return number


def idempotency_key(value: object) -> str | None:
    """Return the idempotency key to send: `value`, or a new random key for None, or None for False."""
    if value is None:
        return str(uuid.uuid4())
    if as_bool(value) is False:
        return None
    if not isinstance(value, str):
        raise checks.wrong_type("idempotency_key", "text, None (a fresh one) or False (none)", value)
    return checks.nonempty_text("idempotency_key", value)


def mime_type(value: object, file_name: str | None) -> str | None:
    """Return the MIME type to declare for a file that this program does not read.

    This is `value` if it is given. Otherwise it is the type that belongs to the extension of `file_name`, or
    None when there is no such type.
    """
    given = checks.printable_ascii("mime_type", value)
    if given is not None or file_name is None:
        return given
    known = mime_type_by_name(file_name)
    return None if known is None else known.value


def ids(name: str, values: object, *, spelling: str) -> list[str]:
    """Check a list of ids, and return the ids as text.

    `name` is the name of the argument. `spelling` is an example of a correct call. Both are for messages.
    """
    reject_mapping(values, spelling)
    if isinstance(values, str | bytes | uuid.UUID) or not isinstance(values, Iterable):
        raise checks.wrong_type(name, "a list of ids", values)
    checked: list[str] = []
    for position, value in enumerate(cast("Iterable[object]", values)):
        path_segment(f"{name}[{position}]", value)
        checked.append(as_str(value) if isinstance(value, str) else str(value))
    return checked


def rfc3339(name: str, value: object) -> str | None:
    """Convert a datetime to RFC 3339 text in UTC. Return None for None.

    Raises `ValueError` for a datetime without a timezone.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise checks.wrong_type(name, "a datetime with a timezone", value)
    if value.utcoffset() is None:
        raise ValueError(f"{name} has no timezone; add one, for example .replace(tzinfo=datetime.UTC)")
    try:
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        # In UTC, a time at the start of year 1 or at the end of year 9999 can be outside of these years.
        raise ValueError(f"{name} is outside the years 1 to 9999 in UTC") from None


def interval(value: object) -> str | None:
    """Check a metrics interval, and return it in upper case, which the API requires. Return None for None."""
    if value is None or isinstance(value, MetricsDatasetInterval):
        return value
    text = checks.text("interval", value, expected="text or MetricsDatasetInterval")
    name = text.upper()
    known = [member.value for member in MetricsDatasetInterval]
    if name not in known:
        raise checks.wrong_text("interval", f"one of {', '.join(known)}", text)
    return name


_HTTP_URL = re.compile(r"https?://[^/?#]", re.IGNORECASE)


def http_url(name: str, value: object) -> str:
    """Check that `value` is an absolute http(s) URL, and return it as text."""
    url = checks.nonempty_text(name, value, max_length=None)
    try:
        urlsplit(url)
    except ValueError:
        # `urlsplit` rejects brackets without an IPv6 address, and characters that Unicode normalizes to a
        # slash.
        raise ValueError(f"{name} is not a URL") from None
    if "://" not in url:
        raise ValueError(
            f"{name} must be an http(s) URL that the service can fetch, such as https://example.com/a.jpg; for a local file call "
            "images.upload(path)"
        )
    # The blank is the only white space that counts as printable.
    if not _HTTP_URL.match(url) or not url.isprintable() or " " in url:
        raise ValueError(f"{name} must be an http(s) URL without blanks or control characters")
    return url


# --- arguments of `client.request` --------------------------------------------------------------------------

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_DOT_SEGMENTS = re.compile(r"(?:^|/)(?:\.|%2e)(?:\.|%2e)?(?:/|$)", re.IGNORECASE)


def http_method(method: object) -> str:
    """Check that `method` is an HTTP method, and return it in upper case."""
    given = checks.text("method", method)
    name = given.upper()
    if name not in _METHODS:
        raise checks.wrong_text("method", "an HTTP method", given)
    return name


def api_path(path: object) -> str:
    """Check that `path` stays below `/api/v1`, and return it with braces encoded.

    Braces are encoded because the path becomes the template of a `Request`, in which braces mark names.
    """
    given = checks.text("path", path)
    if not given.startswith("/") or given.startswith("//"):
        raise ValueError(f"path must begin with exactly one '/', like '/images/': {quoted(given)}")
    if any(c in given for c in "\\?#:") or not checks.is_printable_ascii(given):
        raise ValueError(
            f"path must not hold \\ ? # : blanks, control or non-ASCII characters; pass params=: {quoted(given)}"
        )
    if _DOT_SEGMENTS.search(given):
        raise ValueError(f"path must not hold '.' or '..' as a part: {quoted(given)}")
    return given.replace("{", "%7B").replace("}", "%7D")


def query(params: object) -> dict[str, str | int] | None:
    """Check that `params` maps text to text or int, and return it as a dict. Return None for None."""
    if params is None:
        return None
    checked: dict[str, str | int] = {}
    for name, value in checks.mapping("params", params).items():
        if not isinstance(name, str) or not (isinstance(value, str) or as_int(value) is not None):
            raise TypeError(
                f"params must map text to text or int, not {type(name).__name__} to {type(value).__name__}"
            )
        key, label = (
            checks.nonempty_text("a name in params", name, max_length=None),
            f"params[{quoted(name)}]",
        )
        if isinstance(value, str):
            checked[key] = checks.nonempty_text(label, value, max_length=None) if value else ""
        else:
            checked[key] = checks.integer(label, value, minimum=-(2**63))
    return checked
