"""Models and open enums: they keep unknown values, and errors name the wrong field."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import attrs
import pytest
from samples import (
    ENUMS,
    ID,
    RECORDS,
    REQUEST_ID,
    SCHEMAS,
    SECRET,
    api_response,
    data,
    fields_of,
    image,
    kind,
    nullable,
)

from imgwire_async import models, results, to_dict
from imgwire_async.errors import DecodeError
from imgwire_async.protocol.codec import decode

records = pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.__name__)
enums = pytest.mark.parametrize("enum", ENUMS.values(), ids=lambda enum: enum.__name__)

SIZES = ("width", "height", "size_bytes")


def field_params(condition: Any) -> list[Any]:
    return [
        pytest.param(record, name, schema, id=f"{record.__name__}.{name}")
        for record in RECORDS.values()
        for name, schema in fields_of(record)
        if condition(record, name, schema)
    ]


def required(record: type[models.Record], name: str, schema: dict[str, Any]) -> bool:
    schema_name = next(key for key, value in RECORDS.items() if value is record)
    return name in SCHEMAS[schema_name].get("required", []) and not nullable(schema)


def decoded_sample(record: type[models.Record], **changes: Any) -> models.Record:
    return decode(api_response(data(record, **changes)), record)


def decode_error(body: Any, model: Any) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(api_response(body), model)
    return caught.value


# --- valid responses ----------------------------------------------------------------------------------------


@records
def test_to_dict_returns_the_json_that_was_decoded(record: type[models.Record]) -> None:
    assert to_dict(decoded_sample(record)) == data(record)


@records
def test_an_unknown_field_is_kept_in_extra_and_in_to_dict(record: type[models.Record]) -> None:
    unknown = {"colour_space": "srgb", "tags": [1, {"a": None}], "extra": {"even": "this"}}
    body = data(record, **unknown)
    decoded = decode(api_response(body), record)
    assert decoded.extra == unknown
    assert to_dict(decoded) == body


@pytest.mark.parametrize(("record", "name", "schema"), field_params(lambda r, n, s: nullable(s)))
def test_a_nullable_field_may_be_null_or_absent(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    absent = data(record)
    del absent[name]
    for body in (data(record, **{name: None}), absent):
        decoded = decode(api_response(body), record)
        assert getattr(decoded, name) is None
        assert to_dict(decoded) == data(record, **{name: None})


@pytest.mark.parametrize(
    ("record", "name", "schema"),
    field_params(lambda r, n, s: "$ref" in s and "enum" in SCHEMAS[s["$ref"].rpartition("/")[2]]),
)
def test_an_unknown_enum_value_is_kept(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    decoded = decoded_sample(record, **{name: "BRAND_NEW"})
    value = getattr(decoded, name)
    assert value == value.value == "BRAND_NEW"
    assert type(value) is ENUMS[schema["$ref"].rpartition("/")[2]]
    assert to_dict(decoded)[name] == "BRAND_NEW"


def test_a_validation_error_without_detail_is_decoded() -> None:
    assert decode(api_response({}), models.HTTPValidationError) == models.HTTPValidationError(detail=())


def test_a_location_may_contain_names_and_indices() -> None:
    issue = decode(
        api_response({"loc": ["body", "image_ids", 0], "msg": "no UUID", "type": "uuid"}),
        models.ValidationError,
    )
    assert issue.loc == ("body", "image_ids", 0)
    assert str(issue) == "body.image_ids.0: no UUID"


# --- invalid responses --------------------------------------------------------------------------------------

# For each JSON type: values of other types, some of which look similar.
WRONG: dict[str, list[Any]] = {
    "string": [None, 123, True, 1.5, [SECRET], {"a": SECRET}],
    "integer": [None, True, "7", 7.0, [7], {"a": 7}],
    "number": [None, True, "7.5", [7.5], {"a": 7.5}],
    "boolean": [None, 0, 1, "true", [True], {}],
    "array": [None, SECRET, {"0": SECRET}, 7, True],
    "object": [None, SECRET, [SECRET], 7, True],
}


def assert_names_path_without_value(error: DecodeError, path: str) -> None:
    text = str(error)
    assert error.path == path
    assert path in text
    assert "GET /images/{image_id}" in text
    assert REQUEST_ID in text
    assert SECRET not in text
    assert "while structuring" not in text.lower()


@pytest.mark.parametrize(("record", "name", "schema"), field_params(required))
def test_the_error_for_a_required_field_of_a_wrong_type_has_its_path(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    for value in WRONG[kind(schema)]:
        if name in {"custom_metadata", "exif_data"}:
            assert_moved_to_extra(record, name, value, {})
        else:
            assert_names_path_without_value(decode_error(data(record, **{name: value}), record), f"$.{name}")


def assert_moved_to_extra(record: type[models.Record], name: str, value: Any, expected: Any) -> None:
    """Check that a wrong value is kept in `extra`, and that `to_dict` returns it."""
    body = data(record, **{name: value})
    decoded = decode(api_response(body), record)
    assert getattr(decoded, name) == expected
    assert decoded.extra == {name: value}
    assert to_dict(decoded) == body


@pytest.mark.parametrize(("record", "name", "schema"), field_params(required))
def test_the_error_for_a_missing_field_has_its_path(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    body = data(record)
    del body[name]
    error = decode_error(body, record)
    assert_names_path_without_value(error, f"$.{name}")
    assert "missing" in str(error) or name in SIZES


@pytest.mark.parametrize(("record", "name", "schema"), field_params(lambda r, n, s: nullable(s)))
def test_a_nullable_field_of_a_wrong_type_is_none_and_its_value_is_kept_in_extra(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    for value in WRONG[kind(schema)][1:]:
        if name == "download_url":
            # This field is a secret, and `extra` is not.
            assert_names_path_without_value(decode_error(data(record, **{name: value}), record), f"$.{name}")
        else:
            assert_moved_to_extra(record, name, value, None)


@records
@pytest.mark.parametrize("body", [None, SECRET, 7, True, [], [{}]])
def test_json_that_is_not_an_object_is_rejected(record: type[models.Record], body: Any) -> None:
    assert_names_path_without_value(decode_error(body, record), "$")


@pytest.mark.parametrize(
    ("body", "model", "path"),
    [
        ([image(), image(), image(), image(id=None)], list[models.Image], "$[3].id"),
        ([image(), SECRET], list[models.Image], "$[1]"),
        ([image(updated_at="yesterday")], list[models.Image], "$[0].updated_at"),
        ({"0": image()}, list[models.Image], "$"),
        (image(), list[models.Image], "$"),
        (SECRET, list[models.Image], "$"),
        (data(models.ImageDownloadJob, image_ids=[ID, None]), models.ImageDownloadJob, "$.image_ids[1]"),
        (data(models.ImageDownloadJob, image_ids={"a": ID}), models.ImageDownloadJob, "$.image_ids"),
        (data(models.ImageDownloadJob, image_ids=SECRET), models.ImageDownloadJob, "$.image_ids"),
        (
            {"image": image(width="7"), "upload_url": "https://s.example/x"},
            models.StandardUpload,
            "$.image.width",
        ),
        (
            {"image": image(width=None), "upload_url": "https://s.example/x"},
            models.StandardUpload,
            "$.image.width",
        ),
        (
            data(
                models.MetricsDatasets,
                uploads=[{"timestamp": "2026-04-01T00:00:00Z", "uploads": 1}, {"timestamp": 5, "uploads": 1}],
            ),
            models.MetricsDatasets,
            "$.uploads[1].timestamp",
        ),
        (
            data(models.MetricsStats, requests={"value": 1, "prev": None, "pct_change": None}),
            models.MetricsStats,
            "$.requests.prev",
        ),
        (
            {"detail": [{"loc": ["a", None], "msg": "m", "type": "t"}]},
            models.HTTPValidationError,
            "$.detail[0].loc[1]",
        ),
        ([SECRET], dict, "$"),
    ],
)
def test_the_path_of_an_error_leads_into_lists_and_nested_records(body: Any, model: Any, path: str) -> None:
    assert_names_path_without_value(decode_error(body, model), path)


def test_messages_say_null_and_not_none() -> None:
    error = decode_error(image(id=None), models.Image)
    assert "expected text, got null" in str(error)
    assert "None" not in str(error)


def test_the_error_of_a_post_says_that_the_call_was_carried_out() -> None:
    with pytest.raises(DecodeError, match="carried out this call") as caught:
        decode(api_response([], method="POST"), models.Image)
    assert caught.value.exchange is not None
    assert "carried" not in str(decode_error([], models.Image))


# --- sizes, times, metadata ---------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "QUARANTINE", "BRAND_NEW"])
@pytest.mark.parametrize("name", SIZES)
def test_a_missing_size_is_zero_before_ready(name: str, status: str) -> None:
    absent = image(status=status)
    del absent[name]
    for body in (image(status=status, **{name: None}), absent):
        decoded = decode(api_response(body), models.Image)
        assert getattr(decoded, name) == 0
        assert to_dict(decoded)[name] == 0


@pytest.mark.parametrize("name", SIZES)
def test_a_missing_size_of_a_ready_image_is_an_error(name: str) -> None:
    absent = image(status="READY")
    del absent[name]
    for body in (image(status="READY", **{name: None}), absent):
        assert_names_path_without_value(decode_error(body, models.Image), f"$.{name}")


def test_a_ready_image_may_have_the_size_zero() -> None:
    assert decode(api_response(image(width=0)), models.Image).width == 0


@pytest.mark.parametrize(
    ("text", "expected_time"),
    [
        ("2026-04-01T12:30:00Z", datetime(2026, 4, 1, 12, 30, tzinfo=UTC)),
        ("2026-04-01T12:30:00", datetime(2026, 4, 1, 12, 30, tzinfo=UTC)),
        ("2026-04-01T12:30:00.25", datetime(2026, 4, 1, 12, 30, 0, 250_000, tzinfo=UTC)),
        ("2026-04-01T12:30:00+02:00", datetime(2026, 4, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-04-01T12:30:00.123456789Z", datetime(2026, 4, 1, 12, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-04-01T12:30:00-00:00", datetime(2026, 4, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_time_without_a_zone_is_utc(text: str, expected_time: datetime) -> None:
    decoded = decode(api_response(image(created_at=text)), models.Image)
    assert decoded.created_at == expected_time
    assert decoded.created_at.utcoffset() == expected_time.utcoffset()


@pytest.mark.parametrize(
    "text",
    [
        "2026-04-01T12:30:00Z",
        "2026-04-01T12:30:00.250000Z",
        "2026-04-01T12:30:00-05:30",
        "2026-04-01T12:30:00+00:00:30",
    ],
)
def test_to_dict_returns_a_time_as_it_was_sent(text: str) -> None:
    assert to_dict(decode(api_response(image(created_at=text)), models.Image))["created_at"] == text


@pytest.mark.parametrize("text", ["", "yesterday", "1764000000", "2026-13-01T00:00:00Z", "12:30"])
def test_the_error_for_an_invalid_time_has_its_path(text: str) -> None:
    error = decode_error(image(created_at=text), models.Image)
    assert_names_path_without_value(error, "$.created_at")
    assert not text or text not in str(error)


def test_metadata_keeps_the_types_of_its_values() -> None:
    metadata = {"a": "text", "b": 3, "c": 0.5, "d": False, "": "", "é": 2**53}
    decoded = decode(api_response(image(custom_metadata=metadata)), models.Image)
    assert decoded.custom_metadata == metadata
    assert {name: type(value) for name, value in decoded.custom_metadata.items()} == {
        name: type(value) for name, value in metadata.items()
    }


@pytest.mark.parametrize("value", [None, [SECRET], {"a": SECRET}])
def test_nested_metadata_is_kept_in_extra(value: Any) -> None:
    body = image(custom_metadata={"fine": 1, "key": value})
    decoded = decode(api_response(body), models.Image)
    assert decoded.custom_metadata == {"fine": 1}
    assert decoded.extra == {"custom_metadata": {"fine": 1, "key": value}}
    assert to_dict(decoded) == body


@pytest.mark.parametrize("text", ["", "yesterday", "0000-00-00T00:00:00Z"])
def test_an_invalid_time_of_a_nullable_field_is_kept_in_extra(text: str) -> None:
    decoded = decode(api_response(image(deleted_at=text)), models.Image)
    assert decoded.deleted_at is None
    assert decoded.extra == {"deleted_at": text}
    assert copy.deepcopy(decoded) == pickle.loads(pickle.dumps(decoded)) == decoded


def test_exif_data_may_contain_any_json() -> None:
    exif = {"Make": "x", "GPS": {"lat": [1, 2, None]}, "n": None, "b": False}
    decoded = decode(api_response(image(exif_data=exif)), models.Image)
    assert decoded.exif_data == exif
    assert to_dict(decoded)["exif_data"] == exif


def test_a_number_keeps_its_type() -> None:
    stat = decode(api_response({"value": 3, "prev": 2.5, "pct_change": 20}), models.MetricsStatValue)
    assert json.dumps(to_dict(stat)) == '{"value": 3, "prev": 2.5, "pct_change": 20}'


@pytest.mark.parametrize("value", [92, 0.92, 0, 92.0])
def test_a_cache_hit_ratio_may_be_any_number(value: float) -> None:
    data = {"label": "hit", "value": value}
    assert json.dumps(to_dict(decode(api_response(data), models.CacheHitRatioPoint))) == json.dumps(data)


@pytest.mark.parametrize("value", [True, "92", None])
def test_a_cache_hit_ratio_has_to_be_a_number(value: object) -> None:
    with pytest.raises(DecodeError, match=r"\$\.value.*expected a number"):
        decode(api_response({"label": "hit", "value": value}), models.CacheHitRatioPoint)


# --- records as values --------------------------------------------------------------------------------------


@records
def test_records_are_frozen_slotted_and_equal_by_value(record: type[models.Record]) -> None:
    one, other = decoded_sample(record), decoded_sample(record)
    assert one == other
    assert len({one, other}) == 1
    assert not hasattr(one, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.extra = {}  # type: ignore[misc]
    with pytest.raises(AttributeError):
        one.nickname = "x"  # type: ignore[attr-defined]


@records
def test_a_record_with_unknown_fields_is_hashable(record: type[models.Record]) -> None:
    assert len({decoded_sample(record, new=[1]), decoded_sample(record, new=[2])}) == 2


@records
def test_records_can_be_pickled_and_copied(record: type[models.Record]) -> None:
    one = decoded_sample(record, unknown={"a": [1]})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(one, protocol)) == one
    assert copy.copy(one) == one
    deep = copy.deepcopy(one)
    assert deep == one
    assert deep.extra is not one.extra
    assert attrs.evolve(one, extra={}) != one


RESULTS = [
    results.Pagination(total_count=1, page=1, limit=20),
    results.Page([1, 2], results.Pagination()),
    results.BulkDeleteResult(deleted=("a",), unknown=("b",), replies=({"a": "ok"},)),
    results.UploadProgress(sent=1, total=2, file_name="a.jpg"),
    results.DownloadProgress(received=1, total=None, path=Path("a.zip")),
]


@pytest.mark.parametrize("value", RESULTS, ids=lambda value: type(value).__name__)
def test_results_can_be_pickled_and_copied(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == copy.copy(value) == copy.deepcopy(value) == value


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (models.StandardUpload, "upload_url"),
        (models.UploadToken, "token"),
        (models.ImageDownloadJob, "download_url"),
    ],
)
def test_the_repr_of_a_record_hides_a_secret_and_its_data_keep_it(
    record: type[models.Record], name: str
) -> None:
    one = decoded_sample(record, **{name: SECRET})
    assert SECRET not in f"{one!r} {one} {one!s}"
    assert "<hidden>" in repr(one)
    assert SECRET.encode() in pickle.dumps(one)
    assert to_dict(one)[name] == SECRET


def test_the_repr_of_a_job_shows_a_missing_download_url_as_none() -> None:
    assert "download_url=None" in repr(decoded_sample(models.ImageDownloadJob, download_url=None))


def test_the_repr_of_an_image_shows_neither_exif_data_nor_unknown_fields() -> None:
    text = repr(decoded_sample(models.Image, exif_data={"blob": SECRET}, unknown=SECRET))
    assert SECRET not in text


@pytest.mark.parametrize(
    "value", [results.Pagination(), results.Page([], results.Pagination()), {"a": 1}, None]
)
def test_to_dict_rejects_other_objects_than_records(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        to_dict(value)


def test_a_page_is_neither_iterable_nor_sized() -> None:
    page: Any = results.Page([1], results.Pagination())
    with pytest.raises(TypeError):
        iter(page)
    with pytest.raises(TypeError):
        len(page)


def test_a_successful_bulk_deletion_raises_nothing() -> None:
    results.BulkDeleteResult(deleted=("a",)).raise_if_failed()


# --- open enums ---------------------------------------------------------------------------------------------


@enums
def test_an_enum_has_the_members_of_the_contract(enum: type[models.OpenEnum]) -> None:
    assert [member.value for member in enum] == SCHEMAS[enum.__name__]["enum"]


@enums
def test_an_unlisted_member_behaves_like_its_text(enum: type[models.OpenEnum]) -> None:
    new = enum("BRAND_NEW")
    assert (new.value, new.name, str(new), f"{new}") == ("BRAND_NEW",) * 4
    assert new == "BRAND_NEW" == enum("BRAND_NEW")
    assert {new: 1}["BRAND_NEW"] == {"BRAND_NEW": 1}[new] == 1
    assert json.dumps(new) == '"BRAND_NEW"'
    assert isinstance(new, enum)
    assert new not in list(enum)
    assert "BRAND_NEW" in repr(new)


@enums
def test_enums_can_be_pickled_and_copied(enum: type[models.OpenEnum]) -> None:
    for member in (*enum, enum("BRAND_NEW")):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            restored = pickle.loads(pickle.dumps(member, protocol))
            assert restored == member
            assert type(restored) is enum
        assert copy.copy(member) == copy.deepcopy(member) == member
    first = next(iter(enum))
    assert pickle.loads(pickle.dumps(first)) is first


@enums
@pytest.mark.parametrize("value", [None, 5, b"READY", ["READY"]])
def test_an_enum_accepts_only_text(enum: type[models.OpenEnum], value: Any) -> None:
    with pytest.raises(ValueError):
        enum(value)


def test_match_uses_the_default_case_for_an_unknown_status() -> None:
    def describe(status: models.ImageStatus) -> str:
        match status:
            case models.ImageStatus.READY:
                return "ready"
            case "PENDING":
                return "pending"
            case _:
                return "else"

    statuses = [models.ImageStatus(value) for value in ("READY", "PENDING", "BRAND_NEW")]
    assert [describe(status) for status in statuses] == ["ready", "pending", "else"]
