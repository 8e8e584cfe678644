"""What editors, `help()`, `inspect` and mock libraries do to clients works everywhere, also where no loop runs."""

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

clients = pytest.mark.parametrize("kind", CLIENTS, ids=lambda kind: kind.__name__)


def things(kind: Client) -> list[Any]:
    client = kind("sk_test")
    closed = ImgwireClient("sk_test")
    closed.close()
    resources = [getattr(client, name) for name in RESOURCES]
    return [kind, client, closed, client.with_options(timeout=1), *resources, *map(type, resources)]


@clients
def test_all_members_can_be_listed_and_nothing_is_opened_for_it(kind: Client) -> None:
    for thing in things(kind):
        members = dict(inspect.getmembers(thing))
        assert members.keys() >= {name for name in dir(thing) if not name.startswith("_")}
    client = kind("sk_test")
    inspect.getmembers(client)
    inspect.getmembers(client.images)
    assert not client._shared.sessions._by_loop


@clients
def test_help_shows_what_there_is(kind: Client) -> None:
    for thing in things(kind):
        assert pydoc.plain(pydoc.render_doc(thing))
    assert "Upload a picture straight to the storage" in pydoc.render_doc(kind("sk_test").images)
    for name in RESOURCES:
        assert name in pydoc.plain(pydoc.render_doc(kind))


@clients
def test_every_public_method_has_a_signature(kind: Client) -> None:
    for thing in things(kind):
        for name, value in inspect.getmembers(thing, inspect.isroutine):
            if not name.startswith("_"):
                assert "self" not in inspect.signature(value).parameters or inspect.isclass(thing)


@clients
def test_the_class_of_a_client_knows_the_classes_of_its_resources(kind: Client) -> None:
    client: Any = kind("sk_test")
    for name in RESOURCES:
        assert getattr(kind, name) is type(getattr(client, name))
        assert vars(client)[name] is getattr(client, name)
    assert client.images is not client.with_options(timeout=1).images


@clients
def test_the_types_of_every_public_method_can_be_resolved(kind: Client) -> None:
    for thing in (kind, *(getattr(kind, name) for name in RESOURCES)):
        for name, value in inspect.getmembers(thing, inspect.isfunction):
            if name == "__init__" or not name.startswith("_"):
                hints = typing.get_type_hints(value)
                assert hints.keys() >= set(inspect.signature(value).parameters) - {
                    "self",
                    "original",
                    "transport",
                }
                assert "return" in hints


def test_the_types_are_the_clients_own() -> None:
    assert typing.get_type_hints(ImgwireClient.images.upload)["return"] is Image
    assert typing.get_type_hints(AsyncImgwireClient.images.upload)["return"] is Image
    of_async: Any = typing.get_type_hints(AsyncImgwireClient.images.list_all)["return"]
    of_blocking: Any = typing.get_type_hints(ImgwireClient.images.list_all)["return"]
    assert (of_async, of_blocking) == (AsyncGenerator[Image, None], Generator[Image, None, None])
    hints = typing.get_type_hints(AsyncImgwireClient.__init__)
    assert "BaseConnector" in str(hints["connector"])
    assert "SSLContext" in str(hints["ssl"])


@functools.cache  # to make one looks at every method
def mocks(kind: Client) -> list[Any]:
    of_a_class: Any = create_autospec(kind)
    return [
        create_autospec(kind, instance=True),
        of_a_class,
        of_a_class("sk_test"),
        create_autospec(kind("sk_test")),
    ]


@clients
def test_a_mock_of_a_client_has_its_resources_with_their_methods(kind: Client) -> None:
    for mock in mocks(kind):
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


def test_a_mock_of_the_blocking_client_answers() -> None:
    made = from_dict(Image, image())
    for mock in mocks(ImgwireClient):
        mock.images.upload.return_value = made
        assert mock.images.upload("hero.jpg", wait=True) is made
        mock.images.upload.assert_called_once_with("hero.jpg", wait=True)
        mock.images.list_all.return_value = iter([made])
        assert list(mock.images.list_all()) == [made]


async def test_a_mock_of_the_asynchronous_client_is_awaited() -> None:
    made = from_dict(Image, image())
    for mock in mocks(AsyncImgwireClient):
        mock.images.upload.return_value = made
        assert await mock.images.upload("hero.jpg", wait=True) is made
        mock.images.upload.assert_awaited_once_with("hero.jpg", wait=True)
        await mock.aclose()


@pytest.mark.slow
def test_naming_a_resource_of_the_class_loads_no_http_library() -> None:
    import subprocess

    code = "import sys; from imgwire_async import AsyncImgwireClient as C; C.images; print('aiohttp' in sys.modules, 'cattrs' in sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.split() == ["False", "False"]
