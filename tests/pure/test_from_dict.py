"""`from_dict`: what `to_dict` made, stored as JSON and read again, is the same record; anything else is told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from samples import RECORDS, SECRET, data, image, reply

import imgwire_async
from imgwire_async import DecodeError, Image, UploadToken, from_dict, models, results, to_dict
from imgwire_async.protocol.codec import decode

records = pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.__name__)


def stored(record: models.Record) -> Any:
    return json.loads(json.dumps(to_dict(record)))


@records
def test_a_stored_record_comes_back_equal(record: type[models.Record]) -> None:
    for body in (data(record), data(record, newcomer={"a": [1, None]}, extra={"own": 1})):
        before = decode(reply(body), record)
        after = from_dict(record, stored(before))
        assert (type(after), after, hash(after)) == (record, before, hash(before))
        assert after.extra == before.extra
        assert to_dict(after) == to_dict(before)


def test_every_record_that_is_public_has_its_way_back() -> None:
    kinds = [getattr(imgwire_async, name) for name in imgwire_async.__all__]
    public = {each for each in kinds if isinstance(each, type) and issubclass(each, models.Record)}
    assert public == set(RECORDS.values())


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "BRAND_NEW", "mime_type": "image/x-new"},
        {"status": "PENDING", "width": None, "height": None, "size_bytes": None},
        {"created_at": "2026-04-01T12:30:00.123456+05:45", "updated_at": "2026-04-01T12:30:00-00:30"},
        {"created_at": "2026-04-01T12:30:00", "deleted_at": "2026-04-01"},
        {"custom_metadata": {"a": 1, "b": 1.5, "c": True, "d": "ü\u2028"}, "exif_data": {"deep": [{"er": None}]}},
        {"purpose": 5, "custom_metadata": {"fits": 1, "odd": [1]}},
    ],
)  # fmt: skip
def test_an_image_comes_back_whatever_the_service_made_of_it(changes: dict[str, Any]) -> None:
    before = decode(reply(image(**changes)), Image)
    after = from_dict(Image, stored(before))
    assert (after, after.extra) == (before, before.extra)


def test_a_record_that_was_changed_by_hand_comes_back_too() -> None:
    moment = datetime(2026, 4, 1, 12, tzinfo=timezone(timedelta(hours=-3)))
    before = attrs.evolve(decode(reply(image()), Image), created_at=moment, updated_at=moment.astimezone(UTC))
    assert from_dict(Image, stored(before)) == before


def test_the_record_shares_nothing_with_the_data() -> None:
    given = image(custom_metadata={"a": 1}, exif_data={"b": {"c": 1}}, newcomer=[1])
    made = from_dict(Image, given)
    given["custom_metadata"]["a"] = given["exif_data"]["b"]["c"] = 2
    given["newcomer"].append(2)
    assert (made.custom_metadata, made.exif_data, made.extra) == (
        {"a": 1},
        {"b": {"c": 1}},
        {"newcomer": [1]},
    )


def test_any_mapping_will_do() -> None:
    given: Mapping[str, Any] = MappingProxyType(image())
    assert from_dict(Image, given) == from_dict(Image, image())


@pytest.mark.parametrize(
    ("changes", "path"),
    [
        ({"id": None}, "$.id"),
        ({"can_upload": 1}, "$.can_upload"),
        ({"created_at": datetime(2026, 4, 1, tzinfo=UTC)}, "$.created_at"),
        ({"width": None}, "$.width"),
        ({"status": ["READY"]}, "$.status"),
    ],
)
def test_what_does_not_fit_is_a_decode_error_with_the_place(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(DecodeError) as caught:
        from_dict(Image, image(**changes))
    error = caught.value
    assert (error.path, error.exchange, error.body) == (path, None, "")
    assert "from_dict(Image, ...)" in str(error)
    assert f"{path}: expected" in str(error)
    assert "service" not in str(error)  # nobody was asked, and nothing was carried out
    assert (error.__cause__, error.__context__) == (None, None)


def test_a_missing_field_and_a_place_deep_inside_are_named() -> None:
    with pytest.raises(DecodeError, match=r"\$\.image\.cdn_url: the field is missing"):
        from_dict(models.StandardUpload, {"image": {k: v for k, v in image().items() if k != "cdn_url"}, "upload_url": "u"})  # fmt: skip
    stats = data(models.MetricsDatasets)
    stats["uploads"].append({"timestamp": "soon", "uploads": 1})
    with pytest.raises(DecodeError, match=rf"\$\.uploads\[{len(stats['uploads']) - 1}\]\.timestamp"):
        from_dict(models.MetricsDatasets, stats)


def test_data_that_is_nested_beyond_measure_is_a_decode_error() -> None:
    deep: Any = {}
    for _ in range(20_000):
        deep = {"a": deep}
    with pytest.raises(DecodeError):
        from_dict(Image, image(exif_data=deep))
    while deep:  # taken apart by hand: to free it at once may overflow the stack of older interpreters
        deep = deep["a"]


def test_no_secret_stands_in_the_error() -> None:
    with pytest.raises(DecodeError) as caught:
        from_dict(UploadToken, data(UploadToken, token=[SECRET], id=5))
    assert SECRET not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{}", r"not str: from_dict\(Image, json\.loads\(data\)\)"),
        (b"{}", r"not bytes: from_dict\(Image, json\.loads\(data\)\)"),
        (bytearray(b"{}"), r"json\.loads"),
        ([image()], r"not a list: \[from_dict\(Image, item\) for item in data\]"),
        ((), "not a tuple"),
        (None, "not NoneType"),
        (5, "not int"),
    ],
)
def test_what_is_no_mapping_is_a_type_error_that_says_what_to_pass(given: Any, says: str) -> None:
    with pytest.raises(TypeError, match=says):
        from_dict(Image, given)


def test_a_record_where_data_is_due_is_told() -> None:
    made: Any = from_dict(Image, image())
    with pytest.raises(TypeError, match=r"got a model \(Image\) already"):
        from_dict(Image, made)


@pytest.mark.parametrize(
    ("model", "given"),
    [(dict, "dict"), (models.Record, "Record"), (results.Page, "Page"), (models.ImageStatus, "ImageStatus"), ("Image", "an object of class str"),
     (None, "an object of class NoneType"), ({}, "an object of class dict"), (list[Image], "GenericAlias")],
)  # fmt: skip
def test_another_class_is_a_type_error_that_names_the_models(model: Any, given: str) -> None:
    with pytest.raises(TypeError) as caught:
        from_dict(model, image())
    assert given in str(caught.value)
    for record in RECORDS.values():
        assert record.__name__ in str(caught.value)
