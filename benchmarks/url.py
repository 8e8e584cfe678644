"""How fast URLs are built, against `urllib.parse.urlencode` of ten pairs in the same run. `python benchmarks/url.py [--json]`."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from urllib.parse import urlencode

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

# name -> work, and the most that it may take, as a multiple of the floor
FLOOR = "urlencode of ten pairs"
WORK: dict[str, tuple[Callable[[], str], float]] = {
    FLOOR: (lambda: urlencode(TEN), 1.0),
    "preset and four rules": (
        lambda: build_url(URL, preset="thumbnail", width=150, height=150, background="#ffffff", rotate=90),
        1.5,
    ),
    "ten rules": (lambda: build_url(URL, TEN), 3.5),
    "a prepared Transformation": (lambda: build_url(URL, THUMB), 0.4),
    "ten rules, omit": (lambda: build_url(URL, TEN, on_invalid="omit"), 3.5),
}


def measure(rounds: int, calls: int) -> dict[str, list[float]]:
    """Microseconds per call, one number per round; the kinds take turns within each round."""
    times: dict[str, list[float]] = {name: [] for name in WORK}
    for _ in range(rounds):
        for name, (work, _limit) in WORK.items():
            began = time.perf_counter()
            for _call in range(calls):
                work()
            times[name].append((time.perf_counter() - began) / calls * 1e6)
    return times


def main(arguments: list[str] | None = None) -> int:
    """Print medians, ratios (median of the rounds' ratios) and their spread; 1 when a limit is passed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    measure(1, given.calls)
    times = measure(given.rounds, given.calls)
    rows = []
    for name, (_, limit) in WORK.items():
        ratios = [own / floor for own, floor in zip(times[name], times[FLOOR], strict=True)]
        rows.append(
            {
                "name": name,
                "microseconds": round(statistics.median(times[name]), 2),
                "ratio": round(statistics.median(ratios), 3),
                "min": round(min(ratios), 3),
                "max": round(max(ratios), 3),
                "limit": limit,
            }
        )
    if given.json:
        print(json.dumps({"python": platform.python_version(), "rounds": given.rounds, "rows": rows}))
    else:
        print(f"Python {platform.python_version()}, {given.rounds} rounds of {given.calls} calls")
        for row in rows:
            print(
                f"{row['name']:28} {row['microseconds']:7.2f} us  x {row['ratio']:.2f}"
                f"  ({row['min']:.2f}-{row['max']:.2f}, limit {row['limit']:.1f})"
            )
    return int(any(float(str(row["ratio"])) > float(str(row["limit"])) for row in rows))


if __name__ == "__main__":
    raise SystemExit(main())
