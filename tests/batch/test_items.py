"""The values that sources pass to a batch run."""

from __future__ import annotations

import pytest
from attrs.exceptions import FrozenInstanceError

from imgwire_async.batch.items import Identity


def test_an_identity_cannot_be_changed() -> None:
    identity = Identity(3, mtime_ns=4)
    with pytest.raises(FrozenInstanceError):
        identity.size = 5  # type: ignore[misc]
    assert identity == Identity(3, 4)
