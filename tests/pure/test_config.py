"""The settings of a client: where they come from, and how they are checked."""

from __future__ import annotations

import functools
import math
import ssl
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async import AsyncImgwireClient, ConfigurationError, Hooks, RetryPolicy, Timeouts, checks
from imgwire_async.config import (
    DEFAULT_BASE_URL,
    Config,
    Options,
    configure,
    from_environment,
    masked_key,
)
from imgwire_async.settings import checked_key, proxy_url

KEY = "sk_live_0123456789abcdef"
ARGUMENTS: dict[str, Any] = {
    "environment_id": None,
    "base_url": None,
    "timeout": Timeouts(),
    "retries": RetryPolicy(),
    "max_connections": 100,
    "default_headers": None,
    "user_agent": None,
    "proxy": None,
    "ssl": None,
    "trust_env": True,
    "connector": None,
    "hooks": None,
}


def configured(api_key: Any = KEY, *, environ: dict[str, str] | None = None, **changes: Any) -> Config:
    return configure({"api_key": api_key, **ARGUMENTS, **changes}, from_environment(environ or {}))


async def coroutine_function(*_: object) -> str:
    return KEY


class AsyncCallable:
    async def __call__(self, *_: object) -> str:
        return KEY


# --- sources of settings ------------------------------------------------------------------------------------


def test_a_client_with_only_a_key_has_the_default_settings() -> None:
    config = configured()
    assert config == Config(api_key=KEY, base_url=DEFAULT_BASE_URL, options=Options())
    assert (config.max_connections, config.trust_env, config.secure, config.sends_key_in_clear) == (
        100,
        True,
        True,
        False,
    )
    assert config.options.timeout == Timeouts(connect=10.0, attempt=30.0, deadline=None, stall=60.0)
    assert config.options.retries == RetryPolicy(
        max_retries=3, backoff=0.25, max_backoff=8.0, max_retry_after=60.0, max_rate_wait=300.0
    )


ENVIRONMENT = {
    "IMGWIRE_API_KEY": "sk_from_environment",
    "IMGWIRE_ENVIRONMENT_ID": "env-from-environment",
    "IMGWIRE_API_BASE_URL": "https://environment.example",
}


def test_missing_arguments_come_from_the_environment() -> None:
    config = configured(None, environ=ENVIRONMENT)
    assert config.api_key == "sk_from_environment"
    assert config.options.environment_id == "env-from-environment"
    assert config.base_url == "https://environment.example"


def test_arguments_take_precedence_over_the_environment() -> None:
    config = configured(KEY, environ=ENVIRONMENT, environment_id="given", base_url="https://given.example")
    assert (config.api_key, config.options.environment_id, config.base_url) == (
        KEY,
        "given",
        "https://given.example",
    )


def test_empty_variables_are_ignored() -> None:
    config = configured(KEY, environ=dict.fromkeys(ENVIRONMENT, ""))
    assert (config.options.environment_id, config.base_url) == (None, DEFAULT_BASE_URL)


@pytest.mark.parametrize("environ", [{}, {"IMGWIRE_API_KEY": ""}])
def test_the_error_for_a_missing_key_names_the_argument_the_variable_and_the_emulator(
    environ: dict[str, str],
) -> None:
    with pytest.raises(ConfigurationError, match=r"api_key=.*IMGWIRE_API_KEY.*Emulator"):
        configured(None, environ=environ)


# --- keys ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [KEY, f"  {KEY}\n", f"\t{KEY}\r\n"])
def test_whitespace_around_a_key_is_stripped(given: str) -> None:
    assert configured(given).api_key == KEY


@pytest.mark.parametrize("key", ["", "  ", "\n"])
def test_the_error_for_an_empty_key_names_the_variable(key: str) -> None:
    with pytest.raises(ConfigurationError, match="IMGWIRE_API_KEY"):
        configured(key)


@pytest.mark.parametrize(
    "invalid", ["\n", "\r\nX-Evil: 1", "\0", "\x1b", "\x7f", " ", "\u00a0", "ä", "\u200b", "\ud800"]
)
def test_the_error_for_an_invalid_key_does_not_contain_it(invalid: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        configured(f"sk_secret{invalid}part")
    assert "secret" not in str(caught.value)
    assert "part" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("key", [5, b"sk_secret", ["sk_secret"], True])
def test_the_error_for_a_key_of_a_wrong_type_contains_only_the_type(key: Any) -> None:
    with pytest.raises(
        TypeError, match=f"api_key must be text or a callable.*{type(key).__name__}"
    ) as caught:
        configured(key)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "source", [lambda: KEY, coroutine_function, AsyncCallable(), functools.partial(str, KEY)]
)
def test_a_key_callable_is_not_called_by_the_constructor(source: Callable[[], Any]) -> None:
    assert configured(source).api_key is source


@pytest.mark.parametrize("result", [None, 5, b"sk_secret"])
def test_the_result_of_a_key_callable_is_checked(result: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"callable must return text, not {type(result).__name__}"):
        checked_key(result)


@pytest.mark.parametrize(
    ("key", "shown"),
    [(KEY, "sk_liv...cdef"), ("short", "********"), ("x" * 16, "********"), (lambda: KEY, "<callable>")],
)
def test_the_repr_of_a_key_is_masked(key: Any, shown: str) -> None:
    assert masked_key(key) == shown


def test_the_repr_of_the_settings_contains_no_secret() -> None:
    shown = repr(configured(KEY, proxy="http://user:pa55@proxy.example:3128"))
    assert KEY not in shown
    assert "pa55" not in shown


# --- base URLs ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "base"),
    [
        ("https://api.example", "https://api.example"),
        ("https://api.example/", "https://api.example"),
        ("https://api.example//", "https://api.example"),
        (" https://api.example\n", "https://api.example"),
        ("https://api.example/api/v1", "https://api.example"),
        ("https://api.example/api/v1/", "https://api.example"),
        ("https://api.example/proxy", "https://api.example/proxy"),
        ("https://api.example/proxy/api/v1/", "https://api.example/proxy"),
        ("https://api.example/api/v1/api/v1", "https://api.example/api/v1"),
        ("https://api.example/api/v2", "https://api.example/api/v2"),
        ("https://api.example/myapi/v1", "https://api.example/myapi/v1"),
        ("HTTPS://api.example", "https://api.example"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://[::1]:8080/x", "http://[::1]:8080/x"),
        ("http://localhost", "http://localhost"),
    ],
)
def test_a_base_url_is_an_origin_with_an_optional_path(given: str, base: str) -> None:
    assert configured(base_url=given).base_url == base


@pytest.mark.parametrize(
    "given",
    [
        "",
        " ",
        "api.example",
        "//api.example",
        "ftp://api.example",
        "file:///etc",
        "https://",
        "https:///path",
        "https://user@api.example",
        "https://user:pa55@api.example",
        "https://api.example?x=1",
        "https://api.example/#x",
        "https://api.example/a b",
        "https://api.example/\nx",
        "https://api.example:0",
        "https://api.example:99999",
        "https://api.example:port",
        "https://[::1",
        "http://evil[::1]:80/",
        "http://[::1]evil/",
        "http://[::1]evil:80/",
        "http://[1.2.3.4]/",
        "http://[api.example]/",
        "http://[v1.abc]/",
        "http://[:::]/",
        "http://[1:2]/",
        "http://1:2:3/",
        "https://api.exämple",
        "https://api.example\\@evil.example",
        "https://api.example/../admin",
    ],
)
def test_the_error_for_an_invalid_base_url_does_not_contain_it(given: str) -> None:
    with pytest.raises(ConfigurationError, match="base_url") as caught:
        configured(base_url=given)
    assert "pa55" not in str(caught.value)


def test_the_error_for_a_key_with_bearer_says_so() -> None:
    with pytest.raises(ConfigurationError, match="must not begin with Bearer") as caught:
        configured(f"Bearer {KEY}")
    assert KEY not in str(caught.value)


def test_the_error_for_an_empty_base_url_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"base_url \(or IMGWIRE_API_BASE_URL\) is empty"):
        configured(base_url=" ")


def test_the_error_for_a_base_url_without_a_scheme_says_so() -> None:
    with pytest.raises(ConfigurationError, match=r"no scheme \(https://"):
        configured(base_url="api.example")


def test_an_invalid_base_url_of_the_environment_is_rejected() -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        configured(environ={"IMGWIRE_API_BASE_URL": "api.example"})


@pytest.mark.parametrize(
    ("base_url", "is_secure", "in_clear"),
    [
        ("https://api.example", True, False),
        ("http://api.example", False, True),
        ("http://localhost:1", False, False),
        ("http://127.0.0.1", False, False),
        ("http://[::1]", False, False),
        ("http://localhost.example", False, True),
    ],
)
def test_a_key_is_sent_in_clear_only_by_plain_http_to_another_machine(
    base_url: str, is_secure: bool, in_clear: bool
) -> None:
    config = configured(base_url=base_url)
    assert (config.secure, config.sends_key_in_clear) == (is_secure, in_clear)


# --- the other settings -------------------------------------------------------------------------------------

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

VALID: list[tuple[str, Any, Callable[[Config], Any], Any]] = [
    ("environment_id", " abc ", lambda c: c.options.environment_id, "abc"),
    ("environment_id", uuid.UUID(int=1), lambda c: c.options.environment_id, str(uuid.UUID(int=1))),
    ("timeout", 5, lambda c: c.options.timeout, Timeouts(attempt=5.0)),
    ("timeout", 0.5, lambda c: c.options.timeout, Timeouts(attempt=0.5)),
    ("timeout", Timeouts(None, None, None, None), lambda c: c.options.timeout.stall, None),
    ("timeout", None, lambda c: c.options.timeout, Timeouts()),
    ("retries", 0, lambda c: c.options.retries, RetryPolicy(max_retries=0)),
    ("retries", RetryPolicy(backoff=0), lambda c: c.options.retries.backoff, 0),
    ("retries", None, lambda c: c.options.retries, RetryPolicy()),
    ("max_connections", 1, lambda c: c.max_connections, 1),
    (
        "default_headers",
        {"X-Team": "a b", "x-y": ""},
        lambda c: c.options.default_headers,
        (("X-Team", "a b"), ("x-y", "")),
    ),
    ("default_headers", {}, lambda c: c.options.default_headers, ()),
    ("user_agent", " app/1.0 (x) ", lambda c: c.user_agent, "app/1.0 (x)"),
    ("proxy", "http://proxy.example:3128", lambda c: c.proxy, "http://proxy.example:3128"),
    ("proxy", "proxy.example:3128", lambda c: c.proxy, "http://proxy.example:3128"),
    ("proxy", "https://user:pw@proxy.example", lambda c: c.proxy, "https://user:pw@proxy.example"),
    ("ssl", CONTEXT, lambda c: c.ssl, CONTEXT),
    ("ssl", "/etc/ca.pem", lambda c: c.ssl, "/etc/ca.pem"),
    ("ssl", Path("ca.pem"), lambda c: c.ssl, "ca.pem"),
    ("trust_env", False, lambda c: c.trust_env, False),
    ("connector", dict, lambda c: c.connector, dict),
    ("hooks", Hooks(on_retry=print), lambda c: c.options.hooks, Hooks(on_retry=print)),
    ("hooks", None, lambda c: c.options.hooks, Hooks()),
]


@pytest.mark.parametrize(("name", "value", "read", "expected"), VALID)
def test_a_valid_setting_is_accepted(
    name: str, value: Any, read: Callable[[Config], Any], expected: Any
) -> None:
    assert read(configured(**{name: value})) == expected


INVALID: list[tuple[str, Any, type[Exception]]] = [
    ("environment_id", "", ConfigurationError),
    ("environment_id", "a b", ConfigurationError),
    ("environment_id", "a\nX: y", ConfigurationError),
    ("environment_id", "ä", ConfigurationError),
    ("environment_id", 5, TypeError),
    ("environment_id", b"abc", TypeError),
    ("base_url", 5, TypeError),
    ("base_url", b"https://api.example", TypeError),
    ("timeout", 0, ValueError),
    ("timeout", -1, ValueError),
    ("timeout", math.nan, ValueError),
    ("timeout", "5", TypeError),
    ("timeout", True, TypeError),
    ("timeout", (1, 2), TypeError),
    ("retries", -1, ValueError),
    ("retries", 1.5, TypeError),
    ("retries", True, TypeError),
    ("retries", "3", TypeError),
    ("max_connections", 0, ValueError),
    ("max_connections", -5, ValueError),
    ("max_connections", 1.0, TypeError),
    ("max_connections", True, TypeError),
    ("max_connections", None, TypeError),
    ("default_headers", [("A", "b")], TypeError),
    ("default_headers", {"A": 5}, TypeError),
    ("default_headers", {5: "a"}, TypeError),
    ("default_headers", {"A": None}, TypeError),
    ("default_headers", {"": "a"}, ConfigurationError),
    ("default_headers", {"A B": "a"}, ConfigurationError),
    ("default_headers", {"A:": "a"}, ConfigurationError),
    ("default_headers", {"A(": "a"}, ConfigurationError),
    ("default_headers", {"Ä": "a"}, ConfigurationError),
    ("default_headers", {"A": "a\r\nB: c"}, ConfigurationError),
    ("default_headers", {"A": "a\0"}, ConfigurationError),
    ("default_headers", {"Authorization": "Bearer x"}, ConfigurationError),
    ("default_headers", {"AUTHORIZATION": "Bearer x"}, ConfigurationError),
    ("default_headers", {"Proxy-Authorization": "Basic x"}, ConfigurationError),
    ("default_headers", {"host": "evil.example"}, ConfigurationError),
    ("default_headers", {"Cookie": "a=b"}, ConfigurationError),
    ("default_headers", {"Content-Length": "5"}, ConfigurationError),
    ("default_headers", {"Transfer-Encoding": "chunked"}, ConfigurationError),
    ("user_agent", "", ConfigurationError),
    ("user_agent", "a\nb", ConfigurationError),
    ("user_agent", "ä", ConfigurationError),
    ("user_agent", 5, TypeError),
    ("proxy", "", ConfigurationError),
    ("proxy", "socks5://proxy.example", ConfigurationError),
    ("proxy", "http://", ConfigurationError),
    ("proxy", "http://proxy.example:0", ConfigurationError),
    ("proxy", "http://proxy.example:99999", ConfigurationError),
    ("proxy", "http://proxy.example/\n", ConfigurationError),
    ("proxy", "http://evil[::1]:80/", ConfigurationError),
    ("proxy", "http://[1:2]/", ConfigurationError),
    ("proxy", "http://us%3Aer:pa55@proxy.example", ConfigurationError),
    ("proxy", "http://user:pa%0A55@proxy.example", ConfigurationError),
    ("proxy", "http://user:pa%7f55@proxy.example", ConfigurationError),
    ("proxy", "http://user:pa55€@proxy.example", ConfigurationError),
    ("proxy", "http://user:pa55\n@proxy.example", ConfigurationError),
    ("proxy", "http://user:pa 55@proxy.example", ConfigurationError),
    ("proxy", 5, TypeError),
    ("ssl", True, TypeError),
    ("ssl", False, TypeError),
    ("ssl", 5, TypeError),
    ("trust_env", 1, TypeError),
    ("trust_env", None, TypeError),
    ("connector", object(), TypeError),
    ("connector", coroutine_function, TypeError),
    ("hooks", print, TypeError),
    ("hooks", {"on_request": print}, TypeError),
]


@pytest.mark.parametrize(("name", "value", "error"), INVALID)
def test_the_error_for_an_invalid_setting_names_it(name: str, value: Any, error: type[Exception]) -> None:
    pattern = {"timeout": "timeout", "retries": "retries|max_retries"}.get(name, name)
    with pytest.raises(error, match=pattern) as caught:
        configured(**{name: value})
    assert not isinstance(caught.value, TypeError) or ", not " in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "socks5://user:pa55@proxy.example",
        "http://us%3Aer:pa55@proxy.example",
        "http://user:pa55\u20ac@proxy.example",
        "http://user:pa55@[proxy",
        # urllib rejects this character with an error that contains the URL.
        "http://user:pa55@proxy.example\u2100",
    ],
)
def test_the_error_for_an_invalid_proxy_does_not_contain_its_password(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        proxy_url(url, "proxy")
    assert "pa55" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("delimiter", "/#?")
def test_the_error_for_a_proxy_password_with_an_unescaped_delimiter_says_how_to_escape_it(
    delimiter: str,
) -> None:
    with pytest.raises(ConfigurationError, match="%23") as caught:
        proxy_url(f"http://user:pa55{delimiter}x@proxy.example:8080", "proxy")
    assert "pa55" not in str(caught.value)


@pytest.mark.parametrize("cls", [Timeouts, RetryPolicy])
@pytest.mark.parametrize("value", [-1, math.nan, "1", True, [1]])
def test_the_error_for_an_invalid_number_of_a_policy_names_it(cls: type[Any], value: Any) -> None:
    for field in attrs.fields(cls):
        with pytest.raises((TypeError, ValueError), match=rf"{cls.__name__}\.{field.name} must be"):
            cls(**{field.name: value})


@pytest.mark.parametrize("field", attrs.fields(Timeouts), ids=lambda field: field.name)
def test_a_timeout_is_more_than_zero_or_none(field: Any) -> None:
    assert getattr(Timeouts(**{field.name: None}), field.name) is None
    assert getattr(Timeouts(**{field.name: math.inf}), field.name) is None
    with pytest.raises(ValueError, match="more than 0"):
        Timeouts(**{field.name: 0})


@pytest.mark.parametrize("value", [1.5, "64 MiB", True])
def test_a_number_of_bytes_has_to_be_an_int(value: Any) -> None:
    assert Timeouts(max_response_bytes=1).max_response_bytes == 1
    with pytest.raises(TypeError, match=r"Timeouts\.max_response_bytes must be a number of bytes"):
        Timeouts(max_response_bytes=value)


@pytest.mark.parametrize("field", attrs.fields(RetryPolicy), ids=lambda field: field.name)
def test_a_number_of_the_retry_policy_may_be_zero_but_not_none(field: Any) -> None:
    assert getattr(RetryPolicy(**{field.name: 0}), field.name) == 0
    with pytest.raises(TypeError):
        RetryPolicy(**{field.name: None})


@pytest.mark.parametrize("name", ["on_request", "on_response", "on_retry"])
@pytest.mark.parametrize(
    "value", [5, "print", coroutine_function, AsyncCallable(), functools.partial(coroutine_function, 1)]
)
def test_a_hook_has_to_be_a_plain_function(name: str, value: Any) -> None:
    with pytest.raises(TypeError, match=rf"Hooks\.{name}"):
        Hooks(**{name: value})
    assert getattr(Hooks(**{name: print}), name) is print


@pytest.mark.parametrize(
    "value", [Timeouts(), RetryPolicy(), Hooks(), configured()], ids=lambda value: type(value).__name__
)
def test_settings_are_frozen(value: Any) -> None:
    name = attrs.fields(type(value))[0].name
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        setattr(value, name, None)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (coroutine_function, True),
        (AsyncCallable(), True),
        (functools.partial(functools.partial(coroutine_function, 1), 2), True),
        (AsyncCallable().__call__, True),
        (print, False),
        (lambda: None, False),
        (AsyncCallable, False),
        (functools.partial(print, 1), False),
        (5, False),
    ],
)
def test_wrapped_coroutine_functions_are_recognized(value: Any, expected: bool) -> None:
    assert checks.is_coroutine_callable(value) is expected


def test_a_callable_may_be_none() -> None:
    checks.plain_callable("on_update", None)
    checks.plain_callable("on_update", print)


# --- options for a call -------------------------------------------------------------------------------------

OPTIONS = Options(
    timeout=Timeouts(attempt=5),
    retries=RetryPolicy(max_retries=1),
    default_headers=(("A", "b"),),
    environment_id="env",
    hooks=Hooks(on_retry=print),
)


def test_options_that_are_not_passed_are_inherited() -> None:
    assert OPTIONS.with_changes({}) == OPTIONS
    assert OPTIONS.with_changes({"timeout": 2}) == attrs.evolve(OPTIONS, timeout=Timeouts(attempt=2.0))


@pytest.mark.parametrize("field", attrs.fields(Options), ids=lambda field: field.name)
def test_the_option_none_means_the_default_of_the_library(field: Any) -> None:
    assert getattr(OPTIONS.with_changes({field.name: None}), field.name) == getattr(Options(), field.name)


def test_new_default_headers_replace_the_inherited_ones() -> None:
    assert OPTIONS.with_changes({"default_headers": {"C": "d"}}).default_headers == (("C", "d"),)


@pytest.mark.parametrize("name", ["api_key", "base_url", "max_connections", "proxy", "timeouts"])
def test_an_unknown_option_is_a_type_error_that_names_it(name: str) -> None:
    with pytest.raises(
        TypeError, match=rf"timeout, retries, default_headers, environment_id, hooks, not {name}"
    ):
        OPTIONS.with_changes({name: 5})


@pytest.mark.parametrize("name", ["api_key", "base_url", "proxy", "environment_id", "user_agent"])
@settings(max_examples=examples(50))
@given(text=st.text())
def test_any_text_is_accepted_or_rejected_as_a_setting(name: str, text: str) -> None:
    try:
        configured(**{name: text})
    except ConfigurationError as error:
        message = str(error)
    else:
        return
    assert len(text) < 12 or text not in message


# --- values that other libraries cannot handle --------------------------------------------------------------


@pytest.mark.parametrize("host", ["a<b", "a|b", "a`b", 'a"b', "xn--", "xn--a", "xn----", "a,b", "a;b"])
def test_a_host_that_the_http_library_cannot_handle_is_rejected_by_the_constructor(host: str) -> None:
    for setting in ("base_url", "proxy"):
        with pytest.raises(ConfigurationError, match=setting):
            AsyncImgwireClient("sk_x", **{setting: f"https://{host}.example/"})


@pytest.mark.parametrize(
    "host", ["a_b.example", "xn--bcher-kva.example", "[::1]", "[fe80::1%25eth0]", "127.0.0.1", "a.example."]
)
def test_a_valid_host_is_accepted(host: str) -> None:
    assert host in repr(AsyncImgwireClient("sk_x", base_url=f"https://{host}/"))


@pytest.mark.parametrize(
    "make",
    [lambda n: Timeouts(attempt=n), lambda n: RetryPolicy(backoff=n), lambda n: RetryPolicy(max_retries=n)],
)
def test_a_number_that_does_not_fit_a_float_is_a_value_error(make: Any) -> None:
    for number in (10**400, 10**5000, -(10**5000)):
        with pytest.raises(ValueError, match="bits"):
            make(number)


@pytest.mark.parametrize("path", ["a\0b", "a\ud800"])
def test_an_impossible_path_of_a_ca_bundle_is_rejected_by_the_constructor(path: str) -> None:
    with pytest.raises(ValueError, match="ssl"):
        AsyncImgwireClient("sk_x", ssl=path)
