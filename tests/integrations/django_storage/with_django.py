"""Django, set up once for all tests of this process, and a small picture."""

# ruff: noqa: E402  # Django may be missing, and its settings must come before further imports

from __future__ import annotations

from typing import Any

import pytest

django: Any = pytest.importorskip("django", reason="needs django")

from django.conf import settings

BACKEND = "imgwire_async.integrations.django.ImgwireStorage"
GIF = bytes.fromhex("47494638396101000100800000ffffff00000021f90401000000002c00000000010001000002024401003b")

if not settings.configured:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        STORAGES={"default": {"BACKEND": BACKEND}},
        MEDIA_URL="/media/",
        USE_TZ=True,
        ALLOWED_HOSTS=["*"],
    )
    django.setup()
