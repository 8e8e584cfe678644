"""Find the destination of a run in the journal: the environment to which the API key belongs."""

from __future__ import annotations

import contextlib
import itertools

from imgwire_async import disk_work
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.service import Service
from imgwire_async.batch_errors import JournalError
from imgwire_async.errors import NotFoundError
from imgwire_async.formatting import quoted

# How many images are retrieved to find out whether an API key belongs to their environment. More than one,
# because the user may have deleted an image.
_MAX_CHECKS = 3


async def open_destination(service: Service, journal: Journal) -> Destination:
    """Return the destination of a run, and write to the journal that the run uses it.

    If the environment is not known and the API key is another one, images that the journal calls done are
    retrieved. If the service does not find them, the key belongs to another environment. Then this raises
    `JournalError`.
    """
    base_url, environment_id = service.base_url, service.environment_id
    fingerprint = await service.fingerprint()
    choice = await disk_work.run(journal.choose_destination, base_url, environment_id, fingerprint)
    chosen = choice.destination
    if chosen is not None and choice.needs_check:
        found_environment = await _environment_of_images(service, journal, chosen, fingerprint)
        environment_id = environment_id or found_environment
    return await disk_work.run(journal.use_destination, chosen, base_url, environment_id, fingerprint)


async def _environment_of_images(
    service: Service, journal: Journal, destination: Destination, fingerprint: str
) -> str | None:
    """Return the environment of an image of a destination, None if it is not known.

    Raises `JournalError` if the service finds none of the images. A destination without images is not
    checked: nothing of it can be uploaded twice, except rows in doubt, which are settled later.
    """
    image_ids = await disk_work.run(_some_image_ids, journal, destination.number)
    for image_id in image_ids:
        try:
            image = await service.images.retrieve(image_id)
        except NotFoundError:
            continue
        return image.environment_id
    if image_ids:
        raise JournalError(_message(journal, destination, fingerprint, image_ids), path=journal.path)
    return None


def _some_image_ids(journal: Journal, destination: int) -> list[str]:
    for status in ("done", "stored"):
        with contextlib.closing(journal.rows(destination, status)) as rows:
            found = [row.image_id for row in itertools.islice(rows, _MAX_CHECKS) if row.image_id is not None]
        if found:
            return found
    return []


def _message(journal: Journal, destination: Destination, fingerprint: str, image_ids: list[str]) -> str:
    known = destination.environment_id
    if known is None:
        environment = "an environment whose id is not known"
        advice = "Use an API key of the environment of the journal, or another journal."
    else:
        environment = f"environment {known}"
        advice = (
            f"If the images were deleted and the key is one of {environment}, pass environment_id={quoted(known)} to the client. "
            "If not, use a key of that environment, or another journal, or pass the id of the key's own environment as "
            "environment_id=, which starts a separate run in this journal."
        )
    return (
        f"the journal {quoted(str(journal.path))} is that of {environment} (API key with fingerprint {destination.fingerprint}). "
        f"The current API key (fingerprint {fingerprint}) belongs to an unknown environment, which does not have image "
        f"{image_ids[0]} of the journal. {advice}"
    )
