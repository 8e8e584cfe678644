"""Where the progress of a batch run is shown: in a terminal, in a notebook, or in the log.

All of this runs in the thread of a `Display`, because writing to a terminal may block, and importing rich
takes time.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Protocol

from imgwire_async.batch.progress_text import Rate, progress_line, progress_lines
from imgwire_async.batch.reporter import RunStatus
from imgwire_async.logs import logger

if TYPE_CHECKING:
    from rich.console import Console


class View(Protocol):
    """A place that shows the progress. `interval` is the number of seconds between two calls of `show`."""

    interval: float

    def show(self, status: RunStatus, rate: Rate) -> None:
        """Show the current state."""
        ...

    def close(self, status: RunStatus, rate: Rate) -> None:
        """Show the last state, and leave the terminal as it was. Called once, also after an error."""
        ...


class LogView:
    """Log lines at the level INFO."""

    interval: float = 10.0

    def show(self, status: RunStatus, rate: Rate) -> None:
        """Log the current state. The first call of a run has nothing to log."""
        if status.summary.elapsed >= self.interval / 2:
            logger.info("%s", progress_line(status, rate))

    def close(self, status: RunStatus, rate: Rate) -> None:
        """Log the last state."""
        logger.info("%s", progress_line(status, rate))


class TerminalView:
    """Lines at the end of the terminal, drawn by rich. Output of the application appears above them."""

    interval: float = 0.25

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._ascii_only = console.options.ascii_only
        self._live = Live(
            console=console,
            auto_refresh=False,
            # Output to a file must not become output to the terminal.
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=True,
        )
        self._live.start()

    def show(self, status: RunStatus, rate: Rate) -> None:
        """Replace the lines."""
        from rich.text import Text

        lines = progress_lines(status, rate, ascii_only=self._ascii_only)
        # A line that does not fit is cut, because its rest would move all lines below.
        text = Text("\n".join(lines), no_wrap=not status.has_ended, overflow="ellipsis")
        self._live.update(text, refresh=True)

    def close(self, status: RunStatus, rate: Rate) -> None:
        """Replace the lines for the last time. They stay in the terminal."""
        try:
            self.show(status, rate)
        finally:
            self._live.stop()


class NotebookView:
    """The output of the current cell of a Jupyter notebook."""

    interval: float = 1.0

    def __init__(self, display: Any) -> None:
        self._display = display
        self._handle: Any = None

    def show(self, status: RunStatus, rate: Rate) -> None:
        """Replace the output."""
        output = {"text/plain": "\n".join(progress_lines(status, rate))}
        if self._handle is None:
            self._handle = self._display(output, raw=True, display_id=True)
        else:
            self._handle.update(output, raw=True)

    def close(self, status: RunStatus, rate: Rate) -> None:
        """Replace the output for the last time."""
        self.show(status, rate)


def choose_view() -> View:
    """Return the view for the current process."""
    if _is_notebook():
        return NotebookView(importlib.import_module("IPython.display").display)
    if not _is_terminal(sys.stderr):
        return LogView()
    try:
        from rich.console import Console
    except ImportError:
        return LogView()
    console = Console(stderr=True)
    # The terminals of some editors cannot move the cursor.
    return TerminalView(console) if console.is_interactive else LogView()


def _is_terminal(stream: Any) -> bool:
    try:
        return bool(stream.isatty())
    except (AttributeError, ValueError):
        # There is no stream, or it is closed.
        return False


def _is_notebook() -> bool:
    """Return whether this process is the kernel of a notebook, not IPython in a terminal."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
