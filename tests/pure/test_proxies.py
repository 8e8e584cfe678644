"""Which proxy is used for a host, with which credentials, and the effect of `NO_PROXY`."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest

from imgwire_async.protocol.intermediaries import ProxyInUse
from imgwire_async.transport.no_proxy import bypasses, is_loopback, without_port
from imgwire_async.transport.proxies import PROXY_AUTHORIZATION, Proxies, proxy_options


def credentials(options: Any) -> bytes:
    scheme, _, pair = str.__str__(options["proxy_headers"][PROXY_AUTHORIZATION]).partition(" ")
    assert scheme == "Basic"
    return b64decode(pair, validate=True)


@pytest.mark.parametrize(
    ("user_info", "pair"),
    [
        ("user:pw", b"user:pw"),
        ("user:p%40w", b"user:p@w"),
        ("user:p@w", b"user:p@w"),
        ("user:a:b:c", b"user:a:b:c"),
        ("user:p%E2%82%AC", "user:p€".encode()),
        ("us%C3%A9r:pw", "usér:pw".encode()),
        ("user:%E4", b"user:\xe4"),
        ("user:100%25%zz", b"user:100%%zz"),
        ("user:", b"user:"),
        ("user", b"user:"),
        (":pw", b":pw"),
    ],
)
def test_user_and_password_of_a_proxy_are_decoded_for_the_header(user_info: str, pair: bytes) -> None:
    options = proxy_options(f"http://{user_info}@proxy.example:3128/")
    assert credentials(options) == pair
    assert options["proxy"] == "http://proxy.example:3128"


@pytest.mark.parametrize("url", ["http://proxy.example", "http://@proxy.example", "http://:@proxy.example"])
def test_a_proxy_without_user_info_gets_no_header(url: str) -> None:
    assert proxy_options(url) == {"proxy": "http://proxy.example"}


def test_no_repr_shows_the_credentials_of_a_proxy() -> None:
    options = proxy_options("http://user:pa55@proxy.example")
    assert "pa55" not in repr(options)
    assert "dXNlc" not in repr(options)


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("::1", "[::1]:8080"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]:8080"),
        ("[::1]", "[::1]"),
        ("[::1]:8080", "[::1]:8080"),
        ("[::1]:80", "[::1]"),
        ("0:0:0:0:0:0:0:1", "[::1]:8080"),
        ("::1", "[0:0::1]"),
        ("fd00::/8", "[fd00::5]:80"),
        ("fe80::1", "[fe80::1%25eth0]"),
        ("a.example, ::1 ,b.example", "[::1]:8080"),
        ("a.example ::1", "[::1]"),
        ("*", "[::1]"),
        ("*", "any.example:1"),
        ("x,*", "any.example:1"),
        ("example.com", "example.com"),
        ("example.com", "API.Example.COM:8080"),
        (".example.com", "example.com"),
        (".example.com", "api.example.com"),
        ("*.example.com", "api.example.com"),
        ("..example.com", "api.example.com"),
        ("example.com.", "api.example.com"),
        ("example.com", "api.example.com."),
        ("EXAMPLE.com", "example.com"),
        ("example.com:8080", "api.example.com:8080"),
        ("example.com:80", "example.com"),
        ("localhost,127.0.0.1", "127.0.0.1:5000"),
        ("10.0.0.0/8", "10.1.2.3"),
        ("127.0.0.1:5000", "127.0.0.1:5000"),
        ("10.0.0.0/8:8080", "10.1.2.3:8080"),
        ("[fd00::]/8", "[fd00::5]:80"),
        ("127.*", "127.0.0.1"),
        ("192.168.*", "192.168.3.4:8080"),
        ("192.168.*:8080", "192.168.3.4:8080"),
        ("10.*.7", "10.1.2.7"),
        ("api.*.example", "api.eu.example"),
    ],
)
def test_a_host_in_no_proxy_is_contacted_directly(no_proxy: str, host: str) -> None:
    assert bypasses(no_proxy, "http", host)


@pytest.mark.parametrize(
    ("no_proxy", "host"),
    [
        ("", "example.com"),
        (" , ", "example.com"),
        (".", "example.com"),
        ("::2", "[::1]:8080"),
        ("[::1]:81", "[::1]:8080"),
        ("example.com:81", "example.com"),
        ("ample.com", "example.com"),
        ("com.example", "example.com"),
        ("api.example.com", "example.com"),
        ("10.0.0.0/8", "11.1.2.3"),
        ("10.0.0.0/8", "ten.example"),
        ("0.0.1", "127.0.0.1"),
        ("127.*", "128.0.0.1"),
        ("192.168.*:8080", "192.168.3.4"),
        ("10.*", "110.1.2.3"),
        ("api.*.example", "www.eu.example"),
        ("::1/999", "[::1]"),
        ("[::1", "[::1]"),
        ("example.com:99999999", "example.com"),
    ],
)
def test_a_host_that_is_not_in_no_proxy_is_contacted_through_the_proxy(no_proxy: str, host: str) -> None:
    assert not bypasses(no_proxy, "http", host)


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:80", "localhost.", "app.localhost:3000", "127.0.0.1", "127.9.9.9:5000", "[::1]", "[::1]:80",
     "[::ffff:127.0.0.1]"],
)  # fmt: skip
def test_a_loopback_host_is_contacted_directly_unless_proxy_is_passed(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert is_loopback(host)
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example")
    assert Proxies(None, trust_env=True).for_origin("http", host) == {}
    assert Proxies("http://proxy.example", trust_env=True).for_origin("http", host)


@pytest.mark.parametrize(
    "host", ["localhost.example", "mylocalhost", "128.0.0.1", "[::2]", "127.example", "0.0.0.0", ""]
)
def test_a_host_that_only_looks_like_loopback_is_not_loopback(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("variable", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "Http_Proxy"])
def test_the_name_of_a_proxy_contains_its_environment_variable(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY", "no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "http://u:pa55@proxy.example:1")
    proxies = Proxies(None, trust_env=True)
    used = proxies.in_use("http", "api.example")
    assert str(used) == f"the proxy http://proxy.example:1 (from {variable})"
    assert used is not None
    assert used.has_credentials
    assert proxies.in_use("http", "localhost") is None
    passed = Proxies("http://proxy.example", trust_env=True).in_use("http", "api.example")
    assert str(passed) == "the proxy http://proxy.example (from proxy=)"


@pytest.mark.parametrize(
    ("challenge", "advice"),
    [
        ("Basic realm=x", "http://user:password@"),
        ("", "http://user:password@"),
        ("NTLM", "NTLM"),
        ("Negotiate", "Negotiate"),
    ],
)
def test_the_advice_for_status_407_depends_on_the_challenge(challenge: str, advice: str) -> None:
    assert advice in ProxyInUse("http://proxy.example", "HTTPS_PROXY").advice(407, challenge)


def test_the_proxy_of_the_environment_depends_on_the_scheme(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://u:p@one.example:1")
    monkeypatch.setenv("ALL_PROXY", "two.example:2")
    monkeypatch.setenv("no_proxy", "::1")
    proxies = Proxies(None, trust_env=True)
    assert proxies.for_origin("https", "api.example")["proxy"] == "http://one.example:1"
    assert proxies.for_origin("http", "api.example") == {"proxy": "http://two.example:2"}
    assert proxies.for_origin("https", "[::1]:8443") == {}
    assert Proxies(None, trust_env=False).for_origin("https", "api.example") == {}


@pytest.mark.parametrize(
    ("host", "listed"),
    [
        ("api.example:80", "api.example"),
        ("api.example", "api.example"),
        ("[fd00::5]:80", "[fd00::5]"),
        ("[fd00::5]", "[fd00::5]"),
    ],
)
def test_without_port_returns_a_host_as_no_proxy_lists_it(host: str, listed: str) -> None:
    assert without_port(host) == listed
    assert bypasses(without_port(host), "http", host)
