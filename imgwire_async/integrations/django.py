"""A storage backend for Django, and a middleware for errors of this package. Needs the extra `django`.

```python
# settings.py
STORAGES = {
    "default": {
        "BACKEND": "imgwire_async.integrations.django.ImgwireStorage",
        "OPTIONS": {"url_rules": {"preset": "medium"}},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
MIDDLEWARE = [..., "imgwire_async.integrations.django.ErrorMiddleware"]
```

The name of a stored file is `<image id>/<file name>`, because the service chooses the id of an image. The
storage finds a file only by this exact name. A thumbnail package may derive another name from this name. For
the storage, no file with the derived name exists.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, Self, cast
from urllib.parse import urljoin

try:
    from django.conf import settings
except ImportError as _missing:
    raise ImportError(
        "imgwire_async.integrations.django needs Django: pip install 'imgwire-async[django]'"
    ) from _missing
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import File
from django.core.files.storage import Storage
from django.core.files.utils import validate_file_name
from django.http import HttpRequest, HttpResponse
from django.utils.deprecation import MiddlewareMixin
from django.utils.encoding import filepath_to_uri
from django.utils.timezone import make_naive

from imgwire_async import (
    ConfigurationError,
    Image,
    ImgwireClient,
    ImgwireError,
    NotFoundError,
    RetryPolicy,
    Timeouts,
    TransformationError,
    build_url,
)
from imgwire_async.integrations._django_names import ID_LENGTH, StoredNames, match_id, name_of, never_stored
from imgwire_async.integrations.http import response_for

if TYPE_CHECKING:
    BytesFile = File[bytes]
else:
    # Only the type stubs of Django declare `File` as generic.
    BytesFile = File

__all__ = ["ErrorMiddleware", "ImgwireFile", "ImgwireStorage"]

logger: logging.Logger = logging.getLogger("imgwire_async.integrations")

# The maximum size in bytes of an opened file that is kept in memory. A larger file goes to a temporary file.
_MAX_MEMORY = 2**20


class ImgwireStorage(Storage):
    """A Django storage that keeps the files of `FileField` and `ImageField` at Imgwire.

    The storage creates a client on the first call in a process. So the storage itself can be created at
    import time, used after a fork, pickled, and written into migrations. Migrations and pickles contain no
    API key. If `api_key` is a function, a pickle refers to this function. Otherwise a process that loads the
    pickle reads `IMGWIRE_API_KEY`. An unknown image raises `FileNotFoundError`. All other errors are those of
    `ImgwireClient`.

    Args:
        api_key: The API key, or a function that returns it. None means `IMGWIRE_API_KEY`.
        environment_id: As for `ImgwireClient`. None means `IMGWIRE_ENVIRONMENT_ID`.
        base_url: As for `ImgwireClient`. None means `IMGWIRE_API_BASE_URL`.
        timeout: As for `ImgwireClient`.
        retries: As for `ImgwireClient`.
        cdn_base: The part of the image URLs before the image's id,
            `https://cdn.imgwire.dev/<organization>/<environment>`. None means that the storage takes this
            part from the URL of the first image, which costs one request per process.
        url_rules: The transformation of the URLs that `url()` returns, such as `{"preset": "thumbnail"}` or
            `{"width": 1200}`.
        wait: Whether saving waits until the image is READY. A number is the maximum of this wait in seconds.
        ready_timeout: Maximum number of seconds that `open()` and `size()` wait until the image is READY.
        purpose: The purpose of each saved image.
        custom_metadata: The metadata of each saved image.
    """

    location: str = ""
    """Always empty. Without this attribute, packages that delete unused files would search `MEDIA_ROOT`."""

    def __init__(
        self,
        *,
        api_key: str | Callable[[], str] | None = None,
        environment_id: str | None = None,
        base_url: str | None = None,
        timeout: Timeouts | float | None = Timeouts(),  # noqa: B008  # frozen
        retries: RetryPolicy | int | None = RetryPolicy(),  # noqa: B008  # frozen
        cdn_base: str | None = None,
        url_rules: Mapping[str, object] | None = None,
        wait: bool | float = False,
        ready_timeout: float = 120.0,
        purpose: str | None = None,
        custom_metadata: Mapping[str, str | int | float | bool] | None = None,
    ) -> None:
        self._settings: dict[str, Any] = {
            "api_key": api_key,
            "environment_id": environment_id,
            "base_url": base_url,
            "timeout": timeout,
            "retries": retries,
        }
        self._cdn_base = None if cdn_base is None else cdn_base.rstrip("/")
        self._url_rules = dict(url_rules or {})
        self._wait = wait
        self._ready_timeout = ready_timeout
        self._purpose = purpose
        self._custom_metadata = None if custom_metadata is None else dict(custom_metadata)
        self._client: ImgwireClient | None = None
        self._fetched_cdn_base: str | None = None
        self._names = StoredNames()
        # Build one URL, so that a mistake in `url_rules` raises now, and not on the first page with an image.
        self._build_url(self._cdn_base or "https://cdn.invalid/organization/environment", "id", {})

    # The methods below implement the storage API of Django.

    def _open(self, name: str, mode: str = "rb") -> ImgwireFile:
        if mode != "rb":
            raise ValueError(
                f"mode must be 'rb', not {mode!r}: an image at Imgwire is never changed, save a new one"
            )
        return ImgwireFile(lambda: self._fetch(self._wait_until_ready(self.image(name))), name)

    def _save(self, name: str, content: File[Any]) -> str:
        if content.seekable():
            # Go back to the start, because the validation of a form may have read a part of the file.
            content.seek(0)
        file_name = name.rpartition("/")[2]
        image = self.client.images.upload(
            cast("IO[bytes]", content),
            file_name=file_name,
            wait=self._wait,
            purpose=self._purpose,
            custom_metadata=self._custom_metadata,
        )
        self._remember(image)
        return self.name_of(image)

    def delete(self, name: str) -> None:
        """Delete the image `name` at the service.

        If the image does not exist, the method does nothing, as in Django's own storages.
        """
        if not name:
            raise ValueError("The name must be given to delete().")
        try:
            image_id = self._names.image_id(name)
            if not self._names.is_confirmed(image_id):
                # Raises `FileNotFoundError` if the image with this id has another file name.
                self.image(name)
            self.client.images.delete(image_id)
        except (FileNotFoundError, NotFoundError):
            pass

    def exists(self, name: str) -> bool:
        """Return whether the service has an image with exactly this `name`.

        For a name that is not of the form `<image id>/<file name>`, return False without a request.
        """
        try:
            self.image(name)
        except FileNotFoundError:
            return False
        return True

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Return two lists: the names of the folders in `path`, and the names of the files in it.

        The root has one folder per image, named by the image's id. The folder contains one file. To list the
        root, the storage fetches all pages of images.
        """
        folder = str(path).strip("/")
        if folder in {"", "."}:
            return [image.id for image in self.client.images.list_all()], []
        if match_id(folder) is None:
            raise never_stored(path)
        return [], [self.name_of(self._record(folder, path)).partition("/")[2]]

    def size(self, name: str) -> int:
        """Wait until the service knows the size of the original file `name`, and return it in bytes."""
        image = self._wait_until_ready(self.image(name), metadata=True)
        return image.size_bytes

    def url(self, name: str | None, **rules: object) -> str:
        """Return the CDN URL of the image `name`, with the storage's `url_rules`.

        `rules` are additional rules for this URL. They replace rules of the same names in `url_rules`. Once
        `cdn_base` is known, the method sends no request, with one exception: for a name that other code may
        have derived from a stored name, it asks the service once. For a name that was never stored here, the
        method returns the same URL as Django's own storage: `MEDIA_URL` and the name.
        """
        try:
            image_id = self._names.image_id(name or "")
            base = self._cdn_base or self._fetched_cdn_base
            if base is None or self._names.needs_check(image_id, str(name)):
                image = self.image(str(name))
                base = base or self._fetched_cdn_base or image.cdn_url.removesuffix(f"/{image_id}")
        except FileNotFoundError:
            media: str = settings.MEDIA_URL
            return urljoin(media, filepath_to_uri(str(name or "")).lstrip("/"))
        return self._build_url(base, image_id, rules)

    def get_created_time(self, name: str) -> datetime:
        """Return the time at which the record of `name` was created.

        With `USE_TZ`, the time has a time zone. Otherwise the time is naive, in Django's current time zone.
        """
        return _to_django_time(self.image(name).created_at)

    def get_modified_time(self, name: str) -> datetime:
        """Return the time of the last change of the record of `name`; the picture itself never changes."""
        return _to_django_time(self.image(name).updated_at)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return `name` without folders, shortened to fit into `max_length` together with the image's id.

        Each saved file gets a new id, so the name is always free. Raises `SuspiciousFileOperation` when
        `max_length` is too small for the id, a slash, one character and the extension.
        """
        file_name = str(name).replace("\\", "/").rpartition("/")[2]
        validate_file_name(file_name)
        if max_length is None:
            return file_name
        max_file_name_length = max_length - ID_LENGTH - 1
        extension = PurePath(file_name).suffix
        stem = file_name.removesuffix(extension)[: max(0, max_file_name_length - len(extension))]
        if not stem:
            raise SuspiciousFileOperation(
                f"{file_name!r} is too long: give the field a max_length of {ID_LENGTH + 1} (the image's id and a slash) "
                "plus the length of the longest file name"
            )
        return stem + extension

    # The members below are not part of the storage API of Django.

    @property
    def client(self) -> ImgwireClient:
        """The client of this storage, created on first use.

        Raises `ImproperlyConfigured` for wrong settings.
        """
        if self._client is None:
            try:
                self._client = ImgwireClient(**self._settings)
            except ConfigurationError as error:
                raise ImproperlyConfigured(str(error)) from error
        return self._client

    def image(self, name: str) -> Image:
        """Fetch the record of the stored file `name` with one request.

        The record has the size and status, and the methods `responsive()` and `srcset()`. Raises
        `FileNotFoundError` if the service does not know the image, or knows it under another file name.
        """
        image = self._record(self._names.image_id(name), name)
        if self.name_of(image) != str(name):
            raise never_stored(name)
        return image

    def name_of(self, image: Image) -> str:
        """Return the name of `image` in this storage, which can be assigned to a `FileField`.

        The storage need not have saved the image: a browser or a script may have uploaded it.
        """
        return name_of(image)

    # The methods below are internal, or are called by Django's migrations, by pickle and by copy.

    def _record(self, image_id: str, name: str) -> Image:
        try:
            image = self.client.images.retrieve(image_id)
        except NotFoundError as error:
            raise FileNotFoundError(f"{name!r}: Imgwire has no such image in this environment") from error
        self._remember(image)
        return image

    def _fetch(self, image: Image) -> IO[bytes]:
        content = tempfile.SpooledTemporaryFile(_MAX_MEMORY)  # noqa: SIM115  # the caller closes it
        try:
            with self.client.images.stream(image) as chunks:
                for chunk in chunks:
                    content.write(chunk)
            content.seek(0)
        except BaseException:
            content.close()
            raise
        return cast("IO[bytes]", content)

    def _wait_until_ready(self, image: Image, *, metadata: bool = False) -> Image:
        return self.client.images.wait_until_ready(image, timeout=self._ready_timeout, metadata=metadata)

    def _remember(self, image: Image) -> None:
        self._names.add(image)
        # All images of an environment have the same URL before the id, so keep this part for `url()`.
        if image.cdn_url.endswith(f"/{image.id}"):
            self._fetched_cdn_base = image.cdn_url.removesuffix(f"/{image.id}")

    def _build_url(self, base: str, image_id: str, rules: Mapping[str, object]) -> str:
        try:
            return build_url(f"{base}/{image_id}", cast("Any", {**self._url_rules, **rules}))
        except TransformationError as error:
            if rules:
                raise
            raise ImproperlyConfigured(f"url_rules of ImgwireStorage: {error}") from error

    def deconstruct(self) -> tuple[str, tuple[()], dict[str, object]]:
        """Return the class and the arguments for a migration, without the arguments of the client."""
        default = ImgwireStorage()
        names = ("cdn_base", "url_rules", "wait", "ready_timeout", "purpose", "custom_metadata")
        options = {name: getattr(self, f"_{name}") for name in names}
        changed = {name: value for name, value in options.items() if value != getattr(default, f"_{name}")}
        return f"{type(self).__module__}.{type(self).__qualname__}", (), changed

    def __getstate__(self) -> dict[str, object]:
        key = self._settings["api_key"]
        settings_without_key = {**self._settings, "api_key": None if isinstance(key, str) else key}
        # The client is left out, because connections cannot be pickled.
        return {**self.__dict__, "_settings": settings_without_key, "_client": None, "_names": StoredNames()}

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, _client=None, _names=StoredNames())
        return copied

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # A shallow copy is enough, because settings never change. `__getstate__` would remove the API key.
        return self.__copy__()


class ImgwireFile(BytesFile):
    """A stored picture that is open for reading.

    `ImgwireStorage.open` returns an object of this class. `fetch` is a function that downloads the picture
    and returns it as an open file, and `name` is the name in the storage. A picture of more than 1 MiB is
    kept in a temporary file, and a smaller picture in memory. The CDN delivers the picture without a
    transformation, but the service does not promise that the bytes equal the uploaded bytes.
    """

    file: IO[bytes] | None

    def __init__(self, fetch: Callable[[], IO[bytes]], name: str) -> None:
        super().__init__(fetch(), name)
        self.mode: str = "rb"
        self._fetch = fetch

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> ImgwireFile:
        """Go back to the first byte and return the file. A closed file is downloaded again.

        `mode` must be "rb" or None. Further arguments are ignored.
        """
        if mode not in {None, "rb"}:
            raise ValueError(
                f"mode must be 'rb', not {mode!r}: an image at Imgwire is never changed, save a new one"
            )
        if self.closed:
            self.file = self._fetch()
        self.seek(0)
        return self


class ErrorMiddleware(MiddlewareMixin):
    """A middleware that turns an `ImgwireError` into an HTTP response if no view has caught the error.

    `imgwire_async.integrations.http.response_for` makes the response. If its status is 500 or more, the
    logger `imgwire_async.integrations` logs the error as a WARNING.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return the response to `request` if the `exception` is an `ImgwireError`, else None."""
        if not isinstance(exception, ImgwireError):
            return None
        status, headers, body = response_for(exception)
        if status >= 500:
            logger.warning("%s %r: %s", request.method, request.path, exception, exc_info=exception)
        return HttpResponse(body, status=status, headers=headers)


def _to_django_time(time: datetime) -> datetime:
    return time if settings.USE_TZ else make_naive(time)
