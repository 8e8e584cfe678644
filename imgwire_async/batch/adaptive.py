"""Decide how many uploads of a run may be in progress at the same time.

Pure: the engine measures windows of a quarter of a second and passes each to `next_state`, which returns the
state with the next limit. The search begins with 1 and 4, and doubles the limit as long as the throughput
rises. Then it tries the limits beside the best one, and repeats that from time to time. Of limits with about
the same throughput it takes the smallest.
"""

from __future__ import annotations

import attrs

from imgwire_async.batch.levels import Levels, Throughput
from imgwire_async.transport.slots import cap_by_open_files

# The length of a window, by which the engine calls `next_state`.
WINDOW_SECONDS = 0.25

# The limit after the first measurement, which is that of one upload alone, if an upload takes at most so many
# seconds. A run of five seconds then uploads a third more files than with 2. Long uploads go on with 2,
# because a limit that is too high for them lasts long: uploads in progress are not stopped.
_SECOND_LIMIT = 4
_SHORT_UPLOAD = 0.5

# The least number of blocks before another limit is tried again.
_STINT_BLOCKS = 3
# Seconds without another limit once all neighbours of a limit were compared.
_HOLD = 10.0
_LONGEST_HOLD = 20.0
# Seconds without any progress that are no measurement of a limit.
_STALL = 5.0
# The least length of a block. Neighbouring windows are often slow or fast together.
_BLOCK = 0.5
# A block with a 429 lasts as long as the rate gate needs to come back to its rate.
_GATED_BLOCK = 10.0
_GATED_WEIGHT = 8.0
# The longest time in seconds that a new limit needs until its throughput shows.
_MAX_SETTLING = 2.0
# A block this many times above or below the known throughput is a surprise, and so many in a row a change.
_SURPRISE = 2.0
_MAX_SURPRISES = 4
# The longest time in seconds that an upload is expected to show no progress.
_LONGEST_UPLOAD = 10.0


@attrs.frozen
class Window:
    """What a run did in a short time.

    Args:
        seconds: The length of the window.
        files: Uploads that ended with success in it.
        bytes_sent: Bytes sent in it, also by uploads in progress, minus those of attempts that failed in it.
        in_use: The mean number of uploads in progress.
        rejections: Responses with status 429.
    """

    seconds: float
    files: int
    bytes_sent: int
    in_use: float
    rejections: int = 0

    def __add__(self, other: Window) -> Window:
        seconds = self.seconds + other.seconds
        in_use = self.in_use * self.seconds + other.in_use * other.seconds
        return Window(
            seconds,
            self.files + other.files,
            self.bytes_sent + other.bytes_sent,
            in_use / seconds if seconds else 0.0,
            self.rejections + other.rejections,
        )

    @property
    def throughput(self) -> Throughput:
        """The files and bytes of the window."""
        return (float(self.files), float(max(0, self.bytes_sent)))


_NOTHING = Window(0.0, 0, 0, 0.0)


@attrs.frozen
class AdaptiveState:
    """The limit of a run, and what is known about it and other limits.

    Args:
        limit: The number of uploads that may be in progress now.
        maximum: The highest limit that is tried.
        levels: The measurements.
        pending: Windows that are no block yet.
        idle: Seconds without progress at the end of `pending`.
        longest_idle: The longest time without progress so far.
        settling: Seconds until the throughput of this limit shows.
        blocks: The number of blocks since the limit was set.
        held: Seconds in which the limit stays.
        hold: How long it stayed the last time.
        chosen: The limit that stayed.
        is_resting: Whether the limit stayed until now.
        surprises: The number of blocks in a row that do not fit to the earlier ones at this limit.
    """

    limit: int
    maximum: int
    levels: Levels = attrs.field(factory=Levels)
    pending: Window = _NOTHING
    idle: float = 0.0
    longest_idle: float = 0.0
    settling: float = WINDOW_SECONDS
    blocks: int = 0
    held: float = 0.0
    hold: float = _HOLD
    chosen: int = 0
    is_resting: bool = False
    surprises: int = 0


def first_state(
    max_connections: int, *, open_files: int | None = None, highest: int | None = None
) -> AdaptiveState:
    """Return the state at the beginning of a run.

    Args:
        max_connections: The setting of the client.
        open_files: The maximum number of open files of this process, None if there is no maximum.
        highest: The highest limit that the user allows, None if the user sets none.
    """
    # More uploads than put slots would only wait for each other.
    maximum = cap_by_open_files(max_connections, open_files)
    return AdaptiveState(1, maximum if highest is None else min(maximum, highest))


def next_state(state: AdaptiveState, window: Window) -> AdaptiveState:
    """Return the state after one more window. Its `limit` is the new limit."""
    idle = state.idle
    has_progress = window.files > 0 or window.bytes_sent > 0
    pending = state.pending + window
    state = attrs.evolve(
        state,
        pending=pending,
        idle=0.0 if has_progress else idle + window.seconds,
        settling=state.settling - window.seconds,
        held=state.held - window.seconds,
        levels=state.levels.after(window.seconds) if has_progress else state.levels,
    )
    # Windows that end with the settling are part of it.
    if state.settling >= 0 and not pending.rejections:
        return attrs.evolve(state, pending=_NOTHING)
    if not has_progress or pending.seconds < (_GATED_BLOCK if pending.rejections else _BLOCK):
        return state
    # The same time without progress again is no stall: the uploads take that long.
    is_stall = idle >= max(_STALL, 4 * state.longest_idle)
    state = attrs.evolve(
        state, pending=_NOTHING, longest_idle=min(_LONGEST_UPLOAD, max(idle, state.longest_idle))
    )
    if is_stall:
        return attrs.evolve(state, settling=_MAX_SETTLING)
    if not 0.8 * state.limit <= pending.in_use <= 1.1 * state.limit:
        return state
    return _with_block(state, pending)


def _with_block(state: AdaptiveState, block: Window) -> AdaptiveState:
    """Return the state after one more measurement of its limit."""
    limit, levels = state.limit, state.levels
    rates = (block.throughput[0] / block.seconds, block.throughput[1] / block.seconds)
    surprises = state.surprises + 1 if _is_surprise(levels, limit, rates) else 0
    if surprises >= _MAX_SURPRISES:
        levels = levels.only(limit, block.seconds, block.throughput)
        state = attrs.evolve(state, held=0.0, is_resting=False)
        surprises = 0
    else:
        weight = _GATED_WEIGHT if block.rejections else 1.0
        levels = levels.with_block(limit, block.seconds, block.throughput, weight)
    state = attrs.evolve(state, levels=levels, blocks=state.blocks + 1, surprises=surprises)
    if state.held > 0:
        return state
    if state.is_resting:
        state = attrs.evolve(state, levels=levels.with_doubt(limit), is_resting=False)
    # The next limit that has to be measured, or the best one for some time.
    target = _next_limit(state)
    if target is None:
        target = levels.best().limit
        hold = min(_LONGEST_HOLD, 2 * state.hold) if target == state.chosen else _HOLD
        state = attrs.evolve(state, held=hold, hold=hold, chosen=target, is_resting=True)
    return state if target == limit else _moved(state, target)


def _is_surprise(levels: Levels, limit: int, rates: Throughput) -> bool:
    level = levels.get(limit)
    if level is None or level.blocks < _MAX_SURPRISES:
        return False
    known, found = level.rate(levels.unit), rates[levels.unit]
    return found > known * _SURPRISE or found * _SURPRISE < known


def _next_limit(state: AdaptiveState) -> int | None:
    """Return the limit to measure next, None when the best one is known."""
    levels = state.levels
    best = levels.best()
    low, high = levels.neighbours(best)
    for pair in ((low, best), (best, high)):
        first, second = pair
        if first is None or second is None or levels.is_certain(first, second):
            continue
        if state.blocks < _STINT_BLOCKS and state.limit in (first.limit, second.limit):
            return state.limit
        return first.limit if first.blocks < second.blocks else second.limit
    # The first step of a run whose uploads are short.
    if high is None and best.limit == 1 and best.seconds <= _SHORT_UPLOAD * best.done[0]:
        return min(_SECOND_LIMIT, state.maximum)
    if high is None and best.limit < state.maximum:
        return min(2 * best.limit, state.maximum)
    if high is not None and (above := rung_above(best.limit)) < high.limit:
        return above
    if low is None:
        return best.limit // 2 or None
    return below if (below := rung_below(best.limit)) > low.limit else None


def _moved(state: AdaptiveState, limit: int) -> AdaptiveState:
    level = state.levels.get(state.limit)
    seconds = WINDOW_SECONDS
    if state.levels.unit == 0 and level is not None and level.done[0] > 0:
        # The uploads that just start have to end before the number of files shows the new limit.
        seconds = max(seconds, min(_MAX_SETTLING, level.limit * level.seconds / level.done[0]))
    return attrs.evolve(state, limit=limit, settling=seconds, blocks=0, surprises=0)


def rung_above(limit: int) -> int:
    """Return the next limit that is worth a try: 1, 2, 3, 4, 6, 8, 12, 16, 24 and so on."""
    power = 1 << (limit.bit_length() - 1)
    half = power + power // 2
    return half if limit < half else 2 * power


def rung_below(limit: int) -> int:
    """Return the limit before this one in the same series."""
    power = 1 << (limit.bit_length() - 1)
    half = power + power // 2
    if limit > half > power:
        return half
    return power if limit > power else max(1, power // 2 + power // 4)
