"""Find the destination of a run in the journal: the environment to which the API key belongs."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping, Sequence

from imgwire_async import disk_work
from imgwire_async.batch.journal import Journal
from imgwire_async.batch.journal_destinations import Destination
from imgwire_async.batch.records import RowStatus
from imgwire_async.batch.service import Service
from imgwire_async.batch_errors import JournalError
from imgwire_async.errors import NotFoundError
from imgwire_async.formatting import quoted
from imgwire_async.models import Image

# How many images of a destination are retrieved to find out whether an API key belongs to its environment.
# More than one, because the user may have deleted an image.
_MAX_CHECKS = 3
# Rows of these statuses may have an id, the most certain ones first.
_WITH_IDS: tuple[RowStatus, ...] = ("done", "stored", "started", "failed")


async def open_destination(service: Service, journal: Journal) -> Destination:
    """Return the destination of a run, and write to the journal that the run uses it.

    If the environment is not known and the API key is another one, some images of the journal are retrieved.
    If the service does not find them, the key belongs to another environment. Then this raises
    `JournalError`.
    """
    base_url, environment_id = service.base_url, service.environment_id
    fingerprint = await service.fingerprint()
    choice = await disk_work.run(journal.choose_destination, base_url, environment_id, fingerprint)
    chosen = choice.destination
    if chosen is None or choice.needs_check:
        candidates = await disk_work.run(_candidates, journal, base_url, environment_id)
        owner, image = await _first_with_known_image(service, candidates)
        if owner is not None and image is not None:
            chosen, environment_id = owner, environment_id or image.environment_id
        elif chosen is not None and chosen.fingerprint != fingerprint and (ids := candidates[chosen]):
            raise JournalError(_message(journal, chosen, fingerprint, ids[0]), path=journal.path)
    return await disk_work.run(journal.use_destination, chosen, base_url, environment_id, fingerprint)


async def _first_with_known_image(
    service: Service, candidates: Mapping[Destination, Sequence[str]]
) -> tuple[Destination | None, Image | None]:
    """Return the first destination with an image that the service finds, and that image."""
    for destination, image_ids in candidates.items():
        for image_id in image_ids:
            with contextlib.suppress(NotFoundError):
                return destination, await service.images.retrieve(image_id)
    return None, None


def _candidates(journal: Journal, base_url: str, environment_id: str | None) -> dict[Destination, list[str]]:
    """Return the destinations that may be that of a run, the last used one first, with ids of their images.

    If the environment is known, only a destination whose environment is not known needs a check.
    """
    here = [
        destination
        for destination in journal.destinations()
        if destination.base_url == base_url and (environment_id is None or destination.environment_id is None)
    ]
    here.sort(key=lambda destination: destination.used_at, reverse=True)
    return {destination: _some_image_ids(journal, destination.number) for destination in here}


def _some_image_ids(journal: Journal, destination: int) -> list[str]:
    for status in _WITH_IDS:
        with contextlib.closing(journal.rows(destination, status)) as rows:
            ids = (row.image_id for row in rows if row.image_id is not None)
            found = [*itertools.islice(ids, _MAX_CHECKS)]
        if found:
            return found
    return []


def _message(journal: Journal, destination: Destination, fingerprint: str, image_id: str) -> str:
    known = destination.environment_id
    if known is None:
        environment = "an environment whose id is not known"
        advice = "Use an API key of the environment of the journal, or another journal."
    else:
        environment = f"environment {known}"
        advice = (
            f"If its images were deleted and the key is one of {environment}, pass environment_id={quoted(known)} to the client. "
            "If not, use a key of that environment, or another journal, or pass the id of the key's own environment as "
            "environment_id=, which starts a separate run in this journal."
        )
    return (
        f"the journal {quoted(str(journal.path))} is that of {environment} (API key with fingerprint {destination.fingerprint}). "
        f"The current API key (fingerprint {fingerprint}) seems to belong to another environment, whose id is not known: it does "
        f"not find image {image_id} of the journal. {advice}"
    )
