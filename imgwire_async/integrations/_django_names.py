"""The names of the files in a `django.ImgwireStorage`, which have the exact form `<image id>/<file name>`."""

from __future__ import annotations

import re

from imgwire_async import Image

# Characters of a UUID.
ID_LENGTH = 36
# Maximum number of remembered names, which take about 2 MB.
_MAX_NAMES = 10_000
# Lower case only: the service writes UUIDs in lower case, and the storage keeps them unchanged.
is_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
# An extension of a picture, or a size as easy-thumbnails writes it, followed by more:
# "hero.jpg.100x100_q85.jpg".
_may_be_derived = re.compile(
    r"\.(?:jpe?g|jxl|png|webp|avif|gif|ico|hei[cf]|bmp|tiff?|\d+x\d+_[^.]*)\..", re.IGNORECASE
).search


def name_of(image: Image) -> str:
    """Return the name of an image in the storage."""
    file_name = image.original_filename.replace("\\", "/").rpartition("/")[2]
    return f"{image.id}/{'file' if file_name in {'', '.', '..'} else file_name}"


def never_stored(name: object) -> FileNotFoundError:
    """Return the error for a name that was never stored here."""
    quoted = repr(str(name))
    return FileNotFoundError(
        f"{quoted if len(quoted) <= 200 else quoted[:200] + '...'} was not stored here: names of this storage have the exact "
        "form '<image id>/<file name>'. Upload the files of another storage once and save the new names; a package that makes "
        "thumbnails needs a storage of its own for them"
    )


class StoredNames:
    """The names of one storage that this process knows, by image id.

    Each table is emptied when it has reached its maximum size.
    """

    def __init__(self) -> None:
        # Names that the service has confirmed.
        self._stored: dict[str, str] = {}
        # Names for which a URL was built without a request to the service.
        self.unchecked: dict[str, str] = {}

    def add(self, image: Image) -> None:
        """Remember the name of an image that came from the service."""
        if len(self._stored) >= _MAX_NAMES:
            self._stored.clear()
        self._stored[image.id] = name_of(image)

    def __contains__(self, image_id: str) -> bool:
        """Return whether this image came from the service before."""
        return image_id in self._stored

    def image_id(self, name: object) -> str:
        """Return the image id in a name, if the name can be that of a stored file.

        This sends no request. Raises `FileNotFoundError` for a name that certainly was not stored.
        """
        image_id, slash, file_name = str(name).partition("/")
        if is_id(image_id) is None or not slash or not file_name or "/" in file_name:
            raise never_stored(name)
        if self._stored.get(image_id, str(name)) != str(name):
            raise never_stored(name)
        return image_id

    def needs_check(self, image_id: str, name: str) -> bool:
        """Return whether a name must be checked: other code may have derived it from a stored name."""
        if image_id in self._stored:
            return False
        if _may_be_derived(name) is not None:
            return True
        if len(self.unchecked) >= _MAX_NAMES:
            self.unchecked.clear()
        return self.unchecked.setdefault(image_id, name) != name
