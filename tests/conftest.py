"""What all tests share. Beside it stand the modules that tests of several folders import."""

from __future__ import annotations

from hypothesis import settings

# A busy machine makes single examples slow, not wrong.
settings.register_profile("calm", deadline=None)
settings.load_profile("calm")
