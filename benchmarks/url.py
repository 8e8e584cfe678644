"""Build image URLs, compared with `urllib.parse.urlencode` of ten pairs: the processor time per URL."""

from __future__ import annotations

import time
from collections.abc import Callable
from urllib.parse import urlencode

from benchmarks.job import Job, Sample
from imgwire_async.urls import Transformation, build_url

URL = "https://cdn.imgwire.dev/00000001-0000-4000-8000-000000000001/00000002-0000-4000-8000-000000000002/img"
TEN = {
    "width": 600,
    "height": 400,
    "format": "webp",
    "quality": 80,
    "resizing_type": "cover",
    "crop": "400:300:noea",
    "brightness": 1.5,
    "strip_metadata": True,
    "background": "#ffffff",
    "rotate": 90,
}
THUMB = Transformation(width=300, height=200, format="webp", quality=80, crop="400:300", preset="thumbnail")

WAYS: dict[str, Callable[[], str]] = {
    "urlencode of ten pairs": lambda: urlencode(TEN),
    "preset and four rules": lambda: build_url(
        URL, preset="thumbnail", width=150, height=150, background="#ffffff", rotate=90
    ),
    "ten rules": lambda: build_url(URL, TEN),
    "ten rules, omit": lambda: build_url(URL, TEN, on_invalid="omit"),
    "a prepared Transformation": lambda: build_url(URL, THUMB),
}


def measure(job: Job) -> Sample:
    build = WAYS[job.kind]
    for _ in range(job.work.count // 10):
        build()
    started_at = time.thread_time()
    for _ in range(job.work.count):
        build()
    return {"seconds": (time.thread_time() - started_at) / job.work.count}
