"""A simulated network, service and line for the concurrency of a run, in simulated time and by seed.

Each upload is a create call, the transfer of its bytes, and the response. The create calls pass an API
that may serve or accept only so many per second. The bytes of all uploads share one station, whose speed
may depend on the number of uploads in it. Every half second the speed of the whole world changes by
`noise`, and each upload varies by as much again.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable, Sequence

import attrs

from imgwire_async.batch.adaptive import WINDOW_SECONDS, Window
from imgwire_async.transport.rate_controller import RateController

# Given the window that just ended, return the new limit.
Control = Callable[[Window], int]

EPOCH = 0.5


def constant(_: int) -> float:
    """Return the speed of a station that uploads do not slow down."""
    return 1.0


@attrs.frozen
class World:
    """The parameters of a simulated world.

    Args:
        line: Bytes per second of the station that all uploads share.
        size: The mean size of a file in bytes.
        latency: Seconds of an upload outside of the station, half before and half after it.
        speed: The share of `line` that the station reaches with a number of uploads in it.
        per_connection: The highest bytes per second of one upload.
        calls_per_second: Create calls that the API serves per second. Later ones wait in a queue.
        accepted_per_second: Create calls that the API accepts per second. Others get a 429.
        buffer: Bytes that the system accepts from an upload before they are on the line.
        url_life: Seconds after which a transfer is rejected at its end and starts again.
        stall: The time when the storage stops, and for how many seconds.
        size_spread: The sigma of the logarithm of the size.
        noise: The standard deviation of the speed of the world and of an upload.
    """

    line: float
    size: float = 100_000
    latency: float = 0.01
    speed: Callable[[int], float] = constant
    per_connection: float = math.inf
    calls_per_second: float = math.inf
    accepted_per_second: float = math.inf
    buffer: float = 256_000
    url_life: float = math.inf
    stall: tuple[float, float] | None = None
    size_spread: float = 0.0
    noise: float = 0.2


class Uploader:
    """One run in the world: its limit and its counters."""

    def __init__(self, control: Control, limit: int, starts_at: float = 0.0) -> None:
        self.control = control
        self.limit = limit
        self.starts_at = starts_at
        self.running = 0
        # The time-weighted sum of `running` in this window.
        self.in_use = 0.0
        self.files = 0
        self.total = 0
        self.delivered = 0.0
        self.reported = 0.0
        self.lost = 0.0
        self.rejections = 0
        self.finished_at: list[float] = []
        # (time, limit) at the end of each window.
        self.limits: list[tuple[float, int]] = []
        # Transfers of this run in the station: the virtual time of their ends.
        self.transfers: dict[int, float] = {}
        self.gate: RateController | None = None

    def rate(self, begin: float, end: float) -> float:
        """Return the files per second finished between two times."""
        return sum(begin <= time < end for time in self.finished_at) / (end - begin)

    def limit_between(self, begin: float, end: float) -> float:
        """Return the median limit between two times."""
        limits = sorted(limit for time, limit in self.limits if begin <= time < end)
        return limits[len(limits) // 2]


@attrs.define(eq=False)
class _Upload:
    number: int
    owner: Uploader
    size: float
    factor: float
    started_at: float = 0.0
    generation: int = -1


class Simulation:
    """A world and its runs, from time 0 to the end."""

    def __init__(self, world: World, runs: Sequence[Uploader], seed: int) -> None:
        self.world = world
        self.runs = runs
        self.random = random.Random(f"files {seed}")
        self._speeds = random.Random(f"speeds {seed}")
        self.now = 0.0
        self._virtual = 0.0
        self._number = 0
        self._world_speed = 1.0
        # Events by time, and transfers by the virtual time of their ends.
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._transfers: list[tuple[float, int, _Upload]] = []
        self._api_free_at = 0.0
        self._tokens = world.accepted_per_second
        self._tokens_at = 0.0

    def run(self, seconds: float) -> None:
        """Simulate until `seconds`."""
        self._at(0.0, self._change_speed)
        for run in self.runs:
            self._at(run.starts_at, lambda run=run: self._fill(run))
            self._at(run.starts_at + WINDOW_SECONDS, lambda run=run: self._end_window(run))
        while True:
            done_at = self._next_transfer()
            if self._events and self._events[0][0] <= done_at:
                time, _, event = heapq.heappop(self._events)
                if time > seconds:
                    return
                self._advance(time)
                event()
            else:
                if done_at > seconds:
                    return
                self._advance(done_at)
                self._end_transfer()

    def _at(self, time: float, event: Callable[[], None]) -> None:
        self._number += 1
        heapq.heappush(self._events, (time, self._number, event))

    def _advance(self, time: float) -> None:
        seconds = time - self.now
        if seconds > 0:
            for run in self.runs:
                run.in_use += run.running * seconds
            if self._transfers:
                step = seconds * self._station() / len(self._transfers)
                self._virtual += step
                for run in self.runs:
                    run.delivered += step * len(run.transfers)
        self.now = time

    def _station(self) -> float:
        """Return the bytes per second of the station."""
        stall = self.world.stall
        if stall is not None and stall[0] <= self.now < stall[0] + stall[1]:
            return 0.0
        count = len(self._transfers)
        full = self.world.line * self.world.speed(count)
        return self._world_speed * min(full, self.world.per_connection * count)

    def _next_transfer(self) -> float:
        if not self._transfers:
            return math.inf
        speed = self._station()
        left = self._transfers[0][0] - self._virtual
        return math.inf if speed == 0 else self.now + max(0.0, left) * len(self._transfers) / speed

    def _change_speed(self) -> None:
        noise = self.world.noise
        self._world_speed = min(1.6, max(0.4, self._speeds.gauss(1.0, noise))) if noise else 1.0
        self._at(self.now + EPOCH, self._change_speed)

    # --- an upload ------------------------------------------------------------------------------------------

    def _fill(self, run: Uploader) -> None:
        while run.running < run.limit:
            run.running += 1
            self._number += 1
            noise, spread = self.world.noise, self.world.size_spread
            size = self.world.size * max(0.2, self.random.gauss(1.0, noise))
            if spread:
                size *= math.exp(self.random.gauss(-spread * spread / 2, spread))
            upload = _Upload(self._number, run, size, max(0.2, self.random.gauss(1.0, noise)))
            self._create(upload)

    def _create(self, upload: _Upload) -> None:
        gate = upload.owner.gate
        if gate is None or gate.has_recovered(self.now):
            self._send_create(upload)
        else:
            upload.generation = gate.generation
            self._at(gate.reserve(self.now, math.inf), lambda: self._send_create(upload))

    def _send_create(self, upload: _Upload) -> None:
        gate = upload.owner.gate
        if gate is not None and not gate.has_recovered(self.now):
            if upload.generation != gate.generation:
                self._create(upload)
                return
            gate.on_sent(self.now)
        if not self._is_accepted():
            self._reject(upload)
            return
        world = self.world
        arrives_at = self.now + world.latency / 2 * upload.factor / self._world_speed
        if world.calls_per_second < math.inf:
            service = upload.factor / self._world_speed / world.calls_per_second
            self._api_free_at = max(self._api_free_at, arrives_at) + service
            arrives_at = self._api_free_at
        self._at(arrives_at, lambda: self._begin_transfer(upload))

    def _is_accepted(self) -> bool:
        rate = self.world.accepted_per_second
        if rate == math.inf:
            return True
        self._tokens = min(rate, self._tokens + (self.now - self._tokens_at) * rate)
        self._tokens_at = self.now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _reject(self, upload: _Upload) -> None:
        run = upload.owner
        run.rejections += 1
        if run.gate is None or run.gate.has_recovered(self.now):
            run.gate = RateController.after_429(self.now, 1.0, 1, jitter=self.random.random())
        else:
            run.gate.on_429(self.now, 1.0, upload.generation, jitter=self.random.random())
        self._create(upload)

    def _begin_transfer(self, upload: _Upload) -> None:
        upload.started_at = self.now
        end = self._virtual + upload.size
        heapq.heappush(self._transfers, (end, upload.number, upload))
        upload.owner.transfers[upload.number] = end

    def _end_transfer(self) -> None:
        _, _, upload = heapq.heappop(self._transfers)
        run = upload.owner
        del run.transfers[upload.number]
        if self.now - upload.started_at > self.world.url_life:
            run.lost += upload.size
            self._create(upload)
            return
        seconds = self.world.latency / 2 * upload.factor / self._world_speed
        self._at(self.now + seconds, lambda: self._finish(upload))

    def _finish(self, upload: _Upload) -> None:
        run = upload.owner
        run.running -= 1
        run.files += 1
        run.finished_at.append(self.now)
        self._fill(run)

    # --- the windows ----------------------------------------------------------------------------------------

    def _end_window(self, run: Uploader) -> None:
        buffered = sum(min(self.world.buffer, end - self._virtual) for end in run.transfers.values())
        reported = run.delivered + buffered - run.lost
        window = Window(
            seconds=WINDOW_SECONDS,
            files=run.files,
            bytes_sent=round(reported - run.reported),
            in_use=run.in_use / WINDOW_SECONDS,
            rejections=run.rejections,
        )
        run.files, run.in_use, run.rejections, run.reported = 0, 0.0, 0, reported
        run.limit = run.control(window)
        run.limits.append((self.now, run.limit))
        self._fill(run)
        self._at(self.now + WINDOW_SECONDS, lambda: self._end_window(run))


def simulate(world: World, runs: Sequence[Uploader], seed: int, seconds: float) -> None:
    """Simulate runs in a world until `seconds`."""
    Simulation(world, runs, seed).run(seconds)


def fixed(limit: int, *, starts_at: float = 0.0) -> Uploader:
    """Return a run whose limit never changes."""
    return Uploader(lambda _: limit, limit, starts_at)
