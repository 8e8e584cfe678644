"""Odd and random arguments: a call works, or our code rejects its argument before any request.

The caller never gets an exception of aiohttp, yarl, multidict, cattrs, json or a codec, which would not name
the argument.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from aiohttp import TCPConnector
from aiohttp.abc import AbstractResolver
from drawing import examples
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wire.pictures import png

from imgwire_async import (
    AsyncImgwireClient,
    ConfigurationError,
    Hooks,
    ImgwireError,
    RetryPolicy,
    Timeouts,
    UploadItem,
    extract_archive,
)
from imgwire_async.emulator import Emulator
from imgwire_async.resources.base import Resource
from imgwire_async.urls.rules import RULE_TABLE

from .error_origin import is_expected
from .odd_inputs import ODD_FACTORIES, any_values, build, texts

THOROUGH_SETTINGS = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", examples(50))),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
PNG = png()


@contextlib.contextmanager
def note_argument(name: str, label: str) -> Iterator[None]:
    """Add the name and the value of the argument to a failure."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with {name}={label}")
        raise


class Fuzzer:
    """An emulator and a client on a loop of their own, with one record of each type."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.folder = folder
        self.emulator = Emulator(ready_polls=0)
        self.files = 0
        self.run(self._start())

    async def _start(self) -> None:
        await self.emulator.__aenter__()
        self.emulator.domain_polls, self.emulator.download_polls = 0, 0
        self.emulator.urls["https://pictures.example/a.png"] = PNG
        self.client = AsyncImgwireClient(
            self.emulator.api_key, base_url=self.emulator.base_url, timeout=5, retries=0
        )
        self.image = await self.client.images.upload(PNG, wait=True)
        self.job = await self.client.images.create_bulk_download_job([self.image.id])
        self.origin = await self.client.cors_origins.create("*.example.com")
        await self.client.custom_domain.create("img.example.com")

    async def _close(self) -> None:
        await self.client.aclose()
        await self.emulator.__aexit__(None, None, None)

    def close(self) -> None:
        self.run(self._close())
        self.runner.close()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def valid_value(self, name: str) -> Any:
        """Return a valid value for the parameter `name`."""
        self.files += 1
        values: dict[str, Any] = {
            "image_id": self.image.id,
            "image": self.image,
            "image_ids": [self.image.id],
            "job": self.job,
            "job_id": self.job.id,
            "cors_origin_id": self.origin.id,
            "pattern": "localhost:3000",
            "hostname": "pictures.example.com",
            "url": "https://pictures.example/a.png",
            "file": PNG,
            "files": [PNG],
            "file_name": "a.png",
            "path": self.folder / f"{self.files}.png",
        }
        return values[name]

    async def collect(self, result: Any) -> Any:
        """Return the result of a call, or the first results of an iterator or a stream."""
        async with asyncio.timeout(20):
            if isinstance(result, AsyncGenerator):
                async with contextlib.aclosing(result) as items:
                    return [item async for item in items][:3]
            if isinstance(result, Awaitable):
                return await result
            async with result as chunks:
                return [chunk async for chunk in chunks]

    def error_of(self, call: Callable[[], Any]) -> BaseException | None:
        """Return the exception of a call, or None if it succeeds."""

        async def run_call() -> None:
            await self.collect(call())

        try:
            self.run(run_call())
        except Exception as error:
            return error
        return None


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fuzzer]:
    folder = tmp_path_factory.mktemp("fuzz")
    before = Path.cwd()
    # Files with odd names are created in this folder.
    os.chdir(folder)
    fuzzer = Fuzzer(folder)
    try:
        yield fuzzer
    finally:
        fuzzer.close()
        os.chdir(before)


def resources() -> dict[str, type[Resource]]:
    client = AsyncImgwireClient("sk_x", base_url="http://127.0.0.1:1")
    return {name: type(value) for name, value in vars(client).items() if isinstance(value, Resource)}


METHODS = [
    (resource, name)
    for resource, cls in resources().items()
    for name, _ in inspect.getmembers(cls, inspect.isfunction)
    if not name.startswith("_")
]
all_methods = pytest.mark.parametrize(
    ("resource", "name"), METHODS, ids=[".".join(method) for method in METHODS]
)

_rule_names = st.sampled_from([rule.name for rule in RULE_TABLE]) | texts.filter(lambda name: name != "self")
_kind_of_rules = st.dictionaries(_rule_names, any_values, min_size=1, max_size=3)
# The content of these arguments is read after the first request, so an error may come late.
CONTENT = {"file", "files"}


def stays_in_folder(value: Any) -> bool:
    """Return whether a value, used as a path, is a file in the current folder."""
    return not issubclass(type(value), str) or not (
        str.__contains__(value, "/") or str.__eq__(value, "..") is True
    )


@st.composite
def arguments(draw: st.DrawFn, signature: inspect.Signature) -> dict[str, Any]:
    """Draw values for one or two parameters of a method."""
    names = [name for name in signature.parameters if name != "self"]
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)) if names else []
    passed: dict[str, Any] = {}
    for name in chosen:
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            passed |= {
                rule: value
                for rule, value in draw(_kind_of_rules).items()
                if rule not in signature.parameters
            }
        else:
            passed[name] = draw(
                any_values.filter(stays_in_folder) if name in {"path", "file"} else any_values
            )
    return passed


def check_method(fuzzer: Fuzzer, resource: str, name: str, passed: dict[str, Any]) -> None:
    method = getattr(getattr(fuzzer.client, resource), name)
    required = {
        name: fuzzer.valid_value(name)
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    check_call(
        fuzzer,
        lambda: method(**(required | passed)),
        may_have_sent=bool(CONTENT & set(passed)),
    )


def check_call(fuzzer: Fuzzer, call: Callable[[], Any], *, may_have_sent: bool = False) -> None:
    """Check that a call works, or that our code rejects its arguments before any request."""
    before = len(fuzzer.emulator.requests)
    error = fuzzer.error_of(call)
    requests = fuzzer.emulator.requests[before:]
    if error is not None:
        assert is_expected(error), error
        is_rejected = isinstance(error, TypeError | ValueError) and not isinstance(error, ImgwireError)
        assert not (is_rejected and requests and not may_have_sent), requests
    assert [request.status for request in requests if (request.status or 0) >= 500] == []


def odd_values(offset: int) -> Iterator[tuple[str, Any]]:
    """Yield a fifth of the odd values, with labels for failures. `offset` selects the fifth."""
    for number in range(offset % 5, len(ODD_FACTORIES), 5):
        value = ODD_FACTORIES[number]()
        if stays_in_folder(value):
            yield f"ODD_FACTORIES[{number}]", value


@all_methods
def test_a_method_accepts_or_rejects_any_argument_without_errors_of_other_libraries(
    fuzzer: Fuzzer, resource: str, name: str
) -> None:
    parameters = inspect.signature(getattr(getattr(fuzzer.client, resource), name)).parameters
    for offset, parameter in enumerate(parameters.values()):
        rules = parameter.kind is inspect.Parameter.VAR_KEYWORD
        for label, value in odd_values(offset):
            with note_argument(parameter.name, label):
                check_method(fuzzer, resource, name, {"width" if rules else parameter.name: value})


@pytest.mark.slow
@pytest.mark.timeout(600)
@all_methods
@THOROUGH_SETTINGS
@given(data=st.data())
def test_a_method_accepts_or_rejects_random_arguments_without_errors_of_other_libraries(
    fuzzer: Fuzzer, resource: str, name: str, data: st.DataObject
) -> None:
    drawn = data.draw(arguments(inspect.signature(getattr(getattr(fuzzer.client, resource), name))))
    check_method(fuzzer, resource, name, {parameter: build(value) for parameter, value in drawn.items()})


# --- settings, options and functions ------------------------------------------------------------------------


class EmptyResolver(AbstractResolver):
    """A resolver without names, so that odd host names have no effect."""

    async def resolve(self, host: str, port: int = 0, family: Any = None) -> Any:
        raise OSError("this resolver has no names")

    async def close(self) -> None: ...


SETTINGS = [name for name in inspect.signature(AsyncImgwireClient).parameters if name != "connector"]
OPTIONS = ["timeout", "retries", "default_headers", "environment_id", "hooks"]
HEADERS = st.dictionaries(
    texts
    | st.sampled_from(["Expect", "Connection", "Upgrade", "Content-Encoding", "Accept-Encoding", "Range"]),
    texts | st.just("100-continue"),
    max_size=3,
)


def check_setting(fuzzer: Fuzzer, name: str, value: Any) -> None:
    settings = {
        "api_key": fuzzer.emulator.api_key,
        "base_url": fuzzer.emulator.base_url,
        "retries": 0,
        "timeout": 5,
    } | {name: value}

    async def use() -> None:
        connector = (
            (lambda: TCPConnector(resolver=EmptyResolver())) if name in {"base_url", "proxy"} else None
        )
        async with AsyncImgwireClient(**settings, connector=connector) as client:
            await client.custom_domain.retrieve()

    check_call(fuzzer, use)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_client_accepts_or_rejects_any_setting_without_errors_of_other_libraries(
    fuzzer: Fuzzer, name: str
) -> None:
    for label, value in odd_values(SETTINGS.index(name)):
        with note_argument(name, label):
            check_setting(fuzzer, name, value)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SETTINGS)
@THOROUGH_SETTINGS
@given(data=st.data())
def test_a_client_accepts_or_rejects_random_settings_without_errors_of_other_libraries(
    fuzzer: Fuzzer, name: str, data: st.DataObject
) -> None:
    check_setting(
        fuzzer, name, build(data.draw(HEADERS | any_values if name == "default_headers" else any_values))
    )


@pytest.mark.parametrize(
    "name", ["Connection", "Expect", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"]
)
def test_a_default_header_that_would_change_the_connection_is_rejected(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name.lower()):
        AsyncImgwireClient("sk_x", default_headers={name.lower(): "100-continue"})


CALLS: dict[str, Callable[[Fuzzer, dict[str, Any]], Any]] = {
    "with_options": lambda fuzzer, passed: fuzzer.client.with_options(**passed).custom_domain.retrieve(),
    "request": lambda fuzzer, passed: fuzzer.client.request(
        **({"method": "GET", "path": "/custom_domain/"} | passed)
    ),
    "Timeouts": lambda fuzzer, passed: fuzzer.client.with_options(
        timeout=Timeouts(**passed)
    ).custom_domain.retrieve(),
    "RetryPolicy": lambda fuzzer, passed: fuzzer.client.with_options(
        retries=RetryPolicy(**passed)
    ).custom_domain.retrieve(),
    "Hooks": lambda fuzzer, passed: fuzzer.client.with_options(
        hooks=Hooks(**passed)
    ).custom_domain.retrieve(),
    "extract_archive": lambda fuzzer, passed: asyncio.to_thread(
        extract_archive, **({"path": "none.zip", "target": "there"} | passed)
    ),
    "UploadItem": lambda fuzzer, passed: unwrap_all(
        fuzzer.client.images.upload_many([UploadItem(**({"file": PNG} | passed))])
    ),
}
NAMES: dict[str, list[str]] = {
    "with_options": OPTIONS,
    "request": ["method", "path", "params", "json", "idempotent"],
    "Timeouts": ["connect", "attempt", "deadline", "stall"],
    "RetryPolicy": ["max_retries", "backoff", "max_backoff", "max_retry_after", "max_rate_wait"],
    "Hooks": ["on_request", "on_response", "on_retry"],
    "extract_archive": ["path", "target", "max_files", "max_bytes", "overwrite"],
    "UploadItem": [field.name for field in attrs.fields(UploadItem) if field.name != "file"],
}


async def unwrap_all(results: Any) -> None:
    async for result in results:
        result.unwrap()


@pytest.mark.parametrize("target", CALLS)
def test_options_and_functions_accept_or_reject_any_argument_without_errors_of_other_libraries(
    fuzzer: Fuzzer, target: str
) -> None:
    for offset, name in enumerate(NAMES[target]):
        for label, value in odd_values(offset):
            with note_argument(name, label):
                check_call(fuzzer, functools.partial(CALLS[target], fuzzer, {name: value}))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("target", CALLS)
@THOROUGH_SETTINGS
@given(data=st.data())
def test_options_and_functions_accept_or_reject_random_arguments_without_errors_of_other_libraries(
    fuzzer: Fuzzer, target: str, data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(NAMES[target]), min_size=1, max_size=2, unique=True))
    mappings = {"default_headers", "params"}
    drawn = {
        name: data.draw(HEADERS | any_values if name in mappings else any_values.filter(stays_in_folder))
        for name in names
    }
    check_call(fuzzer, lambda: CALLS[target](fuzzer, {name: build(value) for name, value in drawn.items()}))
