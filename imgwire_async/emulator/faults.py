"""Plan faults: which requests fail, how, and how often. `host_server.py` applies the faults to requests."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Literal, TypeAlias

from attrs import define, frozen

from imgwire_async.emulator.cors import is_preflight
from imgwire_async.emulator.http import HeaderPairs, HostName, Request, Response

__all__ = ["Fault", "Faults", "PlannedFault", "ResetAt"]

ResetAt: TypeAlias = Literal["before", "after_commit"] | int


@frozen(kw_only=True)
class Fault:
    """The simulated failure of a request. `Faults.add` describes the fields.

    `response` is the response built from the arguments `status`, `headers` and `body`.
    """

    response: Response | None = None
    early: bool = False
    reset: ResetAt | None = None
    stall: float | None = None
    slow: float | None = None
    cut: int | None = None
    close_notify: bool = True


@define(kw_only=True)
class PlannedFault:
    """A fault, and the requests that it applies to.

    `method`, `path` and `host` select the requests. `after` is the number of matching requests to skip
    first. `times` is the number of later matching requests that get the fault, or None for all. `seen` counts
    the requests that matched so far, and `fired` counts the requests that got the fault.
    """

    fault: Fault
    method: str
    path: re.Pattern[str]
    host: HostName | None
    times: int | None
    after: int
    seen: int = 0
    fired: int = 0

    def matches(self, request: Request) -> bool:
        """Return whether the method, path and host of `request` match this fault.

        The method `"*"` does not match a preflight. If a fault made the preflight fail, the browser would
        report a CORS error, and would never send the request for which the fault was planned.
        """
        return (
            (self.method == request.method or (self.method == "*" and not is_preflight(request)))
            and self.host in {None, request.host}
            and self.path.fullmatch(request.raw_path) is not None
        )

    @property
    def due(self) -> bool:
        """Whether the fault applies to the matching request that was just counted in `seen`.

        It applies if `after` matching requests came before, and if fewer than `times` requests got the fault.
        """
        return self.seen > self.after and (self.times is None or self.fired < self.times)


class Faults:
    """The planned faults in the order in which they were added.

    Any thread may add faults. The emulator's event loop applies them.
    """

    def __init__(self, on_throttle: Callable[[], None]) -> None:
        self._lock = threading.Lock()
        self._planned: list[PlannedFault] = []
        # `add` calls this function for a fault with `slow` or `stall`.
        self._on_throttle = on_throttle

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
        """Plan a fault for requests that match `method`, `path` and `host`.

        A request gets at most one fault: the first added fault that matches and is due. All faults that
        match count the request in `seen`.

        Args:
            method: The exact method, or `"*"` for any method. A preflight of a browser matches only
                `"OPTIONS"`.
            path: The path of the request as sent, percent-encoded and without the query. `{name}` stands for
                any text without a slash (`/api/v1/images/{image_id}`), `*` for any text (`/uploads/*`).
            times: The number of matching requests that get the fault. None means all.
            after: The number of matching requests to skip first.
            status: The status of a response that the emulator sends instead of running the operation. The
                emulator reads the request body first.
            headers: The headers of the response with `status`.
            body: The body of the response with `status`. A mapping is sent as JSON.
            reset: When to reset the TCP connection. `"before"`: before the request body is read. A number:
                after this number of bytes of the request body. `"after_commit"`: when the operation is done,
                instead of sending its response.
            stall: The seconds to wait before the request body is read. `float("inf")` waits until the client
                disconnects. With `cut` the emulator waits after the cut response instead.
            slow: The maximum speed in bytes per second, for the request body and the response body.
            cut: The number of bytes of the response body after which the emulator closes the connection. The
                header `Content-Length` still has the length of the whole body.
            close_notify: False closes the TLS connection after `cut` without a close_notify alert, like a
                server that crashed.
            early: Whether to send the response with `status` before the request body is read. If this
                response has the header `Connection: close`, the emulator also stops sending on the
                connection.
            host: The host whose requests match: `"api"`, `"storage"` or `"cdn"`. None means all hosts.

        Returns:
            The planned fault, whose `seen` and `fired` count requests.

        Raises:
            ValueError: An argument is out of range, an argument is passed without the one that it needs (such
                as `headers` without `status`), or none of `status`, `reset`, `stall`, `slow` and `cut` is
                passed.
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
        """Remove all planned faults."""
        with self._lock:
            self._planned.clear()

    def next_fault(self, request: Request) -> Fault | None:
        """Count `request` in all faults that match it. Return the fault that applies to it, or None."""
        with self._lock:
            matching = [planned for planned in self._planned if planned.matches(request)]
            for planned in matching:
                planned.seen += 1
            first = next((planned for planned in matching if planned.due), None)
            if first is None:
                return None
            first.fired += 1
            return first.fault


def _response(
    status: int | None,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] | None,
    body: bytes | str | Mapping[str, object] | None,
) -> Response | None:
    pairs: HeaderPairs = tuple(headers or ()) if not isinstance(headers, Mapping) else tuple(headers.items())
    if status is None:
        if pairs or body is not None:
            raise ValueError("headers and body require status: they belong to the response with that status")
        return None
    if isinstance(body, Mapping):
        body = json.dumps(body)
        if not any(name.lower() == "content-type" for name, _ in pairs):
            pairs = (*pairs, ("Content-Type", "application/json"))
    data = body.encode() if isinstance(body, str) else body or b""
    return Response(status=status, body=data, headers=pairs)


def _check(fault: Fault, times: int | None, after: int) -> None:
    # The checks of `early` and `close_notify` come before the check for a missing fault, because their
    # messages name the missing argument.
    if fault.early and fault.response is None:
        raise ValueError(
            "early: only the response given by status can be sent before the request body is read; pass status"
        )
    if not fault.close_notify and fault.cut is None:
        raise ValueError(
            "close_notify: only a connection that cut ends can end without close_notify; pass cut"
        )
    if fault.response is None and fault.reset is fault.stall is fault.slow is fault.cut is None:
        raise ValueError("no fault: pass status, reset, stall, slow or cut")
    if isinstance(fault.reset, str) and fault.reset not in {"before", "after_commit"}:
        raise ValueError(f"reset: {fault.reset!r} is not 'before', 'after_commit' or a number of bytes")
    counts = {"times": times, "after": after, "reset": fault.reset, "stall": fault.stall, "cut": fault.cut}
    for name, value in counts.items():
        if isinstance(value, int | float) and not value >= 0:
            raise ValueError(f"{name}: {value!r} is negative")
    if fault.slow is not None and not fault.slow > 0:
        raise ValueError(f"slow: {fault.slow!r} bytes per second would never end; use stall instead")


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\*|\{[^{}/]+\})", path)
    return re.compile("".join(_part_pattern(part) for part in parts), re.DOTALL)


def _part_pattern(part: str) -> str:
    if part == "*":
        return ".*"
    return "[^/]+" if part.startswith("{") and part.endswith("}") else re.escape(part)
