"""A Django storage backend, and errors of this package as answers. (extra `django`)

```python
# settings.py
STORAGES = {
    "default": {
        "BACKEND": "imgwire_async.integrations.django.ImgwireStorage",
        "OPTIONS": {"url_rules": {"preset": "medium"}},
    },
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
MIDDLEWARE = [..., "imgwire_async.integrations.django.ErrorAnswers"]
```

The name of a stored file is `<image id>/<file name>`: the service names images by id, and it chooses the id. A name counts as
a whole: one that other code derived from it, or that another storage made, is a missing file.
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
from imgwire_async.integrations._django_names import ID_LENGTH, StoredNames, is_id, name_of, never_stored
from imgwire_async.integrations.http import answer_for

if TYPE_CHECKING:
    BytesFile = File[bytes]
else:
    BytesFile = File  # generic for type checkers alone

__all__ = ["ErrorAnswers", "ImgwireFile", "ImgwireStorage"]

logger: logging.Logger = logging.getLogger("imgwire_async.integrations")

_IN_MEMORY = 2**20  # bytes of a file that is read


class ImgwireStorage(Storage):
    """Keeps the files of `FileField` and `ImageField` at Imgwire.

    `api_key`, `environment_id`, `base_url`, `timeout` and `retries` are those of `ImgwireClient`, and come from the environment
    where they are not given. `url_rules` holds what `url()` asks the CDN for: `{"preset": "thumbnail"}`, `{"width": 1200}`.
    `cdn_base` is the address before the image's id, `https://cdn.imgwire.dev/<organization>/<environment>`; where it is not
    given it is learned from the first image seen, which costs one request a process. `wait=True` (or seconds) saves no image
    before it is READY. `open()` and `size()` need a READY image, and wait at most `ready_timeout` seconds for it. `purpose` and
    `custom_metadata` are written on each image that is saved.

    The client is made with the first call, one a process; the object may be made at import, forked, pickled, and stand in
    migrations. Migrations hold no key, and a pickle none that was given as text: where it is loaded, the key comes from
    `IMGWIRE_API_KEY`, or from the function that was given as `api_key` if that can be pickled. Errors of the service pass as
    they are, except that an unknown image is `FileNotFoundError`.
    """

    location: str = ""
    """What stands before every name: nothing. Packages that clean up ask for it, and put `MEDIA_ROOT` there where it is missing."""

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
        self._learned: str | None = None
        self._names = StoredNames()
        self._address(self._cdn_base or "https://cdn.invalid/organization/environment", "id", {})

    # what Django asks a storage

    def _open(self, name: str, mode: str = "rb") -> ImgwireFile:
        if mode != "rb":
            raise ValueError(
                f"mode must be 'rb', not {mode!r}: an image at Imgwire is never changed, save a new one"
            )
        return ImgwireFile(lambda: self._fetched(self._ready(self.image(name))), name)

    def _save(self, name: str, content: File[Any]) -> str:
        if content.seekable():
            content.seek(0)  # a form's validation may have read from it
        file_name = name.rpartition("/")[2]
        image = self.client.images.upload(
            cast("IO[bytes]", content),
            file_name=file_name,
            wait=self._wait,
            purpose=self._purpose,
            custom_metadata=self._custom_metadata,
        )
        self._learn(image)
        return self.name_of(image)

    def delete(self, name: str) -> None:
        """Delete the image at the service. A name that is gone already, or was never stored here, is no error and deletes
        nothing, as with Django's own storages.
        """
        if not name:
            raise ValueError("The name must be given to delete().")
        try:
            image_id = self._names.image_id(name)
            if image_id not in self._names:
                self.image(name)  # the whole name has to fit, not only the id
            self.client.images.delete(image_id)
        except (FileNotFoundError, NotFoundError):
            pass

    def exists(self, name: str) -> bool:
        """Return whether the service has an image of exactly this name; False, without a request, for a name of another form."""
        try:
            self.image(name)
        except FileNotFoundError:
            return False
        return True

    def listdir(self, path: str) -> tuple[list[str], list[str]]:
        """Folders and files in `path`. The root has a folder for each image of the environment, called by its id, and each
        of them one file: listing the root asks for every page.
        """
        folder = str(path).strip("/")
        if folder in {"", "."}:
            return [image.id for image in self.client.images.list_all()], []
        if is_id(folder) is None:
            raise never_stored(path)
        return [], [self.name_of(self._record(folder, path)).partition("/")[2]]

    def size(self, name: str) -> int:
        """The bytes of the original. Waits until the service knows them."""
        image = self._ready(self.image(name), metadata=True)
        return image.size_bytes

    def url(self, name: str | None, **rules: object) -> str:
        """The image's address at the CDN, with the storage's `url_rules`; `rules` are added to them or replace them.

        Asks the service for nothing once `cdn_base` is known, and so does not look whether the image is there; a name that
        looks derived from a stored one is looked up once. A name that was never stored here has the address that Django's own
        storage gives: `MEDIA_URL` and the name.
        """
        try:
            image_id = self._names.image_id(name or "")
            base = self._cdn_base or self._learned
            if base is None or self._names.is_doubtful(image_id, str(name)):
                image = self.image(str(name))
                base = base or self._learned or image.cdn_url.removesuffix(f"/{image_id}")
        except FileNotFoundError:
            media: str = settings.MEDIA_URL
            return urljoin(media, filepath_to_uri(str(name or "")).lstrip("/"))
        return self._address(base, image_id, rules)

    def get_created_time(self, name: str) -> datetime:
        """When the record was made; aware if `USE_TZ`, else naive in the local zone, as Django wants it."""
        return _for_django(self.image(name).created_at)

    def get_modified_time(self, name: str) -> datetime:
        """When the record was changed last: the bytes never change."""
        return _for_django(self.image(name).updated_at)

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """The file's name without folders, cut so that it fits `max_length` together with the id; always free.

        Raises `SuspiciousFileOperation` when there is no room for the id and one letter.
        """
        file_name = str(name).replace("\\", "/").rpartition("/")[2]
        validate_file_name(file_name)
        if max_length is None:
            return file_name
        room = max_length - ID_LENGTH - 1
        extension = PurePath(file_name).suffix
        kept = file_name.removesuffix(extension)[: max(0, room - len(extension))]
        if not kept:
            raise SuspiciousFileOperation(
                f"{file_name!r} does not fit: give the field a max_length of {ID_LENGTH + 1} (the image's id and a slash) "
                "and as many characters as file names may have"
            )
        return kept + extension

    # what Imgwire has besides

    @property
    def client(self) -> ImgwireClient:
        """The client of this storage, made with the first use. Raises `ImproperlyConfigured` for wrong settings."""
        if self._client is None:
            try:
                self._client = ImgwireClient(**self._settings)
            except ConfigurationError as error:
                raise ImproperlyConfigured(str(error)) from error
        return self._client

    def image(self, name: str) -> Image:
        """The record behind a stored name: its size, status, `responsive()`, `srcset()`. One request.

        Raises `FileNotFoundError` when the service does not know it, or under another name.
        """
        image = self._record(self._names.image_id(name), name)
        if self.name_of(image) != str(name):
            raise never_stored(name)
        return image

    def name_of(self, image: Image) -> str:
        """The name by which this storage knows an image, for a field: also of one that a browser or a script uploaded."""
        return name_of(image)

    # how

    def _record(self, image_id: str, name: str) -> Image:
        try:
            image = self.client.images.retrieve(image_id)
        except NotFoundError as error:
            raise FileNotFoundError(f"{name!r}: Imgwire has no such image in this environment") from error
        self._learn(image)
        return image

    def _fetched(self, image: Image) -> IO[bytes]:
        fetched = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115  # whoever opened the name closes it
        try:
            with self.client.images.stream(image) as chunks:
                for chunk in chunks:
                    fetched.write(chunk)
            fetched.seek(0)
        except BaseException:
            fetched.close()
            raise
        return cast("IO[bytes]", fetched)

    def _ready(self, image: Image, *, metadata: bool = False) -> Image:
        return self.client.images.wait_until_ready(image, timeout=self._ready_timeout, metadata=metadata)

    def _learn(self, image: Image) -> None:
        self._names.add(image)
        if image.cdn_url.endswith(f"/{image.id}"):  # all images of an environment have the rest in common
            self._learned = image.cdn_url.removesuffix(f"/{image.id}")

    def _address(self, base: str, image_id: str, rules: Mapping[str, object]) -> str:
        try:
            return build_url(f"{base}/{image_id}", cast("Any", {**self._url_rules, **rules}))
        except TransformationError as error:
            if rules:
                raise
            raise ImproperlyConfigured(f"url_rules of ImgwireStorage: {error}") from error

    def deconstruct(self) -> tuple[str, tuple[()], dict[str, object]]:
        """How a migration writes this storage down: without the key, and without what belongs to one machine."""
        plain = ImgwireStorage()
        names = ("cdn_base", "url_rules", "wait", "ready_timeout", "purpose", "custom_metadata")
        given = {name: getattr(self, f"_{name}") for name in names}
        changed = {name: value for name, value in given.items() if value != getattr(plain, f"_{name}")}
        return f"{type(self).__module__}.{type(self).__qualname__}", (), changed

    def __getstate__(self) -> dict[str, object]:
        key = self._settings["api_key"]
        told = {**self._settings, "api_key": None if isinstance(key, str) else key}
        # Connections stay where they are.
        return {**self.__dict__, "_settings": told, "_client": None, "_names": StoredNames()}

    def __copy__(self) -> Self:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__, _client=None, _names=StoredNames())
        return copied

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        # What it holds is never changed; through a pickle's state the key would be lost.
        return self.__copy__()


class ImgwireFile(BytesFile):
    """A stored picture, open for reading: in memory, or in a temporary file when it is larger than 1 MiB.

    Its bytes are what the CDN gives when it is asked for no change; the service promises no more.
    """

    file: IO[bytes] | None

    def __init__(self, fetch: Callable[[], IO[bytes]], name: str) -> None:
        super().__init__(fetch(), name)
        self.mode: str = "rb"
        self._fetch = fetch

    def open(self, mode: str | None = None, *args: Any, **kwargs: Any) -> ImgwireFile:
        """Begin again at the first byte; fetched again when it was closed. `mode` is "rb" only."""
        if mode not in {None, "rb"}:
            raise ValueError(
                f"mode must be 'rb', not {mode!r}: an image at Imgwire is never changed, save a new one"
            )
        if self.closed:
            self.file = self._fetch()
        self.seek(0)
        return self


class ErrorAnswers(MiddlewareMixin):
    """Middleware: answers errors of this package that a view lets pass as `imgwire_async.integrations.http.answer_for` says.

    An answer of 500 or more is logged with its error as a WARNING of `imgwire_async.integrations`.
    """

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """The answer to an `ImgwireError`, None for every other error."""
        if not isinstance(exception, ImgwireError):
            return None
        status, headers, body = answer_for(exception)
        if status >= 500:
            logger.warning("%s %r: %s", request.method, request.path, exception, exc_info=exception)
        return HttpResponse(body, status=status, headers=headers)


def _for_django(time: datetime) -> datetime:
    return time if settings.USE_TZ else make_naive(time)
