"""Shell syntax in settings is rejected with advice, and numbers of other libraries are accepted."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, ConfigurationError, ImgwireClient, RetryPolicy, Timeouts
from imgwire_async.coercion import as_int, as_number
from imgwire_async.settings import checked_key
from imgwire_async.shell_syntax import find_shell_syntax

SECRET = "sk_0123456789abcdef"

KEYS = [
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


@pytest.mark.parametrize(("key", "message"), KEYS)
@pytest.mark.parametrize("client", [AsyncImgwireClient, ImgwireClient])
def test_a_key_with_shell_syntax_is_rejected_by_the_constructor(
    client: Any, key: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IMGWIRE_API_KEY", key)
    for arguments in ((key,), ()):
        with pytest.raises(ConfigurationError, match=message) as caught:
            client(*arguments)
        assert SECRET[3:] not in str(caught.value)


@pytest.mark.parametrize(("key", "message"), KEYS)
def test_a_key_with_shell_syntax_from_a_callable_is_rejected(key: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        checked_key(key)
    assert SECRET[3:] not in str(caught.value)


@pytest.mark.parametrize("key", [SECRET, "QUJDREVGRw==", "abc.def-ghi_jkl~+/", "sk_live_$5", "a=", "x%41y"])
def test_keys_with_similar_characters_are_accepted(key: str) -> None:
    assert find_shell_syntax(key) is None
    AsyncImgwireClient(key)


@pytest.mark.parametrize(
    ("setting", "value", "message"),
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
def test_other_settings_with_shell_syntax_are_rejected(setting: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        AsyncImgwireClient(SECRET, **{setting: value})  # type: ignore[arg-type]  # text for any of them
    assert setting in str(caught.value)


# --- numbers of other libraries -----------------------------------------------------------------------------


class IntLike:
    """Like an integer of NumPy: not an `int`, but it has `__index__`."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class FloatLike:
    """Like `numpy.float32`: not a `float`, but it has `__float__`."""

    def __init__(self, value: float) -> None:
        self.value = value

    def __float__(self) -> float:
        return self.value


class ArrayLike:
    """Like an array of several numbers: its methods raise."""

    def __index__(self) -> int:
        raise TypeError("only integer scalar arrays can be converted to a scalar index")

    def __float__(self) -> float:
        raise TypeError("only length-1 arrays can be converted to Python scalars")


def test_settings_accept_numbers_of_other_libraries() -> None:
    int_like: Any = IntLike(7)
    float_like: Any = FloatLike(2.5)
    assert Timeouts(connect=float_like, attempt=int_like, max_response_bytes=int_like) == Timeouts(
        2.5, 7, max_response_bytes=7
    )
    assert RetryPolicy(max_retries=int_like, backoff=float_like) == RetryPolicy(7, 2.5)
    assert type(RetryPolicy(max_retries=int_like).max_retries) is int
    assert Timeouts(attempt=Decimal("1.5")).attempt == 1.5  # type: ignore[arg-type]  # a Decimal is converted
    AsyncImgwireClient(SECRET, timeout=float_like, retries=int_like, max_connections=int_like)


@pytest.mark.parametrize("value", [ArrayLike(), "5", True, [5], 1j])
def test_the_error_for_a_value_that_is_not_a_number_names_its_type(value: Any) -> None:
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


def test_a_float_is_rejected_as_a_count() -> None:
    with pytest.raises(TypeError, match="not float"):
        RetryPolicy(max_retries=2.0)  # type: ignore[arg-type]  # wrong on purpose
    with pytest.raises(TypeError, match="not FloatLike"):
        AsyncImgwireClient(SECRET, max_connections=FloatLike(2))  # type: ignore[arg-type]  # wrong on purpose
