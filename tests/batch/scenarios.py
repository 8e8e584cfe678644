"""The worlds in which the concurrency of a run is tested, with parameters drawn by seed."""

from __future__ import annotations

import random
from collections.abc import Callable

from batch.simulator import World


def sharp_peak(peak: float) -> Callable[[int], float]:
    """Return a speed that rises in proportion up to `peak` uploads and is half at four times as many."""
    return lambda count: count / peak if count <= peak else (peak / count) ** 0.5


def round_peak(peak: float) -> Callable[[int], float]:
    """Return the same with a smooth peak: each upload slows down all others from the beginning."""
    return lambda count: 2 * count / peak / (1 + (count / peak) ** 2)


def slow_line(draw: random.Random) -> World:
    """Return a fast disk and a slow line: the system accepts bytes much faster than it sends them."""
    return World(
        line=draw.uniform(2e6, 20e6),
        size=draw.uniform(1e5, 1e6),
        latency=draw.uniform(0.005, 0.02),
        buffer=draw.uniform(1e5, 2e6),
        size_spread=draw.uniform(0.0, 1.0),
    )


def far_service(draw: random.Random) -> World:
    """Return a service 30 ms away, two exchanges per upload."""
    return World(line=draw.uniform(100, 300) * 1e5, latency=0.06)


def forty_calls(draw: random.Random) -> World:
    """Return an API that serves 40 calls per second."""
    return World(line=1e9, latency=draw.uniform(0.02, 0.3), calls_per_second=40)


def forty_accepted(draw: random.Random) -> World:
    """Return an API that rejects calls above 40 per second with a 429."""
    return World(line=1e9, latency=draw.uniform(0.02, 0.3), accepted_per_second=40)


def peak_at_16(draw: random.Random) -> World:
    """Return a server whose throughput peaks at 16 uploads and halves at 64."""
    shape = draw.choice((sharp_peak, round_peak))
    return World(line=draw.uniform(50, 150) * 1e5, latency=0.002, speed=shape(draw.uniform(12, 20)))


def slow_uploads(draw: random.Random) -> World:
    """Return a line of 1 MB/s, files of 5 MB, and URLs that live 60 s."""
    return World(line=1e6, size=5e6, latency=draw.uniform(0.03, 0.2), url_life=60.0)


def stalled_storage(draw: random.Random) -> World:
    """Return a storage that stops for a minute."""
    return World(
        line=draw.uniform(50, 200) * 1e5,
        latency=draw.uniform(0.03, 0.1),
        stall=(draw.uniform(3.0, 40.0), 60.0),
    )


WORLDS: dict[str, Callable[[random.Random], World]] = {
    "slow_line": slow_line,
    "far_service": far_service,
    "forty_calls": forty_calls,
    "forty_accepted": forty_accepted,
    "peak_at_16": peak_at_16,
    "slow_uploads": slow_uploads,
    "stalled_storage": stalled_storage,
}
