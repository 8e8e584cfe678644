"""Pictures at URLs, and their keys in the journal."""

from __future__ import annotations

import hashlib

import pytest
from drawing import examples
from hypothesis import given, settings
from hypothesis import strategies as st

from imgwire_async.batch.items import RemoteFile
from imgwire_async.batch.keys import url_key
from imgwire_async.uploads.source import UploadSource

PART = st.text("abcXYZ019-._~", min_size=1, max_size=12)


@pytest.mark.parametrize(
    ("url", "label", "name"),
    [
        ("https://example.com/a/b.jpg", "https://example.com/a/b.jpg", "b.jpg"),
        ("https://me:pass@example.com/b.jpg?sig=1#top", "https://example.com/b.jpg", "b.jpg"),
        ("http://example.com", "http://example.com", None),
        ("http://example.com:8080?a@b/c", "http://example.com:8080", None),
        ("https://example.com/@me/b.jpg", "https://example.com/@me/b.jpg", "b.jpg"),
        ("https://u@[::1]:8000/x?://y", "https://[::1]:8000/x", "x"),
    ],
)
def test_the_label_of_a_remote_file_has_neither_user_info_nor_query(
    url: str, label: str, name: str | None
) -> None:
    file = RemoteFile(url)
    assert (file.label, file.name) == (label, name)
    assert repr(file) == f"RemoteFile('{label}')"


@given(PART, PART, PART, PART)
@settings(max_examples=examples(100))
def test_the_key_of_a_url_tells_queries_apart_without_showing_them(
    user: str, path: str, query: str, other: str
) -> None:
    key = url_key(f"https://{user}:pw@host.example/{path}?k={query}#x")
    digits = hashlib.sha256(f"k={query}".encode()).hexdigest()[:12]
    assert key == f"https://host.example/{path}?{digits}"
    assert (key == url_key(f"https://host.example/{path}?k={other}")) == (query == other)


def test_the_key_of_a_url_without_query_is_the_url() -> None:
    assert url_key("https://example.com/a.jpg") == "https://example.com/a.jpg"
    assert url_key("https://example.com/a.jpg?#part") == "https://example.com/a.jpg"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "photos/a.jpg",
        "//example.com/secret.jpg",
        "ftp://example.com/secret.jpg",
        "https:///secret.jpg",
        "https://:80/secret.jpg",
        "https://me:secret/@example.com/a.jpg",
        "https://me:secret#@example.com/a.jpg",
        "https://example.com:99999/secret.jpg",
        "https://example.com/secret a.jpg",
        "https://example.com/secret\n.jpg",
        "https://[secret/a.jpg",
    ],
)
def test_a_url_that_is_no_absolute_http_url_is_rejected_without_being_shown(url: str) -> None:
    with pytest.raises(ValueError, match="url") as raised:
        RemoteFile(url)
    assert "secret" not in str(raised.value)


def test_a_url_that_is_not_text_is_rejected() -> None:
    with pytest.raises(TypeError, match="url must be"):
        RemoteFile(b"https://example.com/a.jpg")  # type: ignore[arg-type]  # the wrong type


def test_only_the_service_reads_a_remote_file() -> None:
    file = RemoteFile("https://example.com/a.jpg")
    assert isinstance(file, UploadSource)
    with pytest.raises(TypeError, match="only the service can fetch"):
        file.open()
