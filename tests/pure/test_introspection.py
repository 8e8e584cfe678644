"""Editors, `help()`, `inspect` and mock libraries can inspect clients, also without an event loop."""

from __future__ import annotations

import functools
import inspect
import pydoc
import sys
import typing
from collections.abc import AsyncGenerator, Generator
from typing import Any
from unittest.mock import create_autospec

import pytest
from samples import image

from imgwire_async import AsyncImgwireClient, Image, ImgwireClient, from_dict

CLIENTS = [AsyncImgwireClient, ImgwireClient]
RESOURCES = ["images", "cors_origins", "custom_domain", "metrics"]
Client = type[AsyncImgwireClient] | type[ImgwireClient]

clients = pytest.mark.parametrize("cls", CLIENTS, ids=lambda cls: cls.__name__)


def targets(cls: Client) -> list[Any]:
    client = cls("sk_test")
    closed = ImgwireClient("sk_test")
    closed.close()
    resources = [getattr(client, name) for name in RESOURCES]
    return [cls, client, closed, client.with_options(timeout=1), *resources, *map(type, resources)]


@clients
def test_listing_all_members_opens_nothing(cls: Client) -> None:
    for target in targets(cls):
        members = dict(inspect.getmembers(target))
        assert members.keys() >= {name for name in dir(target) if not name.startswith("_")}
    client = cls("sk_test")
    inspect.getmembers(client)
    inspect.getmembers(client.images)
    assert not client._shared.sessions._by_loop


@clients
def test_help_shows_resources_and_methods(cls: Client) -> None:
    for target in targets(cls):
        assert pydoc.plain(pydoc.render_doc(target))
    assert "Upload a picture to the storage" in pydoc.render_doc(cls("sk_test").images)
    for name in RESOURCES:
        assert name in pydoc.plain(pydoc.render_doc(cls))


@clients
def test_all_public_methods_have_a_signature(cls: Client) -> None:
    for target in targets(cls):
        for name, value in inspect.getmembers(target, inspect.isroutine):
            if not name.startswith("_"):
                assert "self" not in inspect.signature(value).parameters or inspect.isclass(target)


@clients
def test_the_attributes_of_a_client_class_are_the_classes_of_its_resources(cls: Client) -> None:
    client: Any = cls("sk_test")
    for name in RESOURCES:
        assert getattr(cls, name) is type(getattr(client, name))
        assert vars(client)[name] is getattr(client, name)
    assert client.images is not client.with_options(timeout=1).images


@clients
def test_the_annotations_of_all_public_methods_can_be_resolved(cls: Client) -> None:
    for target in (cls, *(getattr(cls, name) for name in RESOURCES)):
        for name, value in inspect.getmembers(target, inspect.isfunction):
            if name == "__init__" or not name.startswith("_"):
                hints = typing.get_type_hints(value)
                assert hints.keys() >= set(inspect.signature(value).parameters) - {
                    "self",
                    "original",
                    "transport",
                }
                assert "return" in hints


def test_annotations_name_the_types_that_the_client_returns() -> None:
    assert typing.get_type_hints(ImgwireClient.images.upload)["return"] is Image
    assert typing.get_type_hints(AsyncImgwireClient.images.upload)["return"] is Image
    async_type: Any = typing.get_type_hints(AsyncImgwireClient.images.list_all)["return"]
    blocking_type: Any = typing.get_type_hints(ImgwireClient.images.list_all)["return"]
    assert (async_type, blocking_type) == (AsyncGenerator[Image, None], Generator[Image, None, None])
    hints = typing.get_type_hints(AsyncImgwireClient.__init__)
    assert "BaseConnector" in str(hints["connector"])
    assert "SSLContext" in str(hints["ssl"])


# Cached, because `create_autospec` inspects all methods.
@functools.cache
def mocks(cls: Client) -> list[Any]:
    mock_class: Any = create_autospec(cls)
    return [
        create_autospec(cls, instance=True),
        mock_class,
        mock_class("sk_test"),
        create_autospec(cls("sk_test")),
    ]


@clients
def test_a_mock_of_a_client_has_its_resources_with_their_methods(cls: Client) -> None:
    for mock in mocks(cls):
        assert isinstance(mock.closed, object)
        for name in RESOURCES:
            assert hasattr(getattr(mock, name), "delete" if name != "metrics" else "get_stats")
        with pytest.raises(AttributeError):
            _ = mock.images.uplaod
        with pytest.raises(AttributeError):
            _ = mock.pictures
        with pytest.raises(TypeError, match="fiel_name"):
            mock.images.upload("hero.jpg", fiel_name="x")
        with pytest.raises(TypeError, match="image_id"):
            mock.images.retrieve()


def test_a_mock_of_the_blocking_client_returns_values() -> None:
    record = from_dict(Image, image())
    for mock in mocks(ImgwireClient):
        mock.images.upload.return_value = record
        assert mock.images.upload("hero.jpg", wait=True) is record
        mock.images.upload.assert_called_once_with("hero.jpg", wait=True)
        mock.images.list_all.return_value = iter([record])
        assert list(mock.images.list_all()) == [record]


async def test_a_mock_of_the_asynchronous_client_can_be_awaited() -> None:
    record = from_dict(Image, image())
    for mock in mocks(AsyncImgwireClient):
        mock.images.upload.return_value = record
        assert await mock.images.upload("hero.jpg", wait=True) is record
        mock.images.upload.assert_awaited_once_with("hero.jpg", wait=True)
        await mock.aclose()


@pytest.mark.slow
def test_reading_a_resource_of_the_class_does_not_import_the_http_library() -> None:
    import subprocess

    code = "import sys; from imgwire_async import AsyncImgwireClient as C; C.images; print('aiohttp' in sys.modules, 'cattrs' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]
