"""Other libraries that do the same work, for comparison only."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from benchmarks.job import Job, Sample, Stopwatch, peak_memory

AUTHORIZATION = {"Authorization": "Bearer sk_benchmark"}
Upload = Callable[[Path], None]


# --- one small GET ------------------------------------------------------------------------------------------


@contextmanager
def _urllib3() -> Generator[Callable[[str], object]]:
    import urllib3

    with urllib3.PoolManager(maxsize=64) as pool:
        yield lambda url: orjson.loads(pool.request("GET", url, headers=AUTHORIZATION).data)


@contextmanager
def _requests() -> Generator[Callable[[str], object]]:
    with _requests_session() as session:
        yield lambda url: orjson.loads(session.get(url).content)


@contextmanager
def _httpx_blocking() -> Generator[Callable[[str], object]]:
    import httpx

    with httpx.Client(headers=AUTHORIZATION, trust_env=False) as client:
        yield lambda url: orjson.loads(client.get(url).content)


GETS: dict[str, Callable[[], AbstractContextManager[Callable[[str], object]]]] = {
    "urllib3": _urllib3,
    "requests": _requests,
    "httpx, blocking": _httpx_blocking,
}


def httpx_client(cafile: str | None, limit: int = 100) -> Any:
    import httpx

    tls = ssl.create_default_context(cafile=cafile) if cafile else True
    limits = httpx.Limits(max_connections=limit, max_keepalive_connections=limit)
    return httpx.AsyncClient(
        headers=AUTHORIZATION, verify=tls, limits=limits, trust_env=False, timeout=httpx.Timeout(60.0)
    )


async def httpx_get(client: Any, url: str) -> object:
    response = await client.get(url)
    return orjson.loads(response.content)


def _requests_session(cafile: str | None = None, limit: int = 64) -> Any:
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.trust_env = False
    session.headers.update(AUTHORIZATION)
    session.verify = cafile or True
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(pool_connections=4, pool_maxsize=limit))
    return session


# --- many uploads -------------------------------------------------------------------------------------------


def _create_body(path: Path, size: int) -> dict[str, Any]:
    return {"file_name": path.name, "mime_type": "image/jpeg", "content_length": size}


def _with_httpx(job: Job, paths: Sequence[Path]) -> Sample:
    async def upload(client: Any, path: Path) -> None:
        body = path.read_bytes()
        response = await client.post(
            f"{job.base}/api/v1/images/standard_upload", json=_create_body(path, len(body))
        )
        put_response = await client.put(orjson.loads(response.content)["upload_url"], content=body)
        put_response.raise_for_status()

    async def all_of(client: Any, some: Sequence[Path]) -> None:
        left = iter(some)

        async def worker() -> None:
            for path in left:
                await upload(client, path)

        async with asyncio.TaskGroup() as group:
            for _ in range(job.work.at_once):
                group.create_task(worker())

    async def measured() -> Sample:
        async with httpx_client(job.cafile, job.work.at_once) as client:
            await all_of(client, paths[: job.work.at_once])
            watch = Stopwatch()
            await all_of(client, paths)
            return watch.per_unit(len(paths)) | {"peak_mb": peak_memory()}

    return asyncio.run(measured())


def _in_threads(upload: Upload, job: Job, paths: Sequence[Path]) -> Sample:
    with ThreadPoolExecutor(job.work.at_once) as pool:
        list(pool.map(upload, paths[: job.work.at_once]))
        watch = Stopwatch()
        list(pool.map(upload, paths))
        return watch.per_unit(len(paths)) | {"peak_mb": peak_memory()}


def _with_requests(job: Job, paths: Sequence[Path]) -> Sample:
    with _requests_session(job.cafile, job.work.at_once) as session:

        def upload(path: Path) -> None:
            body = path.read_bytes()
            response = session.post(
                f"{job.base}/api/v1/images/standard_upload", json=_create_body(path, len(body))
            )
            session.put(orjson.loads(response.content)["upload_url"], data=body).raise_for_status()

        return _in_threads(upload, job, paths)


def _with_urllib3(job: Job, paths: Sequence[Path]) -> Sample:
    import urllib3

    with urllib3.PoolManager(maxsize=job.work.at_once, ca_certs=job.cafile) as pool:

        def upload(path: Path) -> None:
            body = path.read_bytes()
            response = pool.request(
                "POST",
                f"{job.base}/api/v1/images/standard_upload",
                json=_create_body(path, len(body)),
                headers=AUTHORIZATION,
            )
            put_response = pool.request("PUT", orjson.loads(response.data)["upload_url"], body=body)
            assert put_response.status == 200, put_response.status

        return _in_threads(upload, job, paths)


UPLOADS: dict[str, Callable[[Job, Sequence[Path]], Sample]] = {
    "httpx": _with_httpx,
    "requests in threads": _with_requests,
    "urllib3 in threads": _with_urllib3,
}


# --- a page of records --------------------------------------------------------------------------------------

_FIELDS: dict[str, Any] = {
    "id": str,
    "environment_id": str | None,
    "upload_token_id": str | None,
    "original_filename": str,
    "hash_sha256": str | None,
    "status": str,
    "cdn_url": str,
    "mime_type": str,
    "can_upload": bool,
    "is_directly_deliverable": bool,
    "idempotency_key": str | None,
    "purpose": str | None,
    "extension": str,
    "width": int,
    "height": int,
    "size_bytes": int,
    "custom_metadata": dict[str, str | int | float | bool],
    "exif_data": dict[str, Any],
    "created_at": datetime,
    "updated_at": datetime,
    "deleted_at": datetime | None,
    "processed_metadata_at": datetime | None,
}


def msgspec_decoder() -> Callable[[bytes], object]:
    """Return a typed and strict decoder. It drops unknown fields."""
    import msgspec

    image = msgspec.defstruct("Image", list(_FIELDS.items()), frozen=True)
    return msgspec.json.Decoder(list[image]).decode  # type: ignore[valid-type]  # created at run time


def pydantic_decoder() -> Callable[[bytes], object]:
    """Return a typed and strict decoder that keeps unknown fields."""
    import pydantic

    fields: dict[str, Any] = {name: (kind, ...) for name, kind in _FIELDS.items()}
    config = pydantic.ConfigDict(frozen=True, extra="allow", strict=True)
    image = pydantic.create_model("Image", __config__=config, **fields)
    return pydantic.TypeAdapter(list[image]).validate_json  # type: ignore[valid-type]  # created at run time
