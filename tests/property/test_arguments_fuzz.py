"""Whatever callers pass: our `TypeError` or `ValueError` before any request, or a call that goes as it should.

Never an exception of aiohttp, yarl, multidict, cattrs, json or a codec: those would speak of things that the caller never saw.
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
from imgwire_async.urls.rules import ROWS

from .nasty import ODD, anything, made, texts
from .on_purpose import fitting

LONG = settings(
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", examples(50))),
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)
PNG = png()


@contextlib.contextmanager
def telling(name: str, which: str) -> Iterator[None]:
    """A failure says which argument had which value."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"with {name}={which}")
        raise


class World:
    """An emulator and a client on a loop of their own, with one thing of each kind."""

    def __init__(self, folder: Path) -> None:
        self.runner = asyncio.Runner()
        self.folder = folder
        self.emulator = Emulator(ready_polls=0)
        self.made = 0
        self.run(self._begin())

    async def _begin(self) -> None:
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

    async def _end(self) -> None:
        await self.client.aclose()
        await self.emulator.__aexit__(None, None, None)

    def close(self) -> None:
        self.run(self._end())
        self.runner.close()

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def right(self, name: str) -> Any:
        """What goes well for the parameter `name`."""
        self.made += 1
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
            "path": self.folder / f"{self.made}.png",
        }
        return values[name]

    async def ended(self, result: Any) -> Any:
        """The result of a call, whatever form it has; of endless ones the beginning."""
        async with asyncio.timeout(20):
            if isinstance(result, AsyncGenerator):
                async with contextlib.aclosing(result) as items:
                    return [item async for item in items][:3]
            if isinstance(result, Awaitable):
                return await result
            async with result as chunks:
                return [chunk async for chunk in chunks]

    def outcome(self, call: Callable[[], Any]) -> BaseException | None:
        """The error that the call ends with, if it does."""

        async def all_of_it() -> None:
            await self.ended(call())

        try:
            self.run(all_of_it())
        except Exception as error:
            return error
        return None


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("fuzz")
    before = Path.cwd()
    os.chdir(folder)  # odd file names land here
    world = World(folder)
    try:
        yield world
    finally:
        world.close()
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
every_method = pytest.mark.parametrize(
    ("resource", "name"), METHODS, ids=[".".join(each) for each in METHODS]
)

_rule_names = st.sampled_from([rule.name for rule in ROWS]) | texts.filter(lambda name: name != "self")
_kind_of_rules = st.dictionaries(_rule_names, anything, min_size=1, max_size=3)
CONTENT = {"file", "files"}  # what they hold may turn out wrong when it is read, after the first request


def stays_here(value: Any) -> bool:
    """Whether a value, taken as a path, stays in the folder of the test."""
    return not issubclass(type(value), str) or not (
        str.__contains__(value, "/") or str.__eq__(value, "..") is True
    )


@st.composite
def arguments(draw: st.DrawFn, signature: inspect.Signature) -> dict[str, Any]:
    """Values for one or two parameters of a method."""
    names = [name for name in signature.parameters if name != "self"]
    chosen = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True)) if names else []
    given: dict[str, Any] = {}
    for name in chosen:
        if signature.parameters[name].kind is inspect.Parameter.VAR_KEYWORD:
            given |= {
                rule: value
                for rule, value in draw(_kind_of_rules).items()
                if rule not in signature.parameters
            }
        else:
            given[name] = draw(anything.filter(stays_here) if name in {"path", "file"} else anything)
    return given


def try_method(world: World, resource: str, name: str, given: dict[str, Any]) -> None:
    method = getattr(getattr(world.client, resource), name)
    needed = {
        name: world.right(name)
        for name, parameter in inspect.signature(method).parameters.items()
        if parameter.default is inspect.Parameter.empty
        and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    try_call(world, lambda: method(**(needed | given)), may_have_begun=bool(CONTENT & set(given)))


def try_call(world: World, call: Callable[[], Any], *, may_have_begun: bool = False) -> None:
    """Refused in our own words, without a request; or done."""
    before = len(world.emulator.requests)
    error = world.outcome(call)
    asked = world.emulator.requests[before:]
    if error is not None:
        assert fitting(error), error
        refused = isinstance(error, TypeError | ValueError) and not isinstance(error, ImgwireError)
        assert not (refused and asked and not may_have_begun), asked
    assert [each.status for each in asked if (each.status or 0) >= 500] == []


def some(place: int) -> Iterator[tuple[str, Any]]:
    """A fifth of the odd values, another one for each place, with what to call them in a failure."""
    for number in range(place % 5, len(ODD), 5):
        value = ODD[number]()
        if stays_here(value):
            yield f"ODD[{number}]", value


@every_method
def test_whatever_a_method_is_given_it_refuses_in_its_own_words_or_does_it(
    world: World, resource: str, name: str
) -> None:
    parameters = inspect.signature(getattr(getattr(world.client, resource), name)).parameters
    for place, parameter in enumerate(parameters.values()):
        rules = parameter.kind is inspect.Parameter.VAR_KEYWORD
        for which, value in some(place):
            with telling(parameter.name, which):
                try_method(world, resource, name, {"width" if rules else parameter.name: value})


@pytest.mark.slow
@pytest.mark.timeout(600)
@every_method
@LONG
@given(data=st.data())
def test_whatever_a_method_is_given_it_refuses_in_its_own_words_or_does_it_for_long(
    world: World, resource: str, name: str, data: st.DataObject
) -> None:
    drawn = data.draw(arguments(inspect.signature(getattr(getattr(world.client, resource), name))))
    try_method(world, resource, name, {parameter: made(value) for parameter, value in drawn.items()})


# --- what is no resource ----------------------------------------------------------------------------------------------


class Nowhere(AbstractResolver):
    """Knows no name, so that odd ones do no harm."""

    async def resolve(self, host: str, port: int = 0, family: Any = None) -> Any:
        raise OSError("nothing has a name here")

    async def close(self) -> None: ...


SETTINGS = [name for name in inspect.signature(AsyncImgwireClient).parameters if name != "connector"]
OPTIONS = ["timeout", "retries", "default_headers", "environment_id", "hooks"]
HEADERS = st.dictionaries(
    texts
    | st.sampled_from(["Expect", "Connection", "Upgrade", "Content-Encoding", "Accept-Encoding", "Range"]),
    texts | st.just("100-continue"),
    max_size=3,
)


def try_setting(world: World, name: str, value: Any) -> None:
    settings = {
        "api_key": world.emulator.api_key,
        "base_url": world.emulator.base_url,
        "retries": 0,
        "timeout": 5,
    } | {name: value}

    async def use() -> None:
        connector = (lambda: TCPConnector(resolver=Nowhere())) if name in {"base_url", "proxy"} else None
        async with AsyncImgwireClient(**settings, connector=connector) as client:
            await client.custom_domain.retrieve()

    try_call(world, use)


@pytest.mark.parametrize("name", SETTINGS)
def test_whatever_a_client_is_set_up_with_it_refuses_in_its_own_words_or_works(
    world: World, name: str
) -> None:
    for which, value in some(SETTINGS.index(name)):
        with telling(name, which):
            try_setting(world, name, value)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SETTINGS)
@LONG
@given(data=st.data())
def test_whatever_a_client_is_set_up_with_it_refuses_in_its_own_words_or_works_for_long(
    world: World, name: str, data: st.DataObject
) -> None:
    try_setting(world, name, made(data.draw(HEADERS | anything if name == "default_headers" else anything)))


@pytest.mark.parametrize(
    "name", ["Connection", "Expect", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"]
)
def test_a_default_header_that_would_change_how_http_goes_is_refused(name: str) -> None:
    with pytest.raises(ConfigurationError, match=name.lower()):
        AsyncImgwireClient("sk_x", default_headers={name.lower(): "100-continue"})


CALLS: dict[str, Callable[[World, dict[str, Any]], Any]] = {
    "with_options": lambda world, given: world.client.with_options(**given).custom_domain.retrieve(),
    "request": lambda world, given: world.client.request(
        **({"method": "GET", "path": "/custom_domain/"} | given)
    ),
    "Timeouts": lambda world, given: world.client.with_options(
        timeout=Timeouts(**given)
    ).custom_domain.retrieve(),
    "RetryPolicy": lambda world, given: world.client.with_options(
        retries=RetryPolicy(**given)
    ).custom_domain.retrieve(),
    "Hooks": lambda world, given: world.client.with_options(hooks=Hooks(**given)).custom_domain.retrieve(),
    "extract_archive": lambda world, given: asyncio.to_thread(
        extract_archive, **({"path": "none.zip", "target": "there"} | given)
    ),
    "UploadItem": lambda world, given: unwrapped(
        world.client.images.upload_many([UploadItem(**({"file": PNG} | given))])
    ),
}
NAMES: dict[str, list[str]] = {
    "with_options": OPTIONS,
    "request": ["method", "path", "params", "json", "idempotent"],
    "Timeouts": ["connect", "attempt", "deadline", "stall"],
    "RetryPolicy": ["max_retries", "backoff", "max_backoff", "max_retry_after", "max_rate_wait"],
    "Hooks": ["on_request", "on_response", "on_retry"],
    "extract_archive": ["path", "target", "max_files", "max_bytes", "overwrite"],
    "UploadItem": [each.name for each in attrs.fields(UploadItem) if each.name != "file"],
}


async def unwrapped(results: Any) -> None:
    async for result in results:
        result.unwrap()


@pytest.mark.parametrize("what", CALLS)
def test_whatever_stands_in_an_option_it_is_refused_in_our_words_or_works(world: World, what: str) -> None:
    for place, name in enumerate(NAMES[what]):
        for which, value in some(place):
            with telling(name, which):
                try_call(world, functools.partial(CALLS[what], world, {name: value}))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("what", CALLS)
@LONG
@given(data=st.data())
def test_whatever_stands_in_an_option_it_is_refused_in_our_words_or_works_for_long(
    world: World, what: str, data: st.DataObject
) -> None:
    names = data.draw(st.lists(st.sampled_from(NAMES[what]), min_size=1, max_size=2, unique=True))
    mappings = {"default_headers", "params"}
    drawn = {
        name: data.draw(HEADERS | anything if name in mappings else anything.filter(stays_here))
        for name in names
    }
    try_call(world, lambda: CALLS[what](world, {name: made(value) for name, value in drawn.items()}))
