"""Decide when a run stops starting files because the service is not available, and when it goes on.

Pure functions. Without them, a night without network would mark hundreds of thousands of files as failed.
"""

from __future__ import annotations

import enum

import attrs

from imgwire_async.errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ImageQuarantinedError,
    UploadConnectionError,
    UploadNotReplayableError,
    UploadRejectedError,
    UploadStalledError,
    UploadUrlExpiredError,
    WaitTimeoutError,
)
from imgwire_async.retry import is_transient

# The number of uploads in a row that fail for the same transient reason before the run is held.
FAILURES_BEFORE_HOLD = 20
# Seconds before the first probe. The delay doubles with each probe that fails.
_FIRST_DELAY = 1.0
_LONGEST_DELAY = 60.0
# The share of a delay that jitter may take away, so that many machines do not probe at the same moment.
_JITTER = 0.25


class Outcome(enum.Enum):
    """What the end of one upload says about the service."""

    # The service responded, even if it rejected the file.
    RESPONDED = "responded"
    # These three are transient.
    NO_CONNECTION = "no connection"
    SERVER_ERROR = "server error"
    STALLED = "stalled"
    # The file or its source failed, or the rate limit was exceeded, which says nothing.
    UNKNOWN = "unknown"

    @property
    def is_transient(self) -> bool:
        """Whether the same file may succeed later, because the service or the network failed."""
        return self in _TRANSIENT


_TRANSIENT = frozenset({Outcome.NO_CONNECTION, Outcome.SERVER_ERROR, Outcome.STALLED})

# The first row that fits counts.
_BY_ERROR: tuple[tuple[tuple[type[BaseException], ...], Outcome], ...] = (
    ((UploadStalledError, APITimeoutError), Outcome.STALLED),
    ((UploadConnectionError, APIConnectionError), Outcome.NO_CONNECTION),
    ((UploadUrlExpiredError, WaitTimeoutError, ImageQuarantinedError), Outcome.RESPONDED),
)


def outcome_of(error: BaseException | None) -> Outcome:
    """Return what an upload says about the service. `error` is None if the upload succeeded."""
    if error is None:
        return Outcome.RESPONDED
    if isinstance(error, UploadNotReplayableError) and error.__cause__ is not None:
        return outcome_of(error.__cause__)
    if isinstance(error, APIStatusError | UploadRejectedError):
        if error.status == 429:
            return Outcome.UNKNOWN
        return Outcome.SERVER_ERROR if is_transient(error.status) else Outcome.RESPONDED
    if isinstance(error, APITimeoutError) and error.which == "connect":
        # No connection was made, so nothing stalled.
        return Outcome.NO_CONNECTION
    return next((outcome for kinds, outcome in _BY_ERROR if isinstance(error, kinds)), Outcome.UNKNOWN)


@attrs.frozen
class HoldState:
    """The uploads that failed in a row, and whether the run is held.

    Args:
        failures: The number of failures in a row for the same transient reason.
        reason: That reason, None if the last upload did not fail for one.
        failed_probes: The number of probes that failed, None if the run is not held.
    """

    failures: int = 0
    reason: Outcome | None = None
    failed_probes: int | None = None

    @property
    def is_held(self) -> bool:
        """Whether only one upload at a time may start, as a probe."""
        return self.failed_probes is not None

    def delay(self, jitter: float) -> float:
        """Return the seconds before the next probe. `jitter` is a random number in [0, 1)."""
        doublings = min(self.failed_probes or 0, 10)
        delay = min(_LONGEST_DELAY, _FIRST_DELAY * (1 << doublings))
        return max(_FIRST_DELAY, delay * (1 - _JITTER * jitter))


def after_upload(state: HoldState, outcome: Outcome, *, is_probe: bool = False) -> HoldState:
    """Return the state after the end of an upload.

    While the run is held, uploads that started earlier still end. Any response of the service to them ends
    the hold, but only a probe makes the delay longer.
    """
    if outcome is Outcome.UNKNOWN:
        return state
    if not outcome.is_transient:
        return HoldState()
    if state.failed_probes is not None:
        return attrs.evolve(state, failed_probes=state.failed_probes + 1) if is_probe else state
    failures = state.failures + 1 if outcome is state.reason else 1
    return HoldState(failures, outcome, 0 if failures >= FAILURES_BEFORE_HOLD else None)
