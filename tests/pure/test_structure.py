"""The two passes of decoding: the fast one, which is compiled for each record, and the one that finds the place of a misfit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import attrs
import pytest
from samples import RECORDS, SCHEMA_OF, SCHEMAS, example

from imgwire_async import models
from imgwire_async.protocol.codec import to_dict
from imgwire_async.protocol.structure import hook_for

ALL = list(RECORDS.values())


def data_of(record: type[models.Record]) -> dict[str, Any]:
    """What the service sends for a record, every nullable field filled."""
    found: dict[str, Any] = example(SCHEMAS[SCHEMA_OF[record]])
    return found


def outcome(record: type[models.Record], data: object, *, detailed: bool) -> object:
    try:
        return hook_for(record, detailed=detailed)(data, record)
    except Exception:  # the fast pass may raise anything
        return "refused"


ODD: list[Any] = [
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
    """The data as it is, and with each field dropped or replaced, alone and beside a change of the status."""
    yield from (data, *ODD)
    for status in ({}, {"status": "PENDING"}, {"status": "later"}):
        for name in [*data, "news"]:
            yield {field: value for field, value in (data | status).items() if field != name}
            yield from (data | status | {name: value} for value in ODD)


@pytest.mark.parametrize("record", ALL, ids=lambda each: each.__name__)
def test_both_passes_take_the_same_and_the_second_may_spare_what_is_odd(record: type[models.Record]) -> None:
    for data in variants(data_of(record)):
        fast, detailed = outcome(record, data, detailed=False), outcome(record, data, detailed=True)
        if fast == "refused" and isinstance(detailed, models.Record):
            assert to_dict(detailed) == data, data  # nothing of it is lost
            assert repr(to_dict(detailed)) == repr({name: data[name] for name in to_dict(detailed)}), data
            continue
        assert fast == detailed, data
        assert repr(fast) == repr(detailed), data  # 1 equals True
        assert getattr(fast, "extra", None) == getattr(detailed, "extra", None), data


@pytest.mark.parametrize("record", ALL, ids=lambda each: each.__name__)
@pytest.mark.parametrize("extra", [{}, {"news": [1, None]}], ids=["as known", "with news"])
@pytest.mark.parametrize("nullable", ["filled", "null", "absent"])
def test_what_fits_needs_no_second_pass(
    record: type[models.Record], extra: dict[str, Any], nullable: str
) -> None:
    data = data_of(record) | extra
    for field in attrs.fields(record):
        if field.default is None and nullable != "filled":
            data[field.name] = None
            if nullable == "absent":
                del data[field.name]
    built = hook_for(record, detailed=False)(data, record)
    assert type(built) is record
    assert built.extra == extra


@pytest.mark.parametrize("record", ALL, ids=lambda each: each.__name__)
def test_a_record_has_a_constructor_that_does_nothing_but_take_its_fields(
    record: type[models.Record],
) -> None:
    # Decoding does without it, so a validator, a converter or a step after it would be passed over.
    assert not hasattr(record, "__attrs_post_init__")
    for field in attrs.fields(record):
        assert field.validator is None, field.name
        assert field.converter is None, field.name
        assert field.init, field.name


def test_two_records_never_share_what_they_do_not_know() -> None:
    one, other = (
        hook_for(models.CorsOrigin, detailed=False)(data_of(models.CorsOrigin), None) for _ in range(2)
    )
    assert one.extra is not other.extra
