"""The client without a call: its repr, its checks, its clones, its log."""

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


def test_a_client_without_a_key_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGWIRE_API_KEY", raising=False)
    with pytest.raises(ConfigurationError, match="IMGWIRE_API_KEY"):
        AsyncImgwireClient()


def test_reprs_and_attributes_of_a_client_do_not_show_the_key() -> None:
    client = AsyncImgwireClient(KEY)
    clone = client.with_options(timeout=5)
    assert KEY not in f"{client!r} {client} {clone!r} {vars(client)} {client.images!r}"


def test_a_client_cannot_be_pickled() -> None:
    with pytest.raises(TypeError, match="key callable"):
        pickle.dumps(AsyncImgwireClient(KEY))


@pytest.mark.parametrize("cls", [AsyncImgwireClient, ImgwireClient])
@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
def test_a_client_cannot_be_copied(cls: Any, duplicate: Any) -> None:
    client = cls(KEY)
    for original in (client, client.with_options(retries=0)):
        with pytest.raises(TypeError, match=f"{cls.__name__} cannot be copied: share it"):
            duplicate(original)


@pytest.mark.skipif(sys.implementation.name != "cpython", reason="counts references")
@pytest.mark.parametrize("cls", [AsyncImgwireClient, ImgwireClient])
def test_a_client_without_references_is_freed_without_the_garbage_collector(cls: Any) -> None:
    client = cls(KEY)
    client._enter()
    references = [
        weakref.ref(part) for part in (client, client.images, client._shared, client._shared.sessions)
    ]
    gc.disable()
    try:
        del client
        assert [reference() for reference in references] == [None] * len(references)
    finally:
        gc.enable()


async def test_a_client_can_be_closed_twice_and_not_be_reopened() -> None:
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


async def test_closing_a_clone_has_no_effect_and_closing_the_client_closes_its_clones() -> None:
    client = AsyncImgwireClient(KEY)
    clone = client.with_options(retries=0)
    await clone.aclose()
    assert not client.closed
    await client.aclose()
    assert clone.closed
    with pytest.raises(RuntimeError, match="client is closed"):
        await clone.images.retrieve("x")


def test_a_clone_has_the_same_class_and_its_own_resources() -> None:
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
def test_wrong_options_are_rejected_at_once(changes: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        AsyncImgwireClient(KEY).with_options(**changes)


def test_plain_http_to_another_machine_logs_a_warning_without_the_key(
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
def test_imgwire_log_adds_one_handler_if_its_level_is_known(level: str, handlers: int) -> None:
    script = (
        "import logging, imgwire_async\n"
        "for _ in range(3): imgwire_async.AsyncImgwireClient('sk_x')\n"
        "print(len(logging.getLogger('imgwire_async').handlers))"
    )
    process = subprocess.run(
        [sys.executable, "-c", script], env={"IMGWIRE_LOG": level}, capture_output=True, text=True, check=True
    )
    assert (process.stdout.strip(), process.stderr) == (str(handlers), "")


@pytest.mark.slow
def test_imgwire_log_prints_a_record_once() -> None:
    """The application may configure logging before the first client, after it, for a file, or not at all."""
    script = (
        "import logging, os, sys, imgwire_async\n"
        "own = logging.getLogger('imgwire_async')\n"
        "def client(): imgwire_async.AsyncImgwireClient('sk_x')\n"
        "def reset():\n"
        "    for logger in (own, logging.getLogger()):\n"
        "        for handler in logger.handlers[:]: logger.removeHandler(handler)\n"
        "client(); own.debug('line: alone')\n"
        "logging.basicConfig(); own.debug('line: after')\n"
        "reset(); logging.basicConfig(); client(); own.debug('line: before')\n"
        "reset(); logging.basicConfig(stream=sys.stdout); client(); own.debug('line: stdout')\n"
        "reset(); logging.basicConfig(filename=os.devnull); client(); own.debug('line: file')\n"
        "reset(); logging.basicConfig(); logging.root.handlers[0].setLevel('ERROR'); client(); own.debug('line: level')\n"
        "seen = set()\n"
        "def once(record): return not (record.msg in seen or seen.add(record.msg))\n"
        "reset(); logging.basicConfig(stream=sys.stdout)\n"
        "logging.root.handlers[0].addFilter(once); client(); own.debug('line: filtered')\n"
    )
    output = subprocess.run(
        [sys.executable, "-c", script],
        env={"IMGWIRE_LOG": "debug"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
    ).stdout
    for name in ("alone", "after", "before", "stdout", "file", "level"):
        assert output.count(f"line: {name}") == 1, output
    assert output.count("line: filtered") == 2, (
        "a filter that drops repeated lines must not be called, so this line appears twice"
    )


def test_without_imgwire_log_nothing_is_printed() -> None:
    script = (
        "import asyncio, imgwire_async\n"
        "async def main():\n"
        "    async with imgwire_async.AsyncImgwireClient('sk_x', base_url='http://nowhere.invalid', retries=0) as client:\n"
        "        await client.images.list()\n"
        "try: asyncio.run(main())\n"
        "except imgwire_async.APIConnectionError: print('failed')\n"
    )
    process = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], env={}, capture_output=True, text=True, check=True
    )
    # The client has logged warnings because of plain http and of the failure.
    assert (process.stdout, process.stderr) == ("failed\n", "")


# --- client.request() -------------------------------------------------------------------------------------


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
async def test_a_path_that_could_leave_the_api_is_rejected_before_any_request(path: str) -> None:
    with pytest.raises(ValueError, match="path must"):
        await AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1").request("GET", path)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("GET", 5), TypeError, "path must be text, not int"),
        ((5, "/x"), TypeError, "method must be text, not int"),
        (("TRACE", "/x"), ValueError, "method"),
        (("GET\r\n", "/x"), ValueError, "method"),
        (("CONNECT", "/x"), ValueError, "method"),
    ],
)
async def test_the_error_for_a_wrong_argument_of_request_names_it(
    arguments: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        await AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1").request(*arguments)


@pytest.mark.parametrize("params", [[("a", "b")], {"a": None}, {"a": 1.5}, {"a": True}, {5: "a"}, "a=b"])
async def test_params_have_to_map_text_to_text_or_int(params: Any) -> None:
    with pytest.raises(TypeError, match="params"):
        await AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1").request("GET", "/x", params=params)


@pytest.mark.parametrize("json", [{"a": float("nan")}, {1, 2}, b"x"])
async def test_a_body_that_json_cannot_represent_is_rejected_before_any_request(json: Any) -> None:
    client = AsyncImgwireClient(KEY, base_url="http://127.0.0.1:1", retries=0)
    with pytest.raises((TypeError, ValueError)):
        await client.request("POST", "/x", json=json)
    await client.aclose()
