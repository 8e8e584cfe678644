"""Type and size of a picture from its bytes, and whether it is whole. Pure; knows the ten supported types."""

from __future__ import annotations

from imgwire_async.emulator.pictures.examine import examine
from imgwire_async.emulator.pictures.view import Finding, Picture, Unreadable

__all__ = ["Finding", "Picture", "Unreadable", "examine"]
