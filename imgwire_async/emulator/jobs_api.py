"""Operations 8 and 9: bulk downloads, and the archive behind a finished one."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from imgwire_async.emulator.records import DownloadJob, Image, job_json
from imgwire_async.emulator.store import new_id
from imgwire_async.emulator.wire import Answer, json_answer
from imgwire_async.emulator.world import Call, World, new_ticket, not_found

__all__ = ["archive", "create", "retrieve"]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the same pictures give the same archive, byte for byte


def create(world: World, call: Call) -> Answer:
    """[POST /images/downloads]"""
    image_ids = call.body.ids("image_ids")
    if not all(image_id in world.store.images for image_id in image_ids):
        raise not_found()
    job = DownloadJob(
        id=new_id(),
        environment_id=world.store.environment_id,
        image_ids=image_ids,
        created_at=call.now,
        updated_at=call.now,
    )
    world.store.jobs[job.id] = job
    return json_answer(job_json(job, None))


def retrieve(world: World, call: Call) -> Answer:
    """A finished job gets a fresh link each time it is asked for. [GET /images/downloads/{image_download_job_id}]"""
    job = world.store.jobs.get(call.path.text("image_download_job_id"))
    if job is None:
        raise not_found()
    job = world.store.poll_job(job, call.now, world.knobs.download_polls, archive)
    return json_answer(job_json(job, _link(world, call, job) if job.status == "READY" else None))


def archive(images: list[Image]) -> bytes | None:
    """A ZIP of the original bytes, None when there are none to pack."""
    bodies = [(image, image.stored.data) for image in images if image.stored is not None]
    kept = [(image, data) for image, data in bodies if data is not None]
    if not kept:
        return None
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as out:
        for name, (_, data) in zip(
            _distinct(image.original_filename for image, _ in kept), kept, strict=True
        ):
            out.writestr(zipfile.ZipInfo(name, _EPOCH), data)
    return packed.getvalue()


def _distinct(names: Iterable[str]) -> Iterator[str]:
    """Plain file names, each once: a second `a.png` becomes `a (2).png`."""
    taken: set[str] = set()
    for name in names:
        path = PurePosixPath(name.replace("\\", "/").replace("\0", "")).name or "image"
        stem, suffix = PurePosixPath(path).stem, PurePosixPath(path).suffix
        number = 1
        while path.casefold() in taken:
            number += 1
            path = f"{stem} ({number}){suffix}"
        taken.add(path.casefold())
        yield path


def _link(world: World, call: Call, job: DownloadJob) -> str:
    signature, ticket = new_ticket(world, call, job.id, "GET", f"/archives/{job.id}.zip", {})
    world.store.links[signature] = ticket
    return ticket.url
