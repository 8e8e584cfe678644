"""The names of files in an `ImgwireStorage`. A name has exactly the form `<image id>/<file name>`."""

from __future__ import annotations

import re

from imgwire_async import Image

# The number of characters of a UUID.
ID_LENGTH = 36
# The maximum number of names in each dict of `StoredNames`. A full dict takes about 2 MB, and is cleared
# before the next name is added.
_MAX_NAMES = 10_000
# Upper case does not match, because the service writes UUIDs in lower case.
match_id = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch
# Finds a name that a thumbnail package may have derived from a stored name, as "hero.jpg.100x100_q85.jpg"
# from "hero.jpg". A derived name goes on after the extension of a picture (".jpg"), or after a size in the
# style of the package easy-thumbnails (".100x100_q85").
_search_derived = re.compile(
    r"\.(?:jpe?g|jxl|png|webp|avif|gif|ico|hei[cf]|bmp|tiff?|\d+x\d+_[^.]*)\..", re.IGNORECASE
).search


def name_of(image: Image) -> str:
    """Return the name that the storage gives to an image."""
    file_name = image.original_filename.replace("\\", "/").rpartition("/")[2]
    return f"{image.id}/{'file' if file_name in {'', '.', '..'} else file_name}"


def never_stored(name: object) -> FileNotFoundError:
    """Return the error for a name that the storage never gave to an image."""
    quoted = repr(str(name))
    return FileNotFoundError(
        f"{quoted if len(quoted) <= 200 else quoted[:200] + '...'} was not stored here: names of this storage have the exact "
        "form '<image id>/<file name>'. Upload the files of another storage once and save the new names; a package that makes "
        "thumbnails needs a storage of its own for them"
    )


class StoredNames:
    """The names that this process knows of one storage, keyed by image id."""

    def __init__(self) -> None:
        # The names of images whose records came from the service.
        self._confirmed: dict[str, str] = {}
        # Names for which the storage built a URL without a request to the service.
        self.unchecked: dict[str, str] = {}

    def add(self, image: Image) -> None:
        """Remember the name of an image whose record came from the service."""
        if len(self._confirmed) >= _MAX_NAMES:
            self._confirmed.clear()
        self._confirmed[image.id] = name_of(image)

    def is_confirmed(self, image_id: str) -> bool:
        """Return whether `add` has remembered the name of this image."""
        return image_id in self._confirmed

    def image_id(self, name: object) -> str:
        """Parse the image id from `name`, without a request to the service.

        Raises `FileNotFoundError` if `name` has the wrong form, or if the image is known by another name.
        """
        image_id, slash, file_name = str(name).partition("/")
        if match_id(image_id) is None or not slash or not file_name or "/" in file_name:
            raise never_stored(name)
        if self._confirmed.get(image_id, str(name)) != str(name):
            raise never_stored(name)
        return image_id

    def needs_check(self, image_id: str, name: str) -> bool:
        """Return whether the storage must ask the service if the image `image_id` has this `name`.

        Other code, such as a thumbnail package, may have derived `name` from a stored name. A confirmed image
        needs no check, because its name is known. For any other image, a name in the form of a thumbnail name
        needs a check. The method remembers the first name in another form. From then on, all names of the
        image except the remembered name need a check.
        """
        if image_id in self._confirmed:
            return False
        if _search_derived(name) is not None:
            return True
        if len(self.unchecked) >= _MAX_NAMES:
            self.unchecked.clear()
        return self.unchecked.setdefault(image_id, name) != name
