"""What may follow what in the life of an upload: two tables, and the limits on them. Pure; `upload` acts upon it."""

from __future__ import annotations

import enum

import attrs

from imgwire_async.models import ImageStatus
from imgwire_async.protocol.request import APIResponse
from imgwire_async.protocol.signed_urls import is_expired
from imgwire_async.retry import Failure, RetryBudget, is_success, is_transient

# URLs that are made for one upload, at most.
MAX_UPLOAD_URLS = 3

# A record in one of these states has its bytes. An unknown state proves nothing, so it counts as PENDING: to
# send the bytes once more does no harm. [contract 6]
ARRIVED = frozenset({ImageStatus.PROCESSING, ImageStatus.READY, ImageStatus.QUARANTINE})


class PutOutcome(enum.Enum):
    """The outcome of one PUT."""

    STORED = enum.auto()  # 2xx
    EXPIRED = enum.auto()  # refused, and the evidence says that the URL was too old
    FORBIDDEN = enum.auto()  # 403 without such evidence
    REJECTED = enum.auto()  # another response that will not change
    BUSY = enum.auto()  # 408, 429, 5xx: may be different in a moment
    NOT_SENT = enum.auto()  # no connection
    CONNECTION_LOST = enum.auto()  # the connection broke; the bytes may have arrived
    STALLED = enum.auto()  # nothing moved, or no response came, for too long
    # The caller in another thread, who reads the source, was busy elsewhere for too long.
    INTERRUPTED = enum.auto()


class Action(enum.Enum):
    """The next step of an upload."""

    DONE = enum.auto()
    NEW_URL = enum.auto()  # a new URL, then the bytes again
    RETRY = enum.auto()  # the same URL, after a pause
    CHECK_RECORD = enum.auto()  # ask the API whether the bytes arrived
    FAIL = enum.auto()


# What follows a PUT, while the limits allow it.
NEXT = {
    PutOutcome.STORED: Action.DONE,
    PutOutcome.EXPIRED: Action.NEW_URL,
    PutOutcome.FORBIDDEN: Action.NEW_URL,
    PutOutcome.REJECTED: Action.FAIL,
    PutOutcome.BUSY: Action.RETRY,
    PutOutcome.NOT_SENT: Action.RETRY,
    PutOutcome.CONNECTION_LOST: Action.CHECK_RECORD,
    PutOutcome.STALLED: Action.CHECK_RECORD,
    PutOutcome.INTERRUPTED: Action.RETRY,
}

# What follows CHECK_RECORD when the record has no bytes, while the limits allow it.
IF_STILL_PENDING = {
    **NEXT,
    PutOutcome.STORED: Action.FAIL,
    PutOutcome.CONNECTION_LOST: Action.RETRY,
    PutOutcome.STALLED: Action.FAIL,
}

_REFUSALS = frozenset({PutOutcome.EXPIRED, PutOutcome.FORBIDDEN, PutOutcome.REJECTED})
# After these the bytes may be there all the same.
_DOUBTFUL = frozenset({PutOutcome.CONNECTION_LOST, PutOutcome.STALLED, PutOutcome.BUSY})


_CLOCKS: dict[str | None, PutOutcome] = {"stalled": PutOutcome.STALLED, "caller_busy": PutOutcome.INTERRUPTED}


def outcome_without_response(failure: Failure) -> PutOutcome:
    """Return the outcome of a PUT that got no response."""
    if failure.is_final:
        return PutOutcome.REJECTED
    if failure.unprocessed:
        return PutOutcome.NOT_SENT
    return _CLOCKS.get(failure.kind, PutOutcome.CONNECTION_LOST)


def outcome_of(reply: APIResponse, url: str) -> PutOutcome:
    """Return the outcome of a PUT to `url`, by the response of the storage."""
    if is_success(reply.status):
        return PutOutcome.STORED
    if is_transient(reply.status):
        return PutOutcome.BUSY
    if is_expired(url, reply.status, reply.text, reply.headers):
        return PutOutcome.EXPIRED
    return PutOutcome.FORBIDDEN if reply.status == 403 else PutOutcome.REJECTED


@attrs.define
class UploadState:
    """What limits an upload: URLs requested, PUTs rejected without a known reason, retries left."""

    budget: RetryBudget
    urls_requested: int = 0
    may_have_arrived: bool = False  # a PUT for this record may have arrived although no success was reported
    forbidden_puts: int = 0
    derived_key: bool = False  # an earlier run may have created this record and sent its bytes

    def note(self, outcome: PutOutcome) -> None:
        """Remember that the bytes may have arrived, when they may have."""
        if outcome in _DOUBTFUL:
            self.may_have_arrived = True


def next_action(outcome: PutOutcome, state: UploadState) -> Action:
    """Return what follows a PUT."""
    action = NEXT[outcome]
    if outcome in _REFUSALS and (state.may_have_arrived or state.derived_key):
        # Refused perhaps because an earlier try had arrived.
        action = Action.CHECK_RECORD
    return action if _allowed(action, outcome, state) else Action.FAIL


def action_after_check(outcome: PutOutcome, status: ImageStatus, state: UploadState) -> Action:
    """Return what follows a PUT whose outcome was in doubt, now that the API told the record's status."""
    if status in ARRIVED:
        return Action.DONE
    action = IF_STILL_PENDING[outcome]
    return action if _allowed(action, outcome, state) else Action.FAIL


def _allowed(action: Action, outcome: PutOutcome, state: UploadState) -> bool:
    """Return whether the limits of an upload allow an action. `max_retries=0` means one URL and one PUT, whatever happens."""
    if action is Action.DONE or action is Action.FAIL:
        return True
    if state.budget.policy.max_retries == 0:
        return action is Action.CHECK_RECORD and state.derived_key
    if action is Action.NEW_URL:
        # A URL that is forbidden for no reason is replaced once, or when the record was checked.
        is_known = outcome is PutOutcome.EXPIRED or state.may_have_arrived or state.forbidden_puts == 0
        return is_known and state.urls_requested < MAX_UPLOAD_URLS
    if action is Action.RETRY:
        # An interrupted PUT did not fail.
        return outcome is PutOutcome.INTERRUPTED or not state.budget.is_spent
    return True
