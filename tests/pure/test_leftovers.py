"""What shells, templates and other libraries' numbers leave in settings: refused with the way out, or taken for what it is."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, ConfigurationError, ImgwireClient, RetryPolicy, Timeouts
from imgwire_async.coercion import as_int, as_number
from imgwire_async.settings import checked_key
from imgwire_async.shell_syntax import find_shell_syntax

SECRET = "sk_0123456789abcdef"

LEFT = [
    (f'"{SECRET}"', "quotes"),
    (f"'{SECRET}'", "quotes"),
    (f"{SECRET}'", "quotes"),
    (f"\u201c{SECRET}\u201d", "quotes"),
    ("${IMGWIRE_API_KEY}", "placeholder"),
    ("$IMGWIRE_API_KEY", "placeholder"),
    ("%IMGWIRE_API_KEY%", "placeholder"),
    ("{{ secrets.IMGWIRE_API_KEY }}", "placeholder"),
    ("<your key>", "placeholder"),
    ("$(cat key)", "placeholder"),
    (f"IMGWIRE_API_KEY={SECRET}", "NAME=value"),
    (f"export IMGWIRE_API_KEY={SECRET}", "NAME=value"),
    (f'{{"api_key": "{SECRET}"}}', "JSON"),
    (f"Bearer {SECRET}", "Bearer"),
    (f"bearer {SECRET}", "Bearer"),
    (f"{SECRET[:8]} {SECRET[8:]}", "whitespace"),
    (f"{SECRET[:8]}\n{SECRET[8:]}", "whitespace"),
]


@pytest.mark.parametrize(("key", "word"), LEFT)
@pytest.mark.parametrize("client", [AsyncImgwireClient, ImgwireClient])
def test_a_key_with_what_a_shell_left_in_it_is_refused_at_construction(
    client: Any, key: str, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGWIRE_API_KEY", key)
    for given in ((key,), ()):
        with pytest.raises(ConfigurationError, match=word) as caught:
            client(*given)
        assert SECRET[3:] not in str(caught.value)


@pytest.mark.parametrize(("key", "word"), LEFT)
def test_a_key_of_a_callable_is_refused_at_use(key: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word) as caught:
        checked_key(key)
    assert SECRET[3:] not in str(caught.value)


@pytest.mark.parametrize("key", [SECRET, "QUJDREVGRw==", "abc.def-ghi_jkl~+/", "sk_live_$5", "a=", "x%41y"])
def test_other_keys_are_taken(key: str) -> None:
    assert find_shell_syntax(key) is None
    AsyncImgwireClient(key)


@pytest.mark.parametrize(
    ("setting", "value", "word"),
    [
        ("base_url", '"https://api.example"', "quotes"),
        ("base_url", "${API}", "placeholder"),
        ("base_url", "API=https://api.example", "NAME=value"),
        ("environment_id", "'3f1c0a52-0000-4000-8000-000000000000'", "quotes"),
        ("environment_id", "${ENVIRONMENT}", "placeholder"),
        ("proxy", '"http://proxy.example:1"', "quotes"),
        ("proxy", "${PROXY}", "placeholder"),
    ],
)
def test_other_settings_say_it_too(setting: str, value: str, word: str) -> None:
    with pytest.raises(ConfigurationError, match=word) as caught:
        AsyncImgwireClient(SECRET, **{setting: value})  # type: ignore[arg-type]  # text, as all of them take
    assert setting in str(caught.value)


# --- numbers of other libraries -------------------------------------------------------------------------------------------


class Whole:
    """As numpy's integers are: no `int`, but an index."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Real:
    """As numpy's float32 is: no `float`, but convertible."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class Several:
    """As an array of several numbers is."""

    def __index__(self) -> int:
        raise TypeError("only integer scalar arrays can be converted to a scalar index")

    def __float__(self) -> float:
        raise TypeError("only length-1 arrays can be converted to Python scalars")


def test_numbers_of_other_libraries_are_settings() -> None:
    whole: Any = Whole(7)
    real: Any = Real(2.5)
    assert Timeouts(connect=real, attempt=whole, max_answer_bytes=whole) == Timeouts(
        2.5, 7, max_answer_bytes=7
    )
    assert RetryPolicy(max_retries=whole, backoff=real) == RetryPolicy(7, 2.5)
    assert type(RetryPolicy(max_retries=whole).max_retries) is int
    assert Timeouts(attempt=Decimal("1.5")).attempt == 1.5  # type: ignore[arg-type]  # takes floats, bears these
    AsyncImgwireClient(SECRET, timeout=real, retries=whole, max_connections=whole)


@pytest.mark.parametrize("value", [Several(), "5", True, [5], 1j])
def test_what_is_no_number_is_refused_by_the_name_of_its_type(value: Any) -> None:
    assert as_int(value) is None
    assert as_number(value) is None
    for make in (
        lambda: Timeouts(attempt=value),
        lambda: RetryPolicy(max_retries=value),
        lambda: AsyncImgwireClient(SECRET, max_connections=value),
        lambda: AsyncImgwireClient(SECRET, timeout=value),
    ):
        with pytest.raises(TypeError, match=f"not {type(value).__name__}"):
            make()


def test_a_float_is_no_count() -> None:
    with pytest.raises(TypeError, match="not float"):
        RetryPolicy(max_retries=2.0)  # type: ignore[arg-type]  # what is tried
    with pytest.raises(TypeError, match="not Real"):
        AsyncImgwireClient(SECRET, max_connections=Real(2))  # type: ignore[arg-type]  # what is tried
