"""The client without a call: what it shows, how it refuses, what its clones share."""

from __future__ import annotations

import copy
import gc
import logging
import pickle
import subprocess
import sys
import weakref
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, ConfigurationError, Hooks, ImgwireClient, RetryPolicy, Timeouts

KEY = "sk_live_0123456789abcdef"


def test_a_client_reads_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IMGWIRE_API_KEY", KEY)
    monkeypatch.setenv("IMGWIRE_API_BASE_URL", "https://api.example/prefix/api/v1/")
    assert repr(AsyncImgwireClient()) == "<AsyncImgwireClient https://api.example/prefix key sk_liv...cdef>"


def test_without_a_key_there_is_no_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGWIRE_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="IMGWIRE_API_KEY"):
        AsyncImgwireClient()


def test_the_key_stands_nowhere_in_what_a_client_shows() -> None:
    client = AsyncImgwireClient(KEY)
    clone = client.with_options(timeout=5)
    assert KEY not in f"{client!r} {client} {clone!r} {vars(client)} {client.images!r}"


def test_a_client_does_not_travel() -> None:
    with pytest.raises(TypeError, match="key callable"):
        pickle.dumps(AsyncImgwireClient(KEY))


@pytest.mark.parametrize("kind", [AsyncImgwireClient, ImgwireClient])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_client_is_shared_and_not_copied(kind: Any, duplicate: Any) -> None:
    client = kind(KEY)
    for each in (client, client.with_options(retries=0)):
        with pytest.raises(TypeError, match=f"{kind.__name__} cannot be copied: share it"):
            duplicate(each)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
@pytest.mark.parametrize("kind", [AsyncImgwireClient, ImgwireClient])
def test_a_dropped_client_waits_for_no_collector(kind: Any) -> None:
    client = kind(KEY)
    client._enter()
    kept = [weakref.ref(thing) for thing in (client, client.images, client._shared, client._shared.sessions)]
    gc.disable()
    try:
        del client
        assert [ref() for ref in kept] == [None] * len(kept)
    finally:
        gc.enable()


async def test_closing_is_idempotent_and_final() -> None:
    client = AsyncImgwireClient(KEY)
    assert not client.closed
    await client.aclose()
    await client.aclose()
    assert client.closed
    assert repr(client).endswith("closed>")
    with pytest.raises(RuntimeError, match="client is closed"):
        await client.images.retrieve("x")
    with pytest.raises(RuntimeError, match="client is closed"):
        async with client:
            raise AssertionError("reopened")


async def test_closing_a_clone_does_nothing_and_closing_the_first_closes_all() -> None:
    client = AsyncImgwireClient(KEY)
    clone = client.with_options(retries=0)
    await clone.aclose()
    assert not client.closed
    await client.aclose()
    assert clone.closed
    with pytest.raises(RuntimeError, match="client is closed"):
        await clone.images.retrieve("x")


def test_a_clone_is_of_the_same_kind_with_its_own_resources() -> None:
    client = AsyncImgwireClient(KEY, timeout=Timeouts(deadline=3), retries=RetryPolicy(max_retries=7))
    clone = client.with_options(timeout=None, hooks=Hooks())
    assert type(clone) is AsyncImgwireClient
    assert clone.images is not client.images


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"max_connections": 5}, TypeError),
        ({"timeout": "5"}, TypeError),
        ({"timeout": 0}, ValueError),
        ({"retries": -1}, ValueError),
        ({"default_headers": {"Host": "x"}}, ConfigurationError),
    ],
)
def test_wrong_options_are_refused_at_once(changes: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        AsyncImgwireClient(KEY).with_options(**changes)


def test_plain_http_off_this_machine_is_warned_about_without_the_key(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "imgwire_async"):
        AsyncImgwireClient(KEY, base_url="http://api.example")
        AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1")
        AsyncImgwireClient(KEY)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "http://api.example" in caplog.text
    assert KEY not in caplog.text


@pytest.mark.parametrize(("level", "handlers"), [(" debug ", 2), ("loud", 1)])
def test_the_log_is_shown_where_the_environment_asks_for_it(level: str, handlers: int) -> None:
    script = (
        "import logging, imgwire_async\n"
        "for _ in range(3): imgwire_async.AsyncImgwireClient('sk_x')\n"
        "print(len(logging.getLogger('imgwire_async').handlers))"
    )
    answer = subprocess.run(
        [sys.executable, "-c", script], env={"IMGWIRE_LOG": level}, capture_output=True, text=True, check=True
    )
    assert (answer.stdout.strip(), answer.stderr) == (str(handlers), "")


@pytest.mark.slow
def test_the_log_that_the_environment_asks_for_prints_each_line_once() -> None:
    """Whether the application sets its own logging up before the first client, after it, to a file, or not at all."""
    script = (
        "import logging, os, sys, imgwire_async\n"
        "own = logging.getLogger('imgwire_async')\n"
        "def client(): imgwire_async.AsyncImgwireClient('sk_x')\n"
        "def forget():\n"
        "    for logger in (own, logging.getLogger()):\n"
        "        for handler in logger.handlers[:]: logger.removeHandler(handler)\n"
        "client(); own.debug('line: alone')\n"
        "logging.basicConfig(); own.debug('line: after')\n"
        "forget(); logging.basicConfig(); client(); own.debug('line: before')\n"
        "forget(); logging.basicConfig(stream=sys.stdout); client(); own.debug('line: elsewhere')\n"
        "forget(); logging.basicConfig(filename=os.devnull); client(); own.debug('line: file')\n"
        "forget(); logging.basicConfig(); logging.root.handlers[0].setLevel('ERROR'); client(); own.debug('line: deaf')\n"
        "seen = set()\n"
        "def once(record): return not (record.msg in seen or seen.add(record.msg))\n"
        "forget(); logging.basicConfig(stream=sys.stdout)\n"
        "logging.root.handlers[0].addFilter(once); client(); own.debug('line: filtered')\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script],
        env={"IMGWIRE_LOG": "debug"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout
    for name in ("alone", "after", "before", "elsewhere", "file", "deaf"):
        assert told.count(f"line: {name}") == 1, told
    assert told.count("line: filtered") == 2, (
        "twice rather than never: a filter that drops repeated lines may not be asked"
    )


def test_nothing_is_printed_where_nobody_asked_for_a_log() -> None:
    script = (
        "import asyncio, imgwire_async\n"
        "async def main():\n"
        "    async with imgwire_async.AsyncImgwireClient('sk_x', base_url='http://nowhere.invalid', retries=0) as client:\n"
        "        await client.images.list()\n"
        "try: asyncio.run(main())\n"
        "except imgwire_async.APIConnectionError: print('told')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env={}, capture_output=True, text=True, check=True
    )
    assert (answer.stdout, answer.stderr) == (
        "told\n",
        "",
    )  # although it warned of plain http and of the failure


# --- requests of the caller's own -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "",
        "images/",
        "//evil.example/images",
        "https://evil.example/",
        "/https://evil.example",
        "/images/../admin",
        "/..",
        "/images/.",
        "/./images",
        "/%2e%2e/admin",
        "/images/%2E./x",
        "/.%2e",
        "/images\\..",
        "/images/?page=1",
        "/images/#x",
        "/images/\n",
        "/images/\r\nX: y",
        "/images/\0",
        "/ima ges/",
        "/bilder-ä/",
        "/\ud800",
    ],
    ids=ascii,
)
async def test_a_path_that_could_lead_elsewhere_is_refused_before_any_request(path: str) -> None:
    with pytest.raises(ValueError, match="path must"):
        await AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1").request("GET", path)


@pytest.mark.parametrize(
    ("arguments", "error", "word"),
    [
        (("GET", 5), TypeError, "path must be text, not int"),
        ((5, "/x"), TypeError, "method must be text, not int"),
        (("TRACE", "/x"), ValueError, "method"),
        (("GET\r\n", "/x"), ValueError, "method"),
        (("CONNECT", "/x"), ValueError, "method"),
    ],
)
async def test_wrong_arguments_of_a_request_are_named(
    arguments: Any, error: type[Exception], word: str
) -> None:
    with pytest.raises(error, match=word):
        await AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1").request(*arguments)


@pytest.mark.parametrize("params", [[("a", "b")], {"a": None}, {"a": 1.5}, {"a": True}, {5: "a"}, "a=b"])
async def test_params_map_text_to_text_or_int(params: Any) -> None:
    with pytest.raises(TypeError, match="params"):
        await AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1").request("GET", "/x", params=params)


@pytest.mark.parametrize("json", [{"a": float("nan")}, {1, 2}, b"x"])
async def test_a_body_that_is_no_json_is_refused_before_any_request(json: Any) -> None:
    client = AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1", retries=0)
    with pytest.raises((TypeError, ValueError)):
        await client.request("POST", "/x", json=json)
    await client.aclose()
