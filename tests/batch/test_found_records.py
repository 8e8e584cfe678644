"""The records of a lost journal are kept in a temporary database."""

from __future__ import annotations

import pytest

from imgwire_async.batch.found_records import FoundRecords
from imgwire_async.batch_errors import BatchError

from .test_doubts import image


def test_the_oldest_record_of_a_key_is_found() -> None:
    found = FoundRecords()
    keys = [str(number) for number in range(1_234)]
    found.add([image(f"new {key}", "READY", 5, idempotency_key=key) for key in keys[:3]])
    found.add(
        [image("old", "READY", 9, idempotency_key="1"), image("newer", "READY", 1, idempotency_key="2")]
    )
    assert found.find([]) == {}
    assert found.find(keys) == {"0": "new 0", "1": "old", "2": "new 2"}
    found.close()


def test_a_table_that_is_closed_says_so() -> None:
    found = FoundRecords()
    found.close()
    found.close()
    with pytest.raises(BatchError, match="temporary database"):
        found.add([image(idempotency_key="a")])
    with pytest.raises(BatchError, match="temporary database"):
        found.find(["a"])
