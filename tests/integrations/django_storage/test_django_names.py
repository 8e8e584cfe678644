"""Only the exact names that the storage backend has stored are its names.

Other packages derive names from them, or bring names of their own.
"""

from __future__ import annotations

import asyncio
import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any, cast

import attrs
import pytest

from imgwire_async import AsyncImgwireClient, Image, ImgwireClient
from imgwire_async.emulator import Emulator

from .with_django import BACKEND, GIF  # isort: skip  # sets Django up

from django import forms
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.db import models
from django.db.models.fields.files import FieldFile
from django.test.utils import override_settings

from imgwire_async.integrations.django import ImgwireStorage

# Names that other packages derive from a stored name `<id>/hero.gif`, or that arise by accident.
DERIVED: dict[str, Callable[[str], str]] = {
    "easy-thumbnails": lambda name: name + ".100x100_q85.jpg",
    "easy-thumbnails, cropped": lambda name: name + ".100x100_q85_crop.jpg",
    "easy-thumbnails, by alias": lambda name: name + ".avatar.jpg",
    "easy-thumbnails, hashed": lambda name: name.partition("/")[0] + "/AbC123xyz.jpg",
    "easy-thumbnails, subdir": lambda name: name.replace("/", "/thumbs/"),
    "sorl": lambda name: "cache/1a/2b/1a2b3c4d.jpg",
    "versatileimagefield": lambda name: f"__sized__/{name}-thumbnail-100x100-70.jpg",
    "versatileimagefield, filter": lambda name: name.replace("/", "/__filtered__/"),
    "imagekit": lambda name: f"CACHE/images/{name}/0a1b2c.jpg",
    "webp": lambda name: name.removesuffix(".gif") + ".webp",
    "backup": lambda name: name + ".bak",
    "random suffix": lambda name: name.replace(".gif", "_x7ay2Kd.gif"),
    "other file": lambda name: name.replace("hero", "other"),
    "upper case": str.upper,
    "upper case id": lambda name: name[:36].upper() + name[36:],
    "upper case extension": lambda name: name.replace(".gif", ".GIF"),
    "id alone": lambda name: name[:36],
    "id and slash": lambda name: name[:37],
    "id without dashes": lambda name: name.replace("-", ""),
    "trailing slash": lambda name: name + "/",
    "trailing newline": lambda name: name + "\n",
    "trailing blank": lambda name: name + " ",
    "leading slash": lambda name: "/" + name,
    "dot": lambda name: "./" + name,
    "dots": lambda name: name[:36] + "/../" + name,
    "two slashes": lambda name: name.replace("/", "//"),
    "backslash": lambda name: name.replace("/", "\\"),
    "query": lambda name: name + "?width=100",
    "fragment": lambda name: name + "#top",
    "quoted": lambda name: name.replace("hero", "h%65ro"),
    "NUL": lambda name: name + "\0.jpg",
    "preset": lambda name: name[:36] + "@thumbnail" + name[36:],
}
# Names of another storage, or of a field's `default=`.
FOREIGN = [
    "avatars/default.png", "default.png", "photos/2026/hero.gif", "../hero.gif", "..", "a/..", "C:/hero.gif",
    "https://example.com/hero.gif", "img_123/hero.gif", "00000000000000000000000000000007/hero.gif", "0/0",
    "{00000000-0000-0000-0000-000000000007}/hero.gif", "urn:uuid:00000000-0000-0000-0000-000000000007/x",
    "٠٠٠٠٠٠٠٠-0000-0000-0000-000000000007/hero.gif", "00000000-0000-0000-0000-000000000007", "x" * 5000,
]  # fmt: skip


@pytest.fixture
def other_process(options: dict[str, Any], storage: ImgwireStorage) -> Iterator[ImgwireStorage]:
    """A storage as in another process, which knows the CDN URL and no image."""
    name = storage.save("first.gif", ContentFile(GIF))
    other_process = ImgwireStorage(**options, cdn_base=storage.url(name).rpartition("/")[0])
    yield other_process
    other_process.client.close()


@pytest.fixture(params=["the storage that saved the file", "a storage of another process"])
def any_storage(
    request: pytest.FixtureRequest, storage: ImgwireStorage, other_process: ImgwireStorage
) -> ImgwireStorage:
    return storage if "saved" in request.param else other_process


@pytest.fixture
def offline() -> ImgwireStorage:
    """A storage whose API cannot be reached."""
    return ImgwireStorage(api_key="k", base_url="http://127.0.0.1:9", retries=0)


def require_never_stored(storage: ImgwireStorage, name: str) -> None:
    assert not storage.exists(name)
    for method in (
        storage.open, storage.size, storage.image, storage.get_created_time, storage.get_modified_time
    ):  # fmt: skip
        with pytest.raises(FileNotFoundError, match="was not stored here"):
            method(name)
    storage.delete(name)


def test_a_derived_name_is_a_missing_file_and_its_original_is_kept(
    storage: ImgwireStorage, emulator: Emulator
) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    emulator.requests.clear()
    for derive in DERIVED.values():
        require_never_stored(storage, derive(name))
    # The storage knows the name of the file that it has saved.
    assert list(emulator.requests) == []
    assert storage.exists(name)
    assert storage.image(name).id == name[:36]


@pytest.mark.parametrize(
    "how", ["easy-thumbnails", "easy-thumbnails, hashed", "webp", "upper case", "trailing newline", "query"]
)
def test_a_derived_name_is_a_missing_file_in_another_process(
    other_process: ImgwireStorage, storage: ImgwireStorage, emulator: Emulator, how: str
) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    emulator.requests.clear()
    other_process.delete(DERIVED[how](name))
    require_never_stored(other_process, DERIVED[how](name))
    assert storage.exists(name)
    assert {(request.method, request.status) for request in emulator.requests} == {("GET", 200)}


def test_a_derived_name_never_has_the_url_of_its_original(
    any_storage: ImgwireStorage, storage: ImgwireStorage
) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    original = any_storage.url(name)
    assert name[:36] in original
    assert [
        how for how, derive in DERIVED.items() if not any_storage.url(derive(name)).startswith("/media/")
    ] == []
    assert any_storage.url(name) == original


@pytest.mark.parametrize("how", ["easy-thumbnails", "easy-thumbnails, by alias", "easy-thumbnails, subdir"])
def test_a_name_that_may_be_derived_from_an_unknown_name_is_checked_once(
    other_process: ImgwireStorage, storage: ImgwireStorage, emulator: Emulator, how: str
) -> None:
    derived = DERIVED[how](storage.save("hero.gif", ContentFile(GIF)))
    emulator.requests.clear()
    assert [other_process.url(derived) for _ in range(3)] == [f"/media/{derived}"] * 3
    assert len(emulator.requests) == ("subdir" not in how)


def test_a_stored_name_that_looks_derived_is_found(
    other_process: ImgwireStorage, storage: ImgwireStorage
) -> None:
    name = storage.save("hero.jpg.100x100_q85.gif", ContentFile(GIF))
    assert other_process.url(name).endswith(name[:36])
    assert other_process.exists(name)


def test_an_impossible_name_sends_no_request(offline: ImgwireStorage) -> None:
    for name in FOREIGN:
        require_never_stored(offline, name)
        with pytest.raises(FileNotFoundError, match="was not stored here") as caught:
            offline.listdir(f"{name}/x")
        assert len(str(caught.value)) < 600
        assert offline.url(name).startswith("/"), name
        assert not offline.url(name).startswith("//"), name


def test_a_foreign_name_has_the_url_of_djangos_own_storage(
    offline: ImgwireStorage,
) -> None:
    own = storages.create_storage({"BACKEND": "django.core.files.storage.FileSystemStorage"})
    for name in ("avatars/default.png", "a b/ü.png", "/x.png", "a?b#c.png"):
        assert offline.url(name) == own.url(name)
    with override_settings(MEDIA_URL="https://old.example.com/media/"):
        assert (
            offline.url("avatars/default.png", width=100)
            == "https://old.example.com/media/avatars/default.png"
        )


def test_an_unknown_or_deleted_image_is_a_missing_file(storage: ImgwireStorage, emulator: Emulator) -> None:
    name = f"{uuid.UUID(int=7)}/hero.gif"
    assert not storage.exists(name)
    storage.delete(name)
    # The storage does not know the CDN URL yet.
    assert storage.url(name) == f"/media/{name}"
    deleted = storage.save("hero.gif", ContentFile(GIF))
    storage.delete(deleted)
    assert not storage.exists(deleted)
    storage.delete(deleted)


def test_a_name_may_be_a_path_object(storage: ImgwireStorage) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    path: Any = PurePosixPath(name)
    assert storage.exists(path)
    assert storage.url(path) == storage.url(name)
    assert storage.listdir(path.parent) == ([], ["hero.gif"])
    storage.delete(path)
    assert not storage.exists(name)


def test_the_file_name_of_the_service_counts(
    storage: ImgwireStorage, emulator: Emulator, other_process: ImgwireStorage
) -> None:
    uploaded = storage.client.images.upload(io.BytesIO(GIF), file_name="C:\\photos\\hero.gif")
    name = other_process.name_of(uploaded)
    assert name == f"{uploaded.id}/hero.gif"
    assert other_process.exists(name)
    assert other_process.listdir(uploaded.id) == ([], ["hero.gif"])
    assert [
        other_process.name_of(attrs.evolve(uploaded, original_filename=odd)) for odd in ("", "..", "a/")
    ] == [f"{uploaded.id}/file"] * 3


@pytest.mark.parametrize(
    "given", ["hero.gif.100x100_q85.jpg", "../../hero.gif", "a/../hero.gif", "/hero.gif"]
)
def test_an_available_name_is_a_file_name_without_an_id(offline: ImgwireStorage, given: str) -> None:
    stored = f"{uuid.UUID(int=7)}/{given}"
    assert offline.get_available_name(stored, max_length=100) == given.rpartition("/")[2]


@pytest.mark.slow
def test_the_number_of_remembered_names_is_limited(other_process: ImgwireStorage) -> None:
    for number in range(10_010):
        other_process.url(f"{uuid.UUID(int=number)}/hero.gif")
    assert len(other_process._names.unchecked) <= 10_000


class Member(models.Model):
    avatar = models.ImageField(default="avatars/default.png")

    class Meta:
        app_label = "pictures"


def test_a_field_with_a_default_can_be_shown_edited_and_deleted(
    options: dict[str, Any], emulator: Emulator
) -> None:
    with override_settings(STORAGES={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
        avatar: FieldFile = Member().avatar
        assert avatar
        assert avatar.url == "/media/avatars/default.png"
        assert 'href="/media/avatars/default.png"' in forms.ClearableFileInput().render("avatar", avatar)
        with pytest.raises(FileNotFoundError, match="was not stored here"):
            avatar.open()
        avatar.delete(save=False)
    assert list(emulator.requests) == []


@pytest.mark.parametrize("blocking", [True, False])
def test_a_stored_file_can_be_uploaded_again_by_both_clients(
    options: dict[str, Any], emulator: Emulator, blocking: bool
) -> None:
    """To read a field's file, the storage calls its blocking client, which must not run on an event loop."""
    settings = {name: options[name] for name in ("api_key", "base_url")}
    with override_settings(STORAGES={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
        member = Member()
        member.avatar.save("hero.gif", ContentFile(GIF), save=False)
        again: FieldFile = Member(avatar=member.avatar.name).avatar
        if blocking:
            with ImgwireClient(**settings) as client:
                image = client.images.upload(cast("Any", again))
        else:

            async def upload() -> Image:
                async with AsyncImgwireClient(**settings) as client:
                    return await client.images.upload(cast("Any", again))

            image = asyncio.run(upload())
    stored = emulator.images[image.id].stored
    assert stored is not None
    assert stored.data == GIF
    assert image.original_filename == "hero.gif"
