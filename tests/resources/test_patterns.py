"""A CORS pattern that is not just a host is sent unchanged, with a warning that shows the right form."""

from __future__ import annotations

import pytest
from recording import Api
from samples import data

from imgwire_async import CorsOrigin
from imgwire_async.resources.cors_origins import _advice  # pyright: ignore[reportPrivateUsage]  # pure


@pytest.mark.parametrize(
    ("pattern", "right"),
    [
        ("https://app.example.com", "'app.example.com'"),
        ("HTTPS://app.example.com/", "'app.example.com'"),
        ("https://*.example.com", "'*.example.com'"),
        ("http://localhost:3000", "'localhost:3000'"),
        ("https://app.example.com:443", "'app.example.com'"),
        ("http://app.example.com:443", "'app.example.com:443'"),
        ("app.example.com/upload", "'app.example.com'"),
        ("app.example.com?x=1", "'app.example.com'"),
        (" app.example.com", "'app.example.com'"),
        ("app.example.com www.example.com", "one host per pattern"),
        ("https://a.example, https://b.example", "'a.example'"),
        ("a.example.com,b.example.com", "one host per pattern"),
        (".example.com", "'*.example.com'"),
        ("*example.com", "*.example.com"),
        ("app.*.example.com", "*.example.com"),
        ("*.*.example.com", "*.example.com"),
        ("*", "*.example.com"),
        ("https://*", "*.example.com"),
        ("/", "*.example.com"),
    ],
)
def test_the_warning_shows_the_right_form_of_a_pattern(pattern: str, right: str) -> None:
    advice = _advice(pattern)
    assert advice is not None
    assert right in advice


@pytest.mark.parametrize(
    "pattern",
    ["app.example.com", "*.example.com", "localhost:3000", "localhost", "[::1]:3000", "App.Example.com"],
)
def test_a_host_causes_no_warning(pattern: str) -> None:
    assert _advice(pattern) is None


async def test_an_odd_pattern_is_sent_unchanged_and_warned_of_at_the_callers_line() -> None:
    api = Api(*[data(CorsOrigin)] * 3)
    with pytest.warns(UserWarning, match=r"write 'app\.example\.com'") as caught:
        await api.cors_origins.create("https://app.example.com/")
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match=r"write '\*\.example\.com'"):
        await api.cors_origins.update("a", "https://*.example.com")
    await api.cors_origins.create("*.example.com")
    patterns = [request.json["pattern"] for request in api.sent.requests]
    assert patterns == ["https://app.example.com/", "https://*.example.com", "*.example.com"]


async def test_the_warning_shortens_a_long_pattern() -> None:
    for pattern in ("https://a.example/" + "x" * 5000, "https://" + "x" * 5000, "x" * 5000 + " "):
        with pytest.warns(UserWarning, match="is not a host alone") as caught:
            await Api(data(CorsOrigin)).cors_origins.create(pattern)
        assert "x" * 81 not in str(caught[0].message)
        assert len(str(caught[0].message)) < 400


async def test_the_warning_keeps_letters_of_other_alphabets() -> None:
    with pytest.warns(UserWarning, match="write 'bücher.example'"):
        await Api(data(CorsOrigin)).cors_origins.create("https://bücher.example/")
