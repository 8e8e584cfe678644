"""The storage backend, used through Django's own file API: fields, models, `storages`, migrations."""

from __future__ import annotations

import copy
import io
import os
import pickle
import re
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from imgwire_async import (
    AuthenticationError,
    DownloadError,
    ImageQuarantinedError,
    TransformationError,
    UnsupportedImageError,
    WaitTimeoutError,
)
from imgwire_async.emulator import Emulator

from .with_django import BACKEND, GIF  # isort: skip  # sets Django up

from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile, File
from django.core.files.images import ImageFile
from django.core.files.storage import default_storage, storages
from django.core.files.uploadedfile import SimpleUploadedFile, TemporaryUploadedFile
from django.db import connection, models
from django.db.migrations.autodetector import MigrationAutodetector
from django.db.migrations.state import ModelState, ProjectState
from django.db.migrations.writer import MigrationWriter
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.utils import override_settings

from imgwire_async.integrations.django import ErrorMiddleware, ImgwireFile, ImgwireStorage

MISSING = f"{uuid.UUID(int=7)}/hero.gif"


class Picture(models.Model):
    file = models.FileField(upload_to="photos/%Y")
    cover = models.ImageField(upload_to="covers", width_field="cover_width", null=True)
    cover_width = models.IntegerField(null=True)

    class Meta:
        app_label = "pictures"


@pytest.fixture
def table(options: dict[str, Any]) -> Iterator[None]:
    """Create the table of the model, and make the storage the default one of the project."""
    with override_settings(STORAGES={"default": {"BACKEND": BACKEND, "OPTIONS": options}}):
        with connection.schema_editor() as editor:
            editor.create_model(Picture)
        yield
        with connection.schema_editor() as editor:
            editor.delete_model(Picture)
        storages["default"].client.close()
    connection.close()


def api_requests(emulator: Emulator) -> list[tuple[str, str]]:
    return [
        (request.method, re.sub(r"[0-9a-f-]{36}", "ID", request.target.partition("?")[0]))
        for request in emulator.requests
    ]


# Saving and names


def test_the_name_of_a_saved_file_contains_the_images_id(storage: ImgwireStorage, emulator: Emulator) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    image_id, _, file_name = name.partition("/")
    assert file_name == "hero.gif"
    assert emulator.images[image_id].original_filename == "hero.gif"
    assert storage.image(name).id == image_id


def test_a_name_has_no_folders(storage: ImgwireStorage) -> None:
    assert storage.save("photos/2026/hero.gif", ContentFile(GIF)).count("/") == 1


def test_saving_under_a_stored_name_makes_another_image(storage: ImgwireStorage) -> None:
    first = storage.save("hero.gif", ContentFile(GIF))
    second = storage.save(first, ContentFile(GIF))
    assert first != second
    assert storage.exists(first)
    assert second.endswith("/hero.gif")


@pytest.mark.parametrize(
    "content",
    [
        lambda: ContentFile(GIF),
        lambda: File(io.BytesIO(GIF)),
        lambda: io.BytesIO(GIF),
        lambda: SimpleUploadedFile("browser.gif", GIF, "image/gif"),
        lambda: uploaded_to_disk(GIF),
    ],
    ids=["ContentFile", "File", "plain file", "uploaded in memory", "uploaded to disk"],
)
def test_a_file_of_any_kind_is_sent_completely_even_if_it_was_read_before(
    storage: ImgwireStorage, emulator: Emulator, content: Any
) -> None:
    file = content()
    file.read(3)
    storage.save("hero.gif", file)
    file.close()
    assert [request.body_length for request in emulator.requests if request.method == "PUT"] == [len(GIF)]


def uploaded_to_disk(data: bytes) -> TemporaryUploadedFile:
    file = TemporaryUploadedFile("browser.gif", "image/gif", len(data), None)
    file.write(data)
    file.seek(0)
    return file


@pytest.mark.parametrize(
    ("given", "max_length", "kept"),
    [
        ("hero.gif", None, "hero.gif"),
        ("photos/hero.gif", 100, "hero.gif"),
        ("a" * 300 + ".gif", 100, "a" * 59 + ".gif"),
        ("b" * 300, 40, "bbb"),
        (".profile", 45, ".profile"),
        ("C:\\pictures\\hero.gif", 100, "hero.gif"),
    ],
)
def test_a_name_is_shortened_to_fit_with_the_id(given: str, max_length: int | None, kept: str) -> None:
    assert ImgwireStorage(api_key="k").get_available_name(given, max_length) == kept


@pytest.mark.parametrize("max_length", [10, 37, 41])
def test_a_field_too_short_for_the_id_raises(max_length: int) -> None:
    with pytest.raises(SuspiciousFileOperation, match="max_length of 37"):
        ImgwireStorage(api_key="k").get_available_name("hero.gif", max_length)


@pytest.mark.parametrize("name", ["..", "photos/..", ""])
def test_a_name_of_dots_is_rejected(name: str) -> None:
    with pytest.raises(SuspiciousFileOperation):
        ImgwireStorage(api_key="k").get_available_name(name)


def test_a_file_that_is_no_picture_is_not_saved(storage: ImgwireStorage, emulator: Emulator) -> None:
    with pytest.raises(UnsupportedImageError):
        storage.save("report.pdf", ContentFile(b"%PDF-1.7"))
    assert not emulator.images


def test_purpose_and_metadata_of_the_storage_are_set_on_saved_images(options: dict[str, Any]) -> None:
    storage = ImgwireStorage(**options, purpose="avatar", custom_metadata={"site": "shop"}, wait=True)
    image = storage.image(storage.save("hero.gif", ContentFile(GIF)))
    assert (image.purpose, image.custom_metadata, image.status) == ("avatar", {"site": "shop"}, "READY")
    storage.client.close()


def test_saving_with_wait_raises_when_the_image_is_quarantined(options: dict[str, Any]) -> None:
    storage = ImgwireStorage(**options, wait=True)
    with pytest.raises(ImageQuarantinedError):
        storage.save("broken.gif", ContentFile(GIF[:10]))
    storage.client.close()


# Reading


def test_an_opened_file_has_the_saved_bytes(storage: ImgwireStorage) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    with storage.open(name) as file:
        assert (file.name, file.mode, file.size, len(file)) == (name, "rb", len(GIF), len(GIF))
        assert file.read(3) + file.read() == GIF
        assert b"".join(file.chunks(10)) == GIF
    assert file.closed
    with file.open() as again:
        assert again.read() == GIF


def test_an_unknown_image_is_a_missing_file(storage: ImgwireStorage) -> None:
    for method in (
        storage.open,
        storage.size,
        storage.get_created_time,
        storage.get_modified_time,
        storage.image,
    ):
        with pytest.raises(FileNotFoundError, match="no such image"):
            method(MISSING)
    with pytest.raises(FileNotFoundError, match="no such image"):
        storage.listdir(MISSING.partition("/")[0])


@pytest.mark.parametrize("mode", ["r", "w", "wb", "ab", "r+b"])
def test_a_file_opens_for_reading_bytes_only(mode: str) -> None:
    with pytest.raises(ValueError, match="save a new one"):
        ImgwireStorage(api_key="k").open(MISSING, mode)
    with (
        ImgwireFile(lambda: io.BytesIO(GIF), MISSING) as file,
        pytest.raises(ValueError, match="save a new one"),
    ):
        file.open(mode)


def test_a_file_that_cannot_be_downloaded_is_not_opened(storage: ImgwireStorage, emulator: Emulator) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    emulator.faults.add("GET", "*", host="cdn", cut=10)
    with pytest.raises(DownloadError):
        storage.open(name)
    with storage.open(name) as file:
        assert file.read() == GIF


def test_size_and_times_come_from_the_record(storage: ImgwireStorage) -> None:
    started_at = datetime.now(UTC)
    name = storage.save("hero.gif", ContentFile(GIF))
    assert storage.size(name) == len(GIF)
    for time in (storage.get_created_time(name), storage.get_modified_time(name)):
        assert abs((time - started_at).total_seconds()) < 60
    with override_settings(USE_TZ=False, TIME_ZONE="UTC"):
        assert storage.get_created_time(name).tzinfo is None
    with pytest.raises(NotImplementedError):
        storage.get_accessed_time(name)
    with pytest.raises(NotImplementedError):
        storage.path(name)


def test_open_and_size_raise_when_the_image_is_not_ready_in_time(options: dict[str, Any]) -> None:
    with Emulator(ready_after=3600, null_sizes_while_pending=True) as slow:
        options |= {"api_key": slow.api_key, "base_url": slow.base_url, "ready_timeout": 0.2}
        storage = ImgwireStorage(**options)
        name = storage.save("hero.gif", ContentFile(GIF))
        for method in (storage.open, storage.size):
            with pytest.raises(WaitTimeoutError):
                method(name)
        storage.client.close()


def test_a_deleted_image_does_not_exist_and_can_be_deleted_again(storage: ImgwireStorage) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    assert storage.exists(name)
    storage.delete(name)
    assert not storage.exists(name)
    storage.delete(name)
    with pytest.raises(ValueError, match="name must be given"):
        storage.delete("")


def test_the_root_has_one_folder_per_image_and_the_folder_one_file(storage: ImgwireStorage) -> None:
    names = {storage.save(f"{number}.gif", ContentFile(GIF)) for number in range(3)}
    folders, files = storage.listdir("")
    assert files == []
    assert {f"{folder}/{file}" for folder in folders for file in storage.listdir(folder)[1]} == names
    assert storage.listdir("/")[0] == folders


# URLs


def test_url_sends_no_request_after_the_first_image(
    storage: ImgwireStorage, options: dict[str, Any], emulator: Emulator
) -> None:
    names = [storage.save("hero.gif", ContentFile(GIF)) for _ in range(3)]
    emulator.requests.clear()
    urls = [storage.url(name) for name in names]
    assert api_requests(emulator) == []
    assert urls == [emulator.images[name.partition("/")[0]].cdn_url for name in names]
    # A new storage knows as little as one in another process.
    other = ImgwireStorage(**options)
    assert [other.url(name) for name in names] == urls
    assert api_requests(emulator) == [("GET", "/api/v1/images/ID")]
    other.client.close()


def test_url_applies_the_rules_of_the_storage_and_of_the_call() -> None:
    base = "https://cdn.example.com/o/e"
    storage = ImgwireStorage(api_key="k", cdn_base=f"{base}/", url_rules={"width": 1200, "format": "webp"})
    image_id = MISSING.partition("/")[0]
    assert storage.url(MISSING) == f"{base}/{image_id}?format=webp&width=1200"
    assert storage.url(MISSING, width=300, preset="small") == f"{base}/{image_id}@small?format=webp&width=300"
    with pytest.raises(TransformationError, match="width"):
        storage.url(MISSING, widht=300)


def test_wrong_url_rules_raise_when_the_storage_is_created() -> None:
    with pytest.raises(ImproperlyConfigured, match="did you mean 'width'"):
        ImgwireStorage(api_key="k", url_rules={"widht": 300})


# The storage object


def test_a_storage_without_a_key_raises_on_first_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("IMGWIRE_API_KEY", raising=False)
    storage = ImgwireStorage()
    with pytest.raises(ImproperlyConfigured, match="IMGWIRE_API_KEY"):
        storage.exists(MISSING)


def test_an_unpickled_storage_creates_its_own_client(
    storage: ImgwireStorage, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    monkeypatch.setenv("IMGWIRE_API_KEY", emulator.api_key)
    other = pickle.loads(pickle.dumps(storage))
    assert other.exists(name)
    assert other.client is not storage.client
    other.client.close()


def current_key() -> str:
    return "sk_of_a_function"


def test_a_pickle_contains_no_key_and_needs_one_where_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMGWIRE_API_KEY", raising=False)
    pickled = pickle.dumps(ImgwireStorage(api_key="sk_text"))
    assert b"sk_text" not in pickled
    with pytest.raises(ImproperlyConfigured, match="IMGWIRE_API_KEY"):
        pickle.loads(pickled).exists(MISSING)
    pickle.loads(pickle.dumps(ImgwireStorage(api_key=current_key))).client.close()


@pytest.mark.parametrize("copy_function", [copy.copy, copy.deepcopy])
def test_a_copy_in_this_process_keeps_the_key(
    storage: ImgwireStorage, copy_function: Callable[[ImgwireStorage], ImgwireStorage]
) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    other = copy_function(storage)
    assert other.exists(name)
    assert other.client is not storage.client
    other.client.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_storage_that_was_used_works_on_both_sides_of_a_fork(storage: ImgwireStorage) -> None:
    name = storage.save("hero.gif", ContentFile(GIF))
    child = os.fork()
    if child == 0:
        os._exit(0 if storage.exists(name) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert storage.exists(name)


def test_a_migration_contains_the_storage_without_its_key() -> None:
    storage = ImgwireStorage(
        api_key="sk_secret", base_url="http://127.0.0.1:9", timeout=5, url_rules={"width": 300}
    )
    field = models.ImageField(storage=storage)
    text, _ = MigrationWriter.serialize(field)
    assert "imgwire_async.integrations.django.ImgwireStorage(url_rules={'width': 300})" in text
    assert "sk_secret" not in text
    path, _, arguments = storage.deconstruct()
    assert path == BACKEND
    assert ImgwireStorage(**arguments).deconstruct() == storage.deconstruct()


def test_an_unchanged_storage_makes_no_migration() -> None:
    def state() -> ProjectState:
        field = models.ImageField(storage=ImgwireStorage(api_key="k", url_rules={"width": 300}))
        project = ProjectState()
        project.add_model(
            ModelState("pictures", "Shot", [("id", models.AutoField(primary_key=True)), ("file", field)])
        )
        return project

    assert MigrationAutodetector(state(), state())._detect_changes() == {}


# Fields and models


@pytest.mark.usefixtures("table")
def test_a_model_saves_reads_and_deletes_its_files(emulator: Emulator) -> None:
    picture = Picture()
    picture.file.save("hero.gif", ContentFile(GIF))
    found = Picture.objects.get(pk=picture.pk)
    assert found.file.name == picture.file.name
    assert found.file.name.endswith("/hero.gif")
    assert found.file.url == emulator.images[found.file.name.partition("/")[0]].cdn_url
    assert found.file.size == len(GIF)
    with found.file.open() as file:
        assert file.read() == GIF
    with found.file.open() as file:
        assert file.read() == GIF
    assert default_storage.exists(found.file.name)
    found.file.delete()
    assert not emulator.images


@pytest.mark.usefixtures("table")
def test_an_image_field_stores_its_size_without_a_request(emulator: Emulator) -> None:
    pytest.importorskip("PIL", reason="Django's ImageField needs Pillow")
    Picture.objects.create(file=ContentFile(GIF, "a.gif"), cover=ImageFile(io.BytesIO(GIF), "cover.gif"))
    emulator.requests.clear()
    found = Picture.objects.get()
    assert found.cover_width == 1
    assert found.cover.name.endswith("/cover.gif")
    assert api_requests(emulator) == []
    with found.cover.open():
        assert (found.cover.width, found.cover.height) == (1, 1)


@pytest.mark.usefixtures("table")
def test_a_long_name_is_shortened_to_the_fields_max_length() -> None:
    picture = Picture.objects.create(file=ContentFile(GIF, "x" * 200 + ".gif"))
    assert len(picture.file.name) == 100


# The middleware


def test_the_middleware_handles_only_errors_of_this_package(
    storage: ImgwireStorage, caplog: pytest.LogCaptureFixture
) -> None:
    def get_response(_: HttpRequest) -> HttpResponse:
        return HttpResponse()

    middleware, request = ErrorMiddleware(get_response), RequestFactory().get("/pictures/7")
    with pytest.raises(UnsupportedImageError) as caught:
        storage.save("report.pdf", ContentFile(b"%PDF-1.7"))
    response = middleware.process_exception(request, caught.value)
    assert response is not None
    assert (response.status_code, response["Content-Type"]) == (415, "application/problem+json")
    assert caplog.records == []
    assert middleware.process_exception(request, KeyError("x")) is None


def test_the_middleware_logs_responses_of_500_or_more(caplog: pytest.LogCaptureFixture) -> None:
    middleware = ErrorMiddleware(lambda _: HttpResponse())
    error = AuthenticationError("the key was rejected", status=401)
    response = middleware.process_exception(RequestFactory().get("/pictures/7"), error)
    assert response is not None
    assert response.status_code == 502
    assert [record.message for record in caplog.records] == ["GET '/pictures/7': the key was rejected"]


def test_a_request_path_cannot_add_a_line_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    request = RequestFactory().get("/a%0AWARNING%20forged%1B[2J")
    ErrorMiddleware(lambda _: HttpResponse()).process_exception(
        request, AuthenticationError("no", status=401)
    )
    assert [record.message for record in caplog.records] == [r"GET '/a\nWARNING forged\x1b[2J': no"]
