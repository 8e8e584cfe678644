"""`from_dict` restores the models that `to_dict` has converted, and rejects other data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from types import MappingProxyType
from typing import Any

import attrs
import pytest
from samples import RECORDS, SECRET, api_response, data, image

import imgwire_async
from imgwire_async import DecodeError, Image, UploadToken, from_dict, models, results, to_dict
from imgwire_async.protocol.codec import decode

records = pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.__name__)


def through_json(record: models.Record) -> Any:
    return json.loads(json.dumps(to_dict(record)))


@records
def test_from_dict_restores_a_model_from_json(record: type[models.Record]) -> None:
    for body in (data(record), data(record, new_field={"a": [1, None]}, extra={"own": 1})):
        before = decode(api_response(body), record)
        after = from_dict(record, through_json(before))
        assert (type(after), after, hash(after)) == (record, before, hash(before))
        assert after.extra == before.extra
        assert to_dict(after) == to_dict(before)


def test_from_dict_supports_all_public_models() -> None:
    values = [getattr(imgwire_async, name) for name in imgwire_async.__all__]
    public = {value for value in values if isinstance(value, type) and issubclass(value, models.Record)}
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
def test_from_dict_restores_an_image_with_unusual_values(changes: dict[str, Any]) -> None:
    before = decode(api_response(image(**changes)), Image)
    after = from_dict(Image, through_json(before))
    assert (after, after.extra) == (before, before.extra)


def test_from_dict_restores_a_model_with_changed_fields() -> None:
    moment = datetime(2026, 4, 1, 12, tzinfo=timezone(timedelta(hours=-3)))
    before = attrs.evolve(
        decode(api_response(image()), Image), created_at=moment, updated_at=moment.astimezone(UTC)
    )
    assert from_dict(Image, through_json(before)) == before


def test_a_model_shares_no_objects_with_the_data() -> None:
    body = image(custom_metadata={"a": 1}, exif_data={"b": {"c": 1}}, new_field=[1])
    model = from_dict(Image, body)
    body["custom_metadata"]["a"] = body["exif_data"]["b"]["c"] = 2
    body["new_field"].append(2)
    assert (model.custom_metadata, model.exif_data, model.extra) == (
        {"a": 1},
        {"b": {"c": 1}},
        {"new_field": [1]},
    )


def test_from_dict_accepts_any_mapping() -> None:
    body: Mapping[str, Any] = MappingProxyType(image())
    assert from_dict(Image, body) == from_dict(Image, image())


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
def test_data_that_does_not_match_is_a_decode_error_with_the_path(changes: dict[str, Any], path: str) -> None:
    with pytest.raises(DecodeError) as caught:
        from_dict(Image, image(**changes))
    error = caught.value
    assert (error.path, error.exchange, error.body) == (path, None, "")
    assert "from_dict(Image, ...)" in str(error)
    assert f"{path}: expected" in str(error)
    assert "service" not in str(error)  # no request was sent
    assert (error.__cause__, error.__context__) == (None, None)


def test_the_path_of_a_missing_or_nested_field_is_complete() -> None:
    with pytest.raises(DecodeError, match=r"\$\.image\.cdn_url: the field is missing"):
        from_dict(models.StandardUpload, {"image": {k: v for k, v in image().items() if k != "cdn_url"}, "upload_url": "u"})  # fmt: skip
    stats = data(models.MetricsDatasets)
    stats["uploads"].append({"timestamp": "soon", "uploads": 1})
    with pytest.raises(DecodeError, match=rf"\$\.uploads\[{len(stats['uploads']) - 1}\]\.timestamp"):
        from_dict(models.MetricsDatasets, stats)


def test_data_that_is_nested_too_deeply_is_a_decode_error() -> None:
    deep: Any = {}
    for _ in range(20_000):
        deep = {"a": deep}
    with pytest.raises(DecodeError):
        from_dict(Image, image(exif_data=deep))
    # Freeing all levels at once would overflow the stack of old interpreters.
    while deep:
        deep = deep["a"]


def test_the_error_contains_no_secret() -> None:
    with pytest.raises(DecodeError) as caught:
        from_dict(UploadToken, data(UploadToken, token=[SECRET], id=5))
    assert SECRET not in f"{caught.value!r} {caught.value}"


@pytest.mark.parametrize(
    ("value", "message"),
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
def test_an_argument_that_is_not_a_mapping_is_a_type_error_with_advice(value: Any, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        from_dict(Image, value)


def test_a_model_in_place_of_data_is_a_type_error_that_says_so() -> None:
    model: Any = from_dict(Image, image())
    with pytest.raises(TypeError, match=r"`data` is a model \(Image\) already"):
        from_dict(Image, model)


@pytest.mark.parametrize(
    ("model", "name"),
    [(dict, "dict"), (models.Record, "Record"), (results.Page, "Page"), (models.ImageStatus, "ImageStatus"), ("Image", "an object of class str"),
     (None, "an object of class NoneType"), ({}, "an object of class dict"), (list[Image], "GenericAlias")],
)  # fmt: skip
def test_another_class_is_a_type_error_that_names_the_models(model: Any, name: str) -> None:
    with pytest.raises(TypeError) as caught:
        from_dict(model, image())
    assert name in str(caught.value)
    for record in RECORDS.values():
        assert record.__name__ in str(caught.value)
