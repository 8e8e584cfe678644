"""A Django project that uses one of four thumbnail packages and prints a report about the files.

Usage: `python thumbnail_site.py PACKAGE FOLDER STORAGE`. The originals are stored at Imgwire. STORAGE is the
storage of the thumbnails: "disk", or "default" for the storage of the originals. The settings of the packages
exclude each other, so each package runs in a process of its own.
"""

# ruff: noqa: E402  # Django must be set up before models are imported

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

PACKAGE, FOLDER, DERIVED = sys.argv[1:4]

import django
from django.conf import settings

STORAGES = {
    "default": {"BACKEND": "imgwire_async.integrations.django.ImgwireStorage"},
    "disk": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
}
# The settings that docs/frameworks.md recommends.
OPTIONS: dict[str, dict[str, Any]] = {
    "easy_thumbnails": {"THUMBNAIL_DEFAULT_STORAGE_ALIAS": DERIVED},
    "sorl.thumbnail": {"THUMBNAIL_STORAGE": DERIVED},
    "imagekit": {"IMAGEKIT_DEFAULT_FILE_STORAGE": DERIVED},
    "versatileimagefield": {},
}
settings.configure(
    INSTALLED_APPS=[PACKAGE],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    STORAGES=STORAGES,
    MEDIA_ROOT=FOLDER,
    MEDIA_URL="/media/",
    USE_TZ=True,
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
    **OPTIONS[PACKAGE],
)
django.setup()

from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.db import connection, models
from PIL import Image


def image_field() -> models.ImageField[Any, Any]:
    if PACKAGE == "easy_thumbnails":
        from easy_thumbnails.fields import ThumbnailerImageField as Field
    elif PACKAGE == "sorl.thumbnail":
        from sorl.thumbnail import ImageField as Field
    elif PACKAGE == "versatileimagefield":
        from versatileimagefield.fields import VersatileImageField as Field
    else:
        from django.db.models import ImageField as Field
    return Field()


class Picture(models.Model):
    file = image_field()
    if PACKAGE == "imagekit":
        from imagekit.models import ImageSpecField
        from imagekit.processors import ResizeToFill

        small = ImageSpecField(source="file", processors=[ResizeToFill(32, 24)], format="JPEG")

    class Meta:
        app_label = "pictures"


def jpeg(color: str) -> ContentFile[bytes]:
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), color).save(stream, "JPEG")
    return ContentFile(stream.getvalue(), f"{color}.jpg")


def thumbnail_of(picture: Picture) -> str:
    """Make a thumbnail, as a template does, and return its URL."""
    file: Any = picture.file
    if PACKAGE == "easy_thumbnails":
        return str(file.get_thumbnail({"size": (32, 24), "crop": True}).url)
    if PACKAGE == "sorl.thumbnail":
        from sorl.thumbnail import get_thumbnail

        return str(get_thumbnail(file, "32x24", crop="center").url)
    if PACKAGE == "versatileimagefield":
        return str(file.thumbnail["32x24"].url)
    return str(picture.small.url)


def forget_thumbnails(picture: Picture) -> None:
    """Delete the thumbnails by all methods of the package, and keep the original."""
    file: Any = picture.file
    if PACKAGE == "easy_thumbnails":
        file.delete_thumbnails()
        thumbnail_of(picture)
        call_command("thumbnail_cleanup", stdout=io.StringIO())
    elif PACKAGE == "sorl.thumbnail":
        from sorl.thumbnail import delete

        delete(file, delete_file=False)
        for how in ("cleanup", "clear", "clear_delete_referenced", "clear_delete_all"):
            thumbnail_of(picture)
            call_command("thumbnail", how, stdout=io.StringIO(), verbosity=0)
    elif PACKAGE == "versatileimagefield":
        thumbnail: Any = file.thumbnail["32x24"]
        thumbnail.delete()
        inverted: Any = file.filters.invert
        inverted.delete()
        file.delete_all_created_images()
    else:
        call_command("generateimages", stdout=io.StringIO())
        small: Any = picture.small
        small.generate(force=True)
        small.storage.delete(small.name)


def result_or_error(function: Callable[..., object], *args: object) -> object:
    try:
        return function(*args)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def on_disk() -> list[str]:
    return sorted(str(path.relative_to(FOLDER)) for path in Path(FOLDER).rglob("*") if path.is_file())


def sizes(paths: list[str]) -> list[tuple[int, int]]:
    return [Image.open(Path(FOLDER, path)).size for path in paths]


call_command("migrate", verbosity=0)
with connection.schema_editor() as editor:
    editor.create_model(Picture)
picture, other = Picture.objects.create(file=jpeg("red")), Picture.objects.create(file=jpeg("blue"))
first, again = result_or_error(thumbnail_of, picture), result_or_error(thumbnail_of, picture)
made = on_disk()
report: dict[str, object] = {
    "original": picture.file.url,
    "thumbnail": first,
    "again": again,
    "on_disk": made,
    "sizes": sizes(made),
    "images": len(default_storage.listdir("")[0]),
}
if DERIVED == "disk" and PACKAGE == "easy_thumbnails":
    call_command("thumbnail_cleanup", stdout=io.StringIO())
    report["kept"] = on_disk()
report["forgot"] = result_or_error(forget_thumbnails, picture)
report["left_on_disk"] = on_disk()
report["survivors"] = [default_storage.exists(str(row.file)) for row in (picture, other)]
with default_storage.open(str(picture.file)) as file:
    report["opened"] = Image.open(file).size
name = str(picture.file)
report["deleted"] = result_or_error(picture.file.delete)
report["exists"] = [default_storage.exists(stored) for stored in (name, str(other.file))]
print(json.dumps(report))
