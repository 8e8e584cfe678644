"""What goes wrong, when and how often. `add` plans a fault; `front.py` plays it."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from attrs import define, frozen

from imgwire_async.emulator.cors import is_preflight
from imgwire_async.emulator.http import HostName, Pairs, Request, Response

__all__ = ["Fault", "Faults", "PlannedFault", "ResetAt"]

ResetAt: TypeAlias = Literal["before", "after_commit"] | int


@frozen(kw_only=True)
class Fault:
    """One thing that goes wrong with one request."""

    response: Response | None = None
    early: bool = False
    reset: ResetAt | None = None
    stall: float | None = None
    slow: float | None = None
    cut: int | None = None
    close_notify: bool = True


@define(kw_only=True)
class PlannedFault:
    """A fault with the requests it waits for; `seen` and `fired` count as they come."""

    fault: Fault
    method: str
    path: re.Pattern[str]
    host: HostName | None
    times: int | None
    after: int
    seen: int = 0
    fired: int = 0

    def matches(self, head: Request) -> bool:
        """Whether this request is one of those it waits for. `"*"` is no preflight's method: a browser would tell of CORS,
        and never send what the fault was meant for.
        """
        return (
            (self.method == head.method or (self.method == "*" and not is_preflight(head)))
            and self.host in {None, head.host}
            and self.path.fullmatch(head.raw_path) is not None
        )

    @property
    def due(self) -> bool:
        """Whether it fires now: past the skipped requests and not used up."""
        return self.seen > self.after and (self.times is None or self.fired < self.times)


class Faults:
    """The planned faults, in the order in which they were added. Any thread may plan; the emulator's loop takes."""

    def __init__(self, on_throttle: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._planned: list[PlannedFault] = []
        self._on_throttle = on_throttle  # told when the first slow or stalled request is planned

    def add(
        self,
        method: str,
        path: str,
        *,
        times: int | None = 1,
        after: int = 0,
        status: int | None = None,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] | None = None,
        body: bytes | str | Mapping[str, object] | None = None,
        reset: ResetAt | None = None,
        stall: float | None = None,
        slow: float | None = None,
        cut: int | None = None,
        close_notify: bool = True,
        early: bool = False,
        host: HostName | None = None,
    ) -> PlannedFault:
        """Plan a fault for the next `times` operations_at requests (None = all) after the first `after` of them.

        `method` is exact or `"*"`, which a browser's preflights do not match (they match `"OPTIONS"`). `path` is compared with the path as sent, without the query: exact, a template
        (`/api/v1/images/{image_id}`), or with `*` for any text (`/uploads/*`); `host` narrows it to `"api"`,
        `"storage"` or `"cdn"`. The first fault that is due wins; all that match count the request as seen.

        `status`, `headers`, `body`: this answer instead of the real one, after the body was read, or before it with
        `early=True`; a header `Connection: close` then ends the sending with it. `reset`: a real RST `"before"` anything is done, after so many bytes of the body (a number), or
        instead of the answer, `"after_commit"`. `stall`: so many seconds before the body is read and the answer sent
        (`float("inf")`: until the client leaves). `slow`: the body is read, and the answer's body sent, at so many bytes
        per second. `cut`: the connection ends after so many bytes of an answer that promised all; with `stall`, the
        pause comes there. `close_notify=False`, with `cut` and over TLS: the TCP connection ends without TLS having said
        that it does, as when a server dies.
        """
        fault = Fault(
            response=_response(status, headers, body),
            early=early,
            reset=reset,
            stall=stall,
            slow=slow,
            cut=cut,
            close_notify=close_notify,
        )
        _check(fault, times, after)
        pattern = _pattern(path)
        planned = PlannedFault(fault=fault, method=method, path=pattern, host=host, times=times, after=after)
        if stall is not None or slow is not None:
            self._on_throttle()
        with self._lock:
            self._planned.append(planned)
        return planned

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        with self._lock:
            self._planned.clear()

    def next_fault(self, request: Request) -> Fault | None:
        """The fault that this request meets, if any; counts the request."""
        with self._lock:
            operations_at = [planned for planned in self._planned if planned.matches(request)]
            for planned in operations_at:
                planned.seen += 1
            first = next((planned for planned in operations_at if planned.due), None)
            if first is None:
                return None
            first.fired += 1
            return first.fault


def _response(
    status: int | None,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None,
    body: bytes | str | Mapping[str, object] | None,
) -> Response | None:
    pairs: Pairs = tuple(headers or ()) if not isinstance(headers, Mapping) else tuple(headers.items())
    if status is None:
        if pairs or body is not None:
            raise ValueError("headers and body need a status: they are that answer's")
        return None
    if isinstance(body, Mapping):
        body = json.dumps(body)
        if not any(name.lower() == "content-type" for name, _ in pairs):
            pairs = (*pairs, ("Content-Type", "application/json"))
    data = body.encode() if isinstance(body, str) else body or b""
    return Response(status=status, body=data, headers=pairs)


def _check(fault: Fault, times: int | None, after: int) -> None:
    # An argument that belongs to another one comes first: its message names the other one.
    if fault.early and fault.response is None:
        raise ValueError(
            "early: only an answer given by status can come before the body is read; give status"
        )
    if not fault.close_notify and fault.cut is None:
        raise ValueError("close_notify: only a connection that a cut ends can end without it; give cut")
    if fault.response is None and fault.reset is fault.stall is fault.slow is fault.cut is None:
        raise ValueError("nothing goes wrong: give status, reset, stall, slow or cut")
    if isinstance(fault.reset, str) and fault.reset not in {"before", "after_commit"}:
        raise ValueError(f"reset: {fault.reset!r} is not 'before', 'after_commit' or a number of bytes")
    counts = {"times": times, "after": after, "reset": fault.reset, "stall": fault.stall, "cut": fault.cut}
    for name, value in counts.items():
        if isinstance(value, int | float) and not value >= 0:
            raise ValueError(f"{name}: {value!r} is below 0")
    if fault.slow is not None and not fault.slow > 0:
        raise ValueError(f"slow: {fault.slow!r} bytes per second would never end; see stall")


def _pattern(path: str) -> re.Pattern[str]:
    words = re.split(r"(\*|\{[^{}/]+\})", path)
    return re.compile("".join(_part_pattern(word) for word in words), re.DOTALL)


def _part_pattern(word: str) -> str:
    if word == "*":
        return ".*"
    return "[^/]+" if word.startswith("{") and word.endswith("}") else re.escape(word)
