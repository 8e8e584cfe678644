"""Tells errors that the package raises itself from those that happened to it."""

from __future__ import annotations

import dis
from pathlib import Path
from types import CodeType

import imgwire_async
from imgwire_async import ImgwireError

from .nasty import CallerError

_PACKAGE = str(Path(imgwire_async.__file__).parent)


def _instruction(code: CodeType, at: int) -> str:
    return next((each.opname for each in dis.get_instructions(code) if each.offset == at), "")


def raised_by_us(error: BaseException) -> bool:
    """Whether a `raise` in the package made this error: not a call to something that raised, nor anybody else's code."""
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return code.co_filename.startswith(_PACKAGE) and _instruction(code, trace.tb_lasti).startswith("RAISE")


def fitting(error: BaseException) -> bool:
    """Whether a caller may meet this: our errors, ours of argument, our warnings, the disk's, and the caller's own."""
    if isinstance(error, CallerError | OSError | UserWarning):  # a warning is an error in tests
        return True
    if isinstance(error, UnicodeError):
        return False
    return isinstance(error, ImgwireError | TypeError | ValueError) and raised_by_us(error)
