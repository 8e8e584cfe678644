"""Find out whether an exception was raised by a `raise` statement of the package."""

from __future__ import annotations

import dis
from pathlib import Path
from types import CodeType

import imgwire_async
from imgwire_async import ImgwireError

from .odd_inputs import CallerError

_PACKAGE = str(Path(imgwire_async.__file__).parent)


def _instruction_name(code: CodeType, offset: int) -> str:
    return next((item.opname for item in dis.get_instructions(code) if item.offset == offset), "")


def is_raised_by_package(error: BaseException) -> bool:
    """Return whether a `raise` statement of the package raised this error.

    False for errors of other libraries, and of functions that the package called.
    """
    trace = error.__traceback__
    if trace is None:
        return False
    while trace.tb_next is not None:
        trace = trace.tb_next
    code = trace.tb_frame.f_code
    return code.co_filename.startswith(_PACKAGE) and _instruction_name(code, trace.tb_lasti).startswith(
        "RAISE"
    )


def is_expected(error: BaseException) -> bool:
    """Return whether the client may raise this error: one of ours, of the system, or of the caller."""
    # In tests a warning is an error.
    if isinstance(error, CallerError | OSError | UserWarning):
        return True
    if isinstance(error, UnicodeError):
        return False
    return isinstance(error, ImgwireError | TypeError | ValueError) and is_raised_by_package(error)
