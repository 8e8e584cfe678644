"""Every public function and method documents its parameters, and large ones have an `Args:` section."""

from __future__ import annotations

import enum
import inspect
import re
import typing
from collections.abc import Iterable, Iterator
from typing import Any

import pytest

import imgwire_async
from imgwire_async import batch, emulator, models, urls
from imgwire_async.emulator.clock import Clock
from imgwire_async.emulator.faults import Faults
from imgwire_async.integrations import http
from imgwire_async.resources.cors_origins import AsyncCorsOrigins
from imgwire_async.resources.custom_domain import AsyncCustomDomain
from imgwire_async.resources.images import AsyncImages
from imgwire_async.resources.metrics import AsyncMetrics
from imgwire_async.transport.tracing import Tracer

PACKAGE = "imgwire_async"
# Modules of optional dependencies, which are skipped where these are not installed.
OPTIONAL = ("otel", "integrations.fastapi", "integrations.django")
RESOURCES = (AsyncImages, AsyncCorsOrigins, AsyncCustomDomain, AsyncMetrics)
# Functions with more parameters than this need Args and Returns sections.
MAX_WITHOUT_SECTIONS = 3
# Users never create objects of these classes: the SDK does, from responses, failures and arguments.
MADE_BY_THE_SDK = (
    enum.Enum,
    BaseException,
    models.Record,
    *RESOURCES,
    imgwire_async.APIResponse,
    imgwire_async.BulkDeleteResult,
    imgwire_async.DownloadProgress,
    imgwire_async.Exchange,
    imgwire_async.Fault,
    imgwire_async.Page,
    imgwire_async.Pagination,
    imgwire_async.ParsedUrl,
    imgwire_async.RequestEvent,
    imgwire_async.ResponseEvent,
    imgwire_async.ResponsiveImage,
    imgwire_async.RetryEvent,
    imgwire_async.UploadProgress,
    imgwire_async.UploadResult,
    batch.BatchEvent,
    batch.BatchRecord,
    batch.BatchResult,
    batch.BatchSummary,
    batch.PlannedFile,
    emulator.PlannedFault,
    emulator.RequestRecord,
    Clock,
    Faults,
    http.ErrorResponse,
)


def public_objects() -> Iterator[tuple[str, Any]]:
    """Yield each public function and class with its name."""
    known = set[str]()
    for module in (imgwire_async, batch, urls, emulator, http):
        names, known = set(module.__all__) - known, known | set(module.__all__)
        prefix = module.__name__.removeprefix(PACKAGE).lstrip(".")
        yield from described(prefix, module, sorted(names))
    for value in (*RESOURCES, Clock, Faults):
        yield value.__name__, value


def described(prefix: str, module: Any, names: Iterable[str]) -> Iterator[tuple[str, Any]]:
    """Yield the functions and classes among the names of a module.

    Type aliases and TypedDicts have no parameters.
    """
    for name in names:
        value = getattr(module, name)
        if inspect.isroutine(value) or (inspect.isclass(value) and not typing.is_typeddict(value)):
            yield f"{prefix}.{name}".lstrip("."), value


def optional_objects(module: str) -> Iterator[tuple[str, Any]]:
    """Yield each public function and class of a module that needs an optional dependency."""
    found = pytest.importorskip(f"{PACKAGE}.{module}", exc_type=ImportError)
    yield from described(module, found, found.__all__)


def functions(path: str, value: Any) -> Iterator[tuple[str, Any, str]]:
    """Yield name, function and docstring of the functions of a public object."""
    if not inspect.isclass(value):
        yield path, value, inspect.getdoc(value) or ""
        return
    if has_constructor(value):
        yield path, value, inspect.getdoc(value) or ""
    for name in dir(value):
        member = inspect.getattr_static(value, name)
        member = getattr(member, "__func__", member)
        ours = (getattr(member, "__module__", None) or "").startswith(PACKAGE)
        if not name.startswith("_") and inspect.isfunction(member) and ours and not is_override(value, name):
            yield f"{path}.{name}", member, inspect.getdoc(member) or ""


def has_constructor(value: type[Any]) -> bool:
    """Return whether users call the constructor of a class, and the package defines it."""
    ours = value.__init__.__module__.startswith(PACKAGE) if inspect.isfunction(value.__init__) else False
    return ours and not issubclass(value, MADE_BY_THE_SDK) and not getattr(value, "_is_protocol", False)


def is_override(owner: type[Any], name: str) -> bool:
    """Return whether a method implements an interface of a framework or of the internal `Tracer`."""
    interfaces = [base for base in owner.__mro__ if base is Tracer or not base.__module__.startswith(PACKAGE)]
    return any(name in vars(base) for base in interfaces)


def parameters(function: Any) -> list[str]:
    """Return the names of the parameters that callers pass."""
    signature = inspect.signature(function)
    return [name for name in signature.parameters if name not in {"self", "cls"} and not name.startswith("_")]


def documented_in_sections(doc: str) -> set[str]:
    """Return the names in the Args section of a docstring."""
    section = re.search(r"^(?:Args|Attributes):\n((?:(?: .*)?\n)*)", doc + "\n", re.MULTILINE)
    return set() if section is None else set(re.findall(r"^ {4}\*{0,2}(\w+): ", section[1], re.MULTILINE))


def undocumented(path: str, function: Any, doc: str) -> list[str]:
    """Return the parameters of a function that its docstring does not document."""
    names, sections = parameters(function), documented_in_sections(doc)
    if sections or (len(names) > MAX_WITHOUT_SECTIONS and not is_value_class(function)):
        return [f"{path}({name}) in Args" for name in names if name not in sections]
    in_text = {name for code in re.findall(r"`([^`]+)`", doc) for name in re.findall(r"\w+", code)}
    return [f"{path}({name})" for name in names if name not in in_text]


def is_value_class(function: Any) -> bool:
    """Return whether the parameters are the fields of an attrs class, which its text may describe."""
    return hasattr(function, "__attrs_attrs__")


FUNCTIONS = [function for path, value in public_objects() for function in functions(path, value)]


@pytest.mark.parametrize(("path", "function", "doc"), FUNCTIONS, ids=[path for path, *_ in FUNCTIONS])
def test_a_public_function_documents_its_parameters(path: str, function: Any, doc: str) -> None:
    assert undocumented(path, function, doc) == []


@pytest.mark.parametrize("module", OPTIONAL)
def test_a_function_of_an_integration_documents_its_parameters(module: str) -> None:
    found = [function for path, value in optional_objects(module) for function in functions(path, value)]
    assert [missing for function in found for missing in undocumented(*function)] == []
    assert [
        path for path, function, doc in found if documented_in_sections(doc) - {*parameters(function)}
    ] == []


@pytest.mark.parametrize(("path", "function", "doc"), FUNCTIONS, ids=[path for path, *_ in FUNCTIONS])
def test_an_args_section_names_only_parameters(path: str, function: Any, doc: str) -> None:
    assert documented_in_sections(doc) <= set(parameters(function))


@pytest.mark.parametrize(("path", "function", "doc"), FUNCTIONS, ids=[path for path, *_ in FUNCTIONS])
def test_a_docstring_with_an_args_section_says_what_is_returned(path: str, function: Any, doc: str) -> None:
    returns = not inspect.isclass(function) and inspect.signature(function).return_annotation not in {
        "None",
        None,
    }
    if documented_in_sections(doc) and returns:
        assert doc.startswith("Return ") or re.search(r"^(Returns|Yields):$", doc, re.MULTILINE)


def test_both_clients_document_their_arguments_alike() -> None:
    one, other = (
        inspect.getdoc(client) or ""
        for client in (imgwire_async.AsyncImgwireClient, imgwire_async.ImgwireClient)
    )
    assert one.partition("\nArgs:\n")[2] == other.partition("\nArgs:\n")[2] != ""


@pytest.mark.parametrize(
    ("doc", "missing"),
    [
        ("Add `a` and `b`.", []),
        ("Add `a`.", ["add(b)"]),
        ("Add a and b.", ["add(a)", "add(b)"]),
        ("Add.\n\nArgs:\n    a: First.\n    b: Second\n        on two lines.\n\nReturns:\n    The sum.", []),
        ("Add `b`.\n\nArgs:\n    a: First.\n\nReturns:\n    The sum.", ["add(b) in Args"]),
    ],
)
def test_the_names_of_parameters_are_found_in_docstrings(doc: str, missing: list[str]) -> None:
    def add(a: int, b: int) -> int:
        return a + b

    assert undocumented("add", add, doc) == missing
