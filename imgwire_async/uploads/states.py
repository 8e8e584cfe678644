"""Decide the next step of an upload. Pure functions.

Two tables map the outcome of a PUT to the next action. Counters limit the number of attempts. The module
`upload` performs the actions.
"""

from __future__ import annotations

import enum

import attrs

from imgwire_async.models import ImageStatus
from imgwire_async.protocol.request import APIResponse
from imgwire_async.protocol.signed_urls import is_expired
from imgwire_async.retry import Failure, RetryBudget, is_success, is_transient

# The maximum number of presigned URLs requested for one upload.
MAX_UPLOAD_URLS = 3

# A record with one of these statuses has received its bytes. A status that the SDK does not know counts as
# PENDING, because sending the bytes again does no harm. [contract 6]
ARRIVED = frozenset({ImageStatus.PROCESSING, ImageStatus.READY, ImageStatus.QUARANTINE})


class PutOutcome(enum.Enum):
    """The outcome of one PUT request that sends the bytes to the storage."""

    # A response with status 2xx.
    STORED = enum.auto()
    # The response shows that the URL had expired.
    EXPIRED = enum.auto()
    # A response with status 403 that does not show an expired URL.
    FORBIDDEN = enum.auto()
    # Any other failure that another attempt would not change.
    REJECTED = enum.auto()
    # A response with status 408, 429 or 5xx, but not 501. Another attempt may succeed.
    BUSY = enum.auto()
    # No connection could be made, so no byte was sent.
    NOT_SENT = enum.auto()
    # The connection broke, but the bytes may have arrived.
    CONNECTION_LOST = enum.auto()
    # No byte was sent, or no response came, for longer than the stall timeout.
    STALLED = enum.auto()
    # The caller's thread, which reads the source, was busy with other code for too long.
    INTERRUPTED = enum.auto()


class Action(enum.Enum):
    """The next step of an upload."""

    DONE = enum.auto()
    # Request a new URL and send the bytes to it.
    NEW_URL = enum.auto()
    # Send the bytes to the same URL after a delay.
    RETRY = enum.auto()
    # Retrieve the record, which shows whether the bytes arrived.
    CHECK_RECORD = enum.auto()
    FAIL = enum.auto()


# Maps the outcome of a PUT to the next action of the upload. If `_allowed` is False for this action (for
# example because no retries are left), the upload fails instead.
ACTION_AFTER_PUT = {
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

# The same map for the case that CHECK_RECORD has found a record that is still PENDING, so that the storage
# has not received its bytes.
ACTION_IF_PENDING = {
    **ACTION_AFTER_PUT,
    PutOutcome.STORED: Action.FAIL,
    PutOutcome.CONNECTION_LOST: Action.RETRY,
    PutOutcome.STALLED: Action.FAIL,
}

_REJECTIONS = frozenset({PutOutcome.EXPIRED, PutOutcome.FORBIDDEN, PutOutcome.REJECTED})
# After these outcomes the bytes may have arrived, although the storage reported no success.
_UNCERTAIN = frozenset({PutOutcome.CONNECTION_LOST, PutOutcome.STALLED, PutOutcome.BUSY})

_OUTCOME_BY_FAILURE_KIND: dict[str | None, PutOutcome] = {
    "stalled": PutOutcome.STALLED,
    "caller_busy": PutOutcome.INTERRUPTED,
}


def outcome_without_response(failure: Failure) -> PutOutcome:
    """Return the outcome of a PUT that got no response."""
    if failure.is_final:
        return PutOutcome.REJECTED
    if failure.unprocessed:
        return PutOutcome.NOT_SENT
    return _OUTCOME_BY_FAILURE_KIND.get(failure.kind, PutOutcome.CONNECTION_LOST)


def outcome_of(response: APIResponse, url: str) -> PutOutcome:
    """Return the outcome of a PUT to `url` from the response of the storage."""
    if is_success(response.status):
        return PutOutcome.STORED
    if is_transient(response.status):
        return PutOutcome.BUSY
    if is_expired(url, response.status, response.text, response.headers):
        return PutOutcome.EXPIRED
    return PutOutcome.FORBIDDEN if response.status == 403 else PutOutcome.REJECTED


@attrs.define
class UploadState:
    """The counters that limit the attempts of an upload, and what is known about its record."""

    budget: RetryBudget
    urls_requested: int = 0
    # Whether the bytes of a PUT for this record may have arrived, although no success was reported.
    may_have_arrived: bool = False
    # The number of PUTs with the outcome FORBIDDEN.
    forbidden_puts: int = 0
    # Whether the idempotency key is derived from the content. If so, an earlier run may have created this
    # record and sent its bytes.
    has_derived_key: bool = False
    # Whether the record was checked after the last PUT. If the upload fails after this check, the record had
    # no bytes.
    is_checked: bool = False

    @property
    def is_record_unknown(self) -> bool:
        """Whether the record may have bytes that its last known status does not show."""
        return (self.may_have_arrived or self.has_derived_key) and not self.is_checked

    def update(self, outcome: PutOutcome) -> None:
        """Update the state after a PUT with this outcome."""
        self.is_checked = False
        if outcome in _UNCERTAIN:
            self.may_have_arrived = True


def next_action(outcome: PutOutcome, state: UploadState) -> Action:
    """Return the next action after a PUT with this outcome."""
    action = ACTION_AFTER_PUT[outcome]
    if outcome in _REJECTIONS and (state.may_have_arrived or state.has_derived_key):
        # The storage may reject this PUT because the bytes of an earlier PUT have arrived.
        action = Action.CHECK_RECORD
    return action if _allowed(action, outcome, state) else Action.FAIL


def action_after_check(outcome: PutOutcome, status: ImageStatus, state: UploadState) -> Action:
    """Return the action after CHECK_RECORD has found `status`.

    `outcome` is the outcome of the PUT before that check.
    """
    if status in ARRIVED:
        return Action.DONE
    action = ACTION_IF_PENDING[outcome]
    return action if _allowed(action, outcome, state) else Action.FAIL


def _allowed(action: Action, outcome: PutOutcome, state: UploadState) -> bool:
    """Return whether the limits of an upload allow an action.

    With `max_retries=0` an upload requests one URL and sends one PUT.
    """
    if action is Action.DONE or action is Action.FAIL:
        return True
    if state.budget.policy.max_retries == 0:
        return action is Action.CHECK_RECORD and state.has_derived_key
    if action is Action.NEW_URL:
        # A new URL may be requested after the first PUT with the outcome FORBIDDEN. After a later one, it may
        # be requested only if the bytes of an earlier PUT may have arrived.
        is_reasonable = outcome is PutOutcome.EXPIRED or state.may_have_arrived or state.forbidden_puts == 0
        return is_reasonable and state.urls_requested < MAX_UPLOAD_URLS
    if action is Action.RETRY:
        # An interrupted PUT is not a failure, so it uses up no retry.
        return outcome is PutOutcome.INTERRUPTED or not state.budget.is_spent
    return True
