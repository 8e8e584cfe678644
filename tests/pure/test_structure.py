"""The two passes of decoding: a fast one, and a second one that finds the path of a wrong value."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from samples import RECORDS, SCHEMA_OF, SCHEMAS, example

from imgwire_async import models
from imgwire_async.protocol.codec import to_dict
from imgwire_async.protocol.structure import hook_for

MODELS = list(RECORDS.values())


def example_of(record: type[models.Record]) -> dict[str, Any]:
    """Return JSON for a record in which no nullable field is null."""
    data: dict[str, Any] = example(SCHEMAS[SCHEMA_OF[record]])
    return data


def outcome(record: type[models.Record], data: object, *, detailed: bool) -> object:
    try:
        return hook_for(record, detailed=detailed)(data, record)
    # The fast pass may raise anything.
    except Exception:
        return "rejected"


VALUES: list[Any] = [
    None,
    True,
    0,
    1,
    -(2**63),
    1.0,
    "",
    "READY",
    "image/png",
    "later",
    "2026-04-01",
    "2026-04-01T12:30:00+02:00",
    [],
    [None],
    ["text", 1],
    [{}],
    {},
    {"a": 1},
    {"a": [True]},
]


def variants(data: dict[str, Any]) -> Iterator[object]:
    """Yield the data, and copies with a removed or replaced field, also with another status."""
    yield from (data, *VALUES)
    for status in ({}, {"status": "PENDING"}, {"status": "later"}):
        for name in [*data, "unknown"]:
            yield {field: value for field, value in (data | status).items() if field != name}
            yield from (data | status | {name: value} for value in VALUES)


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record.__name__)
def test_both_passes_return_the_same_or_the_second_keeps_invalid_values_in_extra(
    record: type[models.Record],
) -> None:
    for data in variants(example_of(record)):
        fast, detailed = outcome(record, data, detailed=False), outcome(record, data, detailed=True)
        if fast == "rejected" and isinstance(detailed, models.Record):
            assert to_dict(detailed) == data, data
            assert repr(to_dict(detailed)) == repr({name: data[name] for name in to_dict(detailed)}), data
            continue
        # The comparison of the reprs distinguishes 1 from True.
        assert fast == detailed, data
        assert repr(fast) == repr(detailed), data
        assert getattr(fast, "extra", None) == getattr(detailed, "extra", None), data


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record.__name__)
@pytest.mark.parametrize("extra", [{}, {"unknown": [1, None]}], ids=["known fields", "unknown field"])
@pytest.mark.parametrize("nullable", ["filled", "null", "absent"])
def test_valid_data_needs_only_the_fast_pass(
    record: type[models.Record], extra: dict[str, Any], nullable: str
) -> None:
    data = example_of(record) | extra
    for field in attrs.fields(record):
        if field.default is None and nullable != "filled":
            data[field.name] = None
            if nullable == "absent":
                del data[field.name]
    built = hook_for(record, detailed=False)(data, record)
    assert type(built) is record
    assert built.extra == extra


@pytest.mark.parametrize("record", MODELS, ids=lambda record: record.__name__)
def test_the_constructor_of_a_model_only_assigns_fields(
    record: type[models.Record],
) -> None:
    # Decoding does not call the constructor, so it would skip a validator, a converter or a post-init method.
    assert not hasattr(record, "__attrs_post_init__")
    for field in attrs.fields(record):
        assert field.validator is None, field.name
        assert field.converter is None, field.name
        assert field.init, field.name


def test_two_records_do_not_share_extra() -> None:
    one, other = (
        hook_for(models.CorsOrigin, detailed=False)(example_of(models.CorsOrigin), None) for _ in range(2)
    )
    assert one.extra is not other.extra
