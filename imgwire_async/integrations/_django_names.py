"""The names of files that `django.ImgwireStorage` has stored: `<image id>/<file name>`, to the letter."""

from __future__ import annotations

import re

from imgwire_async import Image

ID_LENGTH = 36  # of a UUID, as text
_REMEMBERED = 10_000  # names; about 2 MB
# The service writes UUIDs in lower case, and the storage keeps what the service wrote.
is_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
# A picture's extension, or a size as easy-thumbnails writes it, with more behind: "hero.jpg.100x100_q85.jpg".
_looks_derived = re.compile(
    r"\.(?:jpe?g|jxl|png|webp|avif|gif|ico|hei[cf]|bmp|tiff?|\d+x\d+_[^.]*)\..", re.IGNORECASE
).search


def name_of(image: Image) -> str:
    """Return the name by which the storage knows an image."""
    file_name = image.original_filename.replace("\\", "/").rpartition("/")[2]
    return f"{image.id}/{'file' if file_name in {'', '.', '..'} else file_name}"


def never_stored(name: object) -> FileNotFoundError:
    """Return the error for a name that is no stored file's."""
    shown = repr(str(name))
    return FileNotFoundError(
        f"{shown if len(shown) <= 200 else shown[:200] + '...'} was not stored here: names of this storage are "
        "'<image id>/<file name>', to the letter. Files of another storage have to be uploaded once, and the new names saved; "
        "a package that makes thumbnails needs a storage of its own for them"
    )


class StoredNames:
    """Names that one storage has met in this process, by image id. Each table is emptied when it has grown large."""

    def __init__(self) -> None:
        self._stored: dict[str, str] = {}  # as the service tells them
        self.trusted: dict[str, str] = {}  # that have an address, and were not looked up

    def add(self, image: Image) -> None:
        """Remember the name of an image that the service has told of."""
        if len(self._stored) >= _REMEMBERED:
            self._stored.clear()
        self._stored[image.id] = name_of(image)

    def __contains__(self, image_id: str) -> bool:
        """Return whether the service has told of this image."""
        return image_id in self._stored

    def image_id(self, name: object) -> str:
        """Return the id in a name that may be a stored one, as far as can be told without a request.

        Raises `FileNotFoundError` for every other name.
        """
        image_id, slash, file_name = str(name).partition("/")
        if is_id(image_id) is None or not slash or not file_name or "/" in file_name:
            raise never_stored(name)
        if self._stored.get(image_id, str(name)) != str(name):
            raise never_stored(name)
        return image_id

    def is_doubtful(self, image_id: str, name: str) -> bool:
        """Return whether a name may have been derived from the stored one of this image, and was not looked up yet."""
        if image_id in self._stored:
            return False
        if _looks_derived(name) is not None:
            return True
        if len(self.trusted) >= _REMEMBERED:
            self.trusted.clear()
        return self.trusted.setdefault(image_id, name) != name
