"""The blocking client is the asynchronous one without `await`: every name, parameter, default, answer and docstring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from imgwire_async import AsyncImgwireClient, ImgwireClient, blocking
from imgwire_async.resources.cors_origins import AsyncCorsOrigins
from imgwire_async.resources.custom_domain import AsyncCustomDomain
from imgwire_async.resources.images import AsyncImages
from imgwire_async.resources.metrics import AsyncMetrics

PAIRS: list[tuple[type[Any], type[Any]]] = [
    (AsyncImages, blocking.Images),
    (AsyncCorsOrigins, blocking.CorsOrigins),
    (AsyncCustomDomain, blocking.CustomDomain),
    (AsyncMetrics, blocking.Metrics),
    (AsyncImgwireClient, ImgwireClient),
]
# What waiting makes of an answer.
ANSWERS = {
    r"^AsyncGenerator\[(.*), None\]$": r"Generator[\1, None, None]",
    r"^AbstractAsyncContextManager\[AsyncIterator\[(.*)\]\]$": r"AbstractContextManager[Iterator[\1]]",
}
ONLY_ASYNC, ONLY_BLOCKING = {"aclose"}, {"close"}


def public(kind: type[Any]) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def methods() -> list[Any]:
    return [
        pytest.param(getattr(original, name), getattr(twin, name, None), id=f"{twin.__name__}.{name}")
        for original, twin in PAIRS
        for name in sorted(public(original) - ONLY_ASYNC)
        if inspect.isroutine(getattr(original, name))
    ]


def waited_for(answer: str) -> str:
    for pattern, plain in ANSWERS.items():
        answer = re.sub(pattern, plain, answer)
    return answer


@pytest.mark.parametrize(("original", "twin"), PAIRS, ids=lambda kind: kind.__name__)
def test_both_have_the_same_public_names(original: type[Any], twin: type[Any]) -> None:
    assert public(twin) - ONLY_BLOCKING == public(original) - ONLY_ASYNC


def test_both_clients_have_the_same_resources() -> None:
    def resources(client: object) -> dict[str, str]:
        return {
            name: type(value).__name__.removeprefix("Async")
            for name, value in vars(client).items()
            if not name.startswith("_")
        }

    assert resources(ImgwireClient("sk_test")) == resources(AsyncImgwireClient("sk_test"))
    assert {twin.__name__ for _, twin in PAIRS[:-1]} == set(resources(ImgwireClient("sk_test")).values())


@pytest.mark.parametrize(("original", "twin"), methods())
def test_parameters_defaults_and_types_are_equal(
    original: Callable[..., Any], twin: Callable[..., Any]
) -> None:
    assert inspect.signature(twin).parameters == inspect.signature(original).parameters


@pytest.mark.parametrize(("original", "twin"), methods())
def test_the_answer_is_what_waiting_for_it_gives(
    original: Callable[..., Any], twin: Callable[..., Any]
) -> None:
    told = inspect.signature(twin).return_annotation
    assert told == waited_for(inspect.signature(original).return_annotation)
    assert "Async" not in told


@pytest.mark.parametrize(("original", "twin"), methods())
def test_the_docstring_is_the_same(original: Callable[..., Any], twin: Callable[..., Any]) -> None:
    assert inspect.getdoc(twin) == inspect.getdoc(original)
    assert inspect.getdoc(twin)


@pytest.mark.parametrize(("original", "twin"), PAIRS[:-1], ids=lambda kind: kind.__name__)
def test_a_resource_is_described_alike(original: type[Any], twin: type[Any]) -> None:
    assert twin.__doc__ == original.__doc__


def test_a_method_goes_by_its_own_name() -> None:
    upload = blocking.Images.upload
    assert (upload.__module__, upload.__qualname__) == ("imgwire_async.blocking", "Images.upload")


def test_both_constructors_are_one() -> None:
    assert ImgwireClient.__init__ is AsyncImgwireClient.__init__
    assert inspect.signature(ImgwireClient) == inspect.signature(AsyncImgwireClient)


def test_no_method_of_the_twin_is_a_coroutine_function() -> None:
    for _, twin in PAIRS:
        for name in public(twin):
            assert not inspect.iscoroutinefunction(getattr(twin, name)), f"{twin.__name__}.{name}"


def test_help_shows_parameters_and_docstring() -> None:
    import pydoc

    page = pydoc.render_doc(blocking.Images.retrieve, renderer=pydoc.plaintext)
    assert "retrieve(self, image_id: 'Id') -> 'Image'" in page
    assert "NotFoundError" in page
