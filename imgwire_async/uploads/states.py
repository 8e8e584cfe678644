"""The life of an upload as a table: what a PUT came to, and what may follow. Pure; `flow` acts upon it."""

from __future__ import annotations

import enum

import attrs

from imgwire_async.models import ImageStatus

MAX_MINTS = 3

# A record in one of these states has its bytes. An unknown state proves nothing, so it counts as PENDING: to send the bytes once
# more does no harm. [contract 6]
ARRIVED = frozenset({ImageStatus.PROCESSING, ImageStatus.READY, ImageStatus.QUARANTINE})


class Event(enum.Enum):
    """What one PUT came to."""

    STORED = enum.auto()  # 2xx
    EXPIRED = enum.auto()  # refused, and the evidence says that the URL was too old
    REFUSED = enum.auto()  # 403 without such evidence
    REJECTED = enum.auto()  # another answer that will not change
    BUSY = enum.auto()  # 408, 429, 5xx: may be different in a moment
    UNSENT = enum.auto()  # no connection
    LOST = enum.auto()  # the connection broke; the bytes may have arrived
    STALLED = enum.auto()  # nothing moved, or no answer came, for too long
    # The caller in another thread, who reads the source, was busy elsewhere for too long.
    INTERRUPTED = enum.auto()


class Step(enum.Enum):
    """What follows."""

    DONE = enum.auto()
    MINT = enum.auto()  # a new URL, then the bytes again
    REPLAY = enum.auto()  # the same URL, after a pause
    LOOK = enum.auto()  # ask the API whether the bytes arrived
    FAIL = enum.auto()


@attrs.define
class Tally:
    """What counts for the decision: URLs made, refusals without a reason, retries used."""

    mints: int = 0
    in_doubt: bool = False  # a PUT for this record may have arrived although no success was told
    refusals: int = 0
    retries: int = 0
    max_retries: int = 3


def after(event: Event, tally: Tally) -> Step:
    """What follows a PUT. `max_retries=0` means one mint and one PUT, whatever happens."""
    if event is Event.STORED:
        return Step.DONE
    if tally.max_retries == 0:
        return Step.FAIL
    if event is Event.INTERRUPTED:
        return Step.REPLAY  # nothing failed
    if tally.in_doubt and event in {Event.EXPIRED, Event.REFUSED, Event.REJECTED}:
        return Step.LOOK  # refused perhaps because an earlier try had arrived
    if event is Event.REJECTED:
        return Step.FAIL
    if event in {Event.EXPIRED, Event.REFUSED}:
        may_mint = tally.mints < MAX_MINTS and (event is Event.EXPIRED or tally.refusals == 0)
        return Step.MINT if may_mint else Step.FAIL
    if event in {Event.LOST, Event.STALLED}:
        return Step.LOOK
    return Step.REPLAY if tally.retries < tally.max_retries else Step.FAIL


def after_look(event: Event, status: ImageStatus, tally: Tally) -> Step:
    """What follows the API's word on an upload whose PUT is in doubt."""
    if status in ARRIVED:
        return Step.DONE
    if event is Event.REJECTED:
        return Step.FAIL
    if event in {Event.EXPIRED, Event.REFUSED}:
        return Step.MINT if tally.mints < MAX_MINTS else Step.FAIL
    if event is Event.STALLED or tally.retries >= tally.max_retries:
        return Step.FAIL
    return Step.REPLAY
