"""Find the type and size of a picture in its bytes, and check that the picture is complete."""

from __future__ import annotations

from imgwire_async.emulator.pictures.byte_view import Finding, Picture, Unreadable
from imgwire_async.emulator.pictures.examine import examine

__all__ = ["Finding", "Picture", "Unreadable", "examine"]
