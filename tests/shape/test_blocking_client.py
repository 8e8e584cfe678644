"""The blocking client has the names, parameters, defaults and docstrings of the asynchronous client."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable
from typing import Any, ClassVar

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
# The return type of a blocking method, for each asynchronous return type.
RETURN_TYPES = {
    r"^AsyncGenerator\[(.*), None\]$": r"Generator[\1, None, None]",
    r"^AbstractAsyncContextManager\[AsyncIterator\[(.*)\]\]$": r"AbstractContextManager[Iterator[\1]]",
}
ONLY_ASYNC, ONLY_BLOCKING = {"aclose"}, {"close"}


def public(kind: type[Any]) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def methods() -> list[Any]:
    return [
        pytest.param(
            getattr(original, name),
            getattr(blocking_class, name, None),
            id=f"{blocking_class.__name__}.{name}",
        )
        for original, blocking_class in PAIRS
        for name in sorted(public(original) - ONLY_ASYNC)
        if inspect.isroutine(getattr(original, name))
    ]


def blocking_type(annotation: str) -> str:
    for pattern, replacement in RETURN_TYPES.items():
        annotation = re.sub(pattern, replacement, annotation)
    return annotation


@pytest.mark.parametrize(("original", "blocking_class"), PAIRS, ids=lambda kind: kind.__name__)
def test_both_have_the_same_public_names(original: type[Any], blocking_class: type[Any]) -> None:
    assert public(blocking_class) - ONLY_BLOCKING == public(original) - ONLY_ASYNC


def test_both_clients_have_the_same_resources() -> None:
    def resources(client: object) -> dict[str, str]:
        return {
            name: type(value).__name__.removeprefix("Async")
            for name, value in vars(client).items()
            if not name.startswith("_")
        }

    assert resources(ImgwireClient("sk_test")) == resources(AsyncImgwireClient("sk_test"))
    assert {blocking_class.__name__ for _, blocking_class in PAIRS[:-1]} == set(
        resources(ImgwireClient("sk_test")).values()
    )


@pytest.mark.parametrize(("original", "blocking_method"), methods())
def test_parameters_defaults_and_types_are_equal(
    original: Callable[..., Any], blocking_method: Callable[..., Any]
) -> None:
    assert inspect.signature(blocking_method).parameters == inspect.signature(original).parameters


@pytest.mark.parametrize(("original", "blocking_method"), methods())
def test_the_return_type_is_the_awaited_one(
    original: Callable[..., Any], blocking_method: Callable[..., Any]
) -> None:
    annotation = inspect.signature(blocking_method).return_annotation
    assert annotation == blocking_type(inspect.signature(original).return_annotation)
    assert "Async" not in annotation


@pytest.mark.parametrize(("original", "blocking_method"), methods())
def test_the_docstring_is_the_same(original: Callable[..., Any], blocking_method: Callable[..., Any]) -> None:
    assert inspect.getdoc(blocking_method) == inspect.getdoc(original)
    assert inspect.getdoc(blocking_method)


@pytest.mark.parametrize(("original", "blocking_class"), PAIRS[:-1], ids=lambda kind: kind.__name__)
def test_a_resource_has_the_same_docstring(original: type[Any], blocking_class: type[Any]) -> None:
    assert blocking_class.__doc__ == original.__doc__


def test_a_method_has_its_own_qualified_name() -> None:
    upload = blocking.Images.upload
    assert (upload.__module__, upload.__qualname__) == ("imgwire_async.blocking", "Images.upload")


def test_a_subclass_of_the_blocking_client_keeps_its_functions_and_initializes_its_base_classes() -> None:
    class Registry:
        names: ClassVar[list[str]] = []

        def __init_subclass__(cls, *, name: str, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.names.append(name)

    class Client(ImgwireClient, Registry, name="ours"):
        encode = json.dumps

    assert Registry.names == ["ours"]
    assert Client.encode.__qualname__ == "dumps"


def test_both_clients_have_the_same_constructor() -> None:
    assert ImgwireClient.__init__ is AsyncImgwireClient.__init__
    assert inspect.signature(ImgwireClient) == inspect.signature(AsyncImgwireClient)


def test_no_blocking_method_is_a_coroutine_function() -> None:
    for _, blocking_class in PAIRS:
        for name in public(blocking_class):
            assert not inspect.iscoroutinefunction(getattr(blocking_class, name)), (
                f"{blocking_class.__name__}.{name}"
            )


def test_help_shows_parameters_and_docstring() -> None:
    import pydoc

    page = pydoc.render_doc(blocking.Images.retrieve, renderer=pydoc.plaintext)
    assert "retrieve(self, image_id: 'Id') -> 'Image'" in page
    assert "NotFoundError" in page
