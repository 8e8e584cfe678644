"""Records and open enums: what comes in stays, what is new is kept, what is wrong is named."""

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
    data,
    fields_of,
    image,
    kind,
    nullable,
    reply,
)

from imgwire_async import models, results, to_dict
from imgwire_async.errors import DecodeError
from imgwire_async.protocol.codec import decode

records = pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.__name__)
enums = pytest.mark.parametrize("enum", ENUMS.values(), ids=lambda enum: enum.__name__)

SIZES = ("width", "height", "size_bytes")


def each_field(wanted: Any) -> list[Any]:
    return [
        pytest.param(record, name, schema, id=f"{record.__name__}.{name}")
        for record in RECORDS.values()
        for name, schema in fields_of(record)
        if wanted(record, name, schema)
    ]


def required(record: type[models.Record], name: str, schema: dict[str, Any]) -> bool:
    here = next(key for key, value in RECORDS.items() if value is record)
    return name in SCHEMAS[here].get("required", []) and not nullable(schema)


def made(record: type[models.Record], **changes: Any) -> models.Record:
    return decode(reply(data(record, **changes)), record)


def misfit(body: Any, model: Any) -> DecodeError:
    with pytest.raises(DecodeError) as caught:
        decode(reply(body), model)
    return caught.value


# --- what comes in ----------------------------------------------------------------------------------------------------


@records
def test_a_record_gives_back_exactly_what_came_in(record: type[models.Record]) -> None:
    assert to_dict(made(record)) == data(record)


@records
def test_an_unknown_field_is_kept_and_goes_out_again(record: type[models.Record]) -> None:
    news = {"colour_space": "srgb", "tags": [1, {"a": None}], "extra": {"even": "this"}}
    body = data(record, **news)
    decoded = decode(reply(body), record)
    assert decoded.extra == news
    assert to_dict(decoded) == body


@pytest.mark.parametrize(("record", "name", "schema"), each_field(lambda r, n, s: nullable(s)))
def test_a_nullable_field_may_be_null_or_absent(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    absent = data(record)
    del absent[name]
    for body in (data(record, **{name: None}), absent):
        decoded = decode(reply(body), record)
        assert getattr(decoded, name) is None
        assert to_dict(decoded) == data(record, **{name: None})


@pytest.mark.parametrize(
    ("record", "name", "schema"),
    each_field(lambda r, n, s: "$ref" in s and "enum" in SCHEMAS[s["$ref"].rpartition("/")[2]]),
)
def test_an_unknown_enum_value_is_kept(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    decoded = made(record, **{name: "BRAND_NEW"})
    value = getattr(decoded, name)
    assert value == value.value == "BRAND_NEW"
    assert type(value) is ENUMS[schema["$ref"].rpartition("/")[2]]
    assert to_dict(decoded)[name] == "BRAND_NEW"


def test_what_validation_says_may_be_nothing() -> None:
    assert decode(reply({}), models.HTTPValidationError) == models.HTTPValidationError(detail=())


def test_a_location_mixes_names_and_positions() -> None:
    issue = decode(
        reply({"loc": ["body", "image_ids", 0], "msg": "no UUID", "type": "uuid"}), models.ValidationError
    )
    assert issue.loc == ("body", "image_ids", 0)
    assert str(issue) == "body.image_ids.0: no UUID"


# --- what is wrong ----------------------------------------------------------------------------------------------------

# For each JSON type: values that are none of it, however much they look like it.
WRONG: dict[str, list[Any]] = {
    "string": [None, 123, True, 1.5, [SECRET], {"a": SECRET}],
    "integer": [None, True, "7", 7.0, [7], {"a": 7}],
    "number": [None, True, "7.5", [7.5], {"a": 7.5}],
    "boolean": [None, 0, 1, "true", [True], {}],
    "array": [None, SECRET, {"0": SECRET}, 7, True],
    "object": [None, SECRET, [SECRET], 7, True],
}


def assert_tells_place_and_no_value(error: DecodeError, path: str) -> None:
    text = str(error)
    assert error.path == path
    assert path in text
    assert "GET /images/{image_id}" in text
    assert REQUEST_ID in text
    assert SECRET not in text
    assert "while structuring" not in text.lower()


@pytest.mark.parametrize(("record", "name", "schema"), each_field(required))
def test_a_required_field_of_a_wrong_type_is_named(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    for value in WRONG[kind(schema)]:
        if name in {"custom_metadata", "exif_data"}:
            assert_is_spared(record, name, value, {})
        else:
            assert_tells_place_and_no_value(misfit(data(record, **{name: value}), record), f"$.{name}")


def assert_is_spared(record: type[models.Record], name: str, value: Any, instead: Any) -> None:
    """The record is there without the value, which is kept aside, and goes out again as it came."""
    body = data(record, **{name: value})
    decoded = decode(reply(body), record)
    assert getattr(decoded, name) == instead
    assert decoded.extra == {name: value}
    assert to_dict(decoded) == body


@pytest.mark.parametrize(("record", "name", "schema"), each_field(required))
def test_a_missing_required_field_is_named(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    body = data(record)
    del body[name]
    error = misfit(body, record)
    assert_tells_place_and_no_value(error, f"$.{name}")
    assert "missing" in str(error) or name in SIZES


@pytest.mark.parametrize(("record", "name", "schema"), each_field(lambda r, n, s: nullable(s)))
def test_a_nullable_field_of_a_wrong_type_spoils_itself_alone(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    for value in WRONG[kind(schema)][1:]:
        if name == "download_url":  # a secret: what is kept aside could be shown
            assert_tells_place_and_no_value(misfit(data(record, **{name: value}), record), f"$.{name}")
        else:
            assert_is_spared(record, name, value, None)


@records
@pytest.mark.parametrize("body", [None, SECRET, 7, True, [], [{}]])
def test_what_is_no_object_is_no_record(record: type[models.Record], body: Any) -> None:
    assert_tells_place_and_no_value(misfit(body, record), "$")


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
def test_the_path_leads_into_lists_and_nested_records(body: Any, model: Any, path: str) -> None:
    assert_tells_place_and_no_value(misfit(body, model), path)


def test_null_is_never_the_text_none() -> None:
    error = misfit(image(id=None), models.Image)
    assert "expected text, got null" in str(error)
    assert "None" not in str(error)


def test_a_call_that_changed_something_is_said_to_be_carried_out() -> None:
    with pytest.raises(DecodeError, match="carried out this call") as caught:
        decode(reply([], method="POST"), models.Image)
    assert caught.value.exchange is not None
    assert "carried" not in str(misfit([], models.Image))


# --- sizes, times, metadata -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["PENDING", "PROCESSING", "QUARANTINE", "BRAND_NEW"])
@pytest.mark.parametrize("name", SIZES)
def test_a_size_may_be_unknown_before_ready(name: str, status: str) -> None:
    absent = image(status=status)
    del absent[name]
    for body in (image(status=status, **{name: None}), absent):
        decoded = decode(reply(body), models.Image)
        assert getattr(decoded, name) == 0
        assert to_dict(decoded)[name] == 0


@pytest.mark.parametrize("name", SIZES)
def test_a_size_must_be_known_once_ready(name: str) -> None:
    absent = image(status="READY")
    del absent[name]
    for body in (image(status="READY", **{name: None}), absent):
        assert_tells_place_and_no_value(misfit(body, models.Image), f"$.{name}")


def test_a_ready_image_may_say_zero() -> None:
    assert decode(reply(image(width=0)), models.Image).width == 0


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-04-01T12:30:00Z", datetime(2026, 4, 1, 12, 30, tzinfo=UTC)),
        ("2026-04-01T12:30:00", datetime(2026, 4, 1, 12, 30, tzinfo=UTC)),
        ("2026-04-01T12:30:00.25", datetime(2026, 4, 1, 12, 30, 0, 250_000, tzinfo=UTC)),
        ("2026-04-01T12:30:00+02:00", datetime(2026, 4, 1, 12, 30, tzinfo=timezone(timedelta(hours=2)))),
        ("2026-04-01T12:30:00.123456789Z", datetime(2026, 4, 1, 12, 30, 0, 123_456, tzinfo=UTC)),
        ("2026-04-01T12:30:00-00:00", datetime(2026, 4, 1, 12, 30, tzinfo=UTC)),
    ],
)
def test_a_time_always_has_a_zone_and_without_one_it_is_utc(text: str, moment: datetime) -> None:
    decoded = decode(reply(image(created_at=text)), models.Image)
    assert decoded.created_at == moment
    assert decoded.created_at.utcoffset() == moment.utcoffset()


@pytest.mark.parametrize(
    "text",
    [
        "2026-04-01T12:30:00Z",
        "2026-04-01T12:30:00.250000Z",
        "2026-04-01T12:30:00-05:30",
        "2026-04-01T12:30:00+00:00:30",
    ],
)
def test_a_time_goes_out_as_it_came_in(text: str) -> None:
    assert to_dict(decode(reply(image(created_at=text)), models.Image))["created_at"] == text


@pytest.mark.parametrize("text", ["", "yesterday", "1764000000", "2026-13-01T00:00:00Z", "12:30"])
def test_text_that_is_no_time_is_named(text: str) -> None:
    error = misfit(image(created_at=text), models.Image)
    assert_tells_place_and_no_value(error, "$.created_at")
    assert not text or text not in str(error)


def test_metadata_keeps_its_four_kinds_of_values() -> None:
    given = {"a": "text", "b": 3, "c": 0.5, "d": False, "": "", "é": 2**53}
    decoded = decode(reply(image(custom_metadata=given)), models.Image)
    assert decoded.custom_metadata == given
    assert {name: type(value) for name, value in decoded.custom_metadata.items()} == {
        name: type(value) for name, value in given.items()
    }


@pytest.mark.parametrize("value", [None, [SECRET], {"a": SECRET}])
def test_metadata_is_flat_and_what_is_not_is_kept_aside(value: Any) -> None:
    body = image(custom_metadata={"fine": 1, "key": value})
    decoded = decode(reply(body), models.Image)
    assert decoded.custom_metadata == {"fine": 1}
    assert decoded.extra == {"custom_metadata": {"fine": 1, "key": value}}
    assert to_dict(decoded) == body


@pytest.mark.parametrize("text", ["", "yesterday", "0000-00-00T00:00:00Z"])
def test_an_odd_time_that_may_be_absent_spoils_no_record(text: str) -> None:
    decoded = decode(reply(image(deleted_at=text)), models.Image)
    assert decoded.deleted_at is None
    assert decoded.extra == {"deleted_at": text}
    assert copy.deepcopy(decoded) == pickle.loads(pickle.dumps(decoded)) == decoded


def test_exif_may_hold_any_json() -> None:
    exif = {"Make": "x", "GPS": {"lat": [1, 2, None]}, "n": None, "b": False}
    decoded = decode(reply(image(exif_data=exif)), models.Image)
    assert decoded.exif_data == exif
    assert to_dict(decoded)["exif_data"] == exif


def test_a_number_stays_the_kind_of_number_it_was() -> None:
    stat = decode(reply({"value": 3, "prev": 2.5, "pct_change": 20}), models.MetricsStatValue)
    assert json.dumps(to_dict(stat)) == '{"value": 3, "prev": 2.5, "pct_change": 20}'


@pytest.mark.parametrize("value", [92, 0.92, 0, 92.0])
def test_a_cache_hit_ratio_is_any_number_and_stays_as_it_came(value: float) -> None:
    data = {"label": "hit", "value": value}
    assert json.dumps(to_dict(decode(reply(data), models.CacheHitRatioPoint))) == json.dumps(data)


@pytest.mark.parametrize("value", [True, "92", None])
def test_a_cache_hit_ratio_is_nothing_but_a_number(value: object) -> None:
    with pytest.raises(DecodeError, match=r"\$\.value.*expected a number"):
        decode(reply({"label": "hit", "value": value}), models.CacheHitRatioPoint)


# --- records as values ------------------------------------------------------------------------------------------------


@records
def test_records_are_frozen_slotted_and_equal_by_value(record: type[models.Record]) -> None:
    one, other = made(record), made(record)
    assert one == other
    assert len({one, other}) == 1
    assert not hasattr(one, "__dict__")
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        one.extra = {}  # type: ignore[misc]
    with pytest.raises(AttributeError):
        one.nickname = "x"  # type: ignore[attr-defined]


@records
def test_a_record_with_news_goes_into_a_set(record: type[models.Record]) -> None:
    assert len({made(record, new=[1]), made(record, new=[2])}) == 2


@records
def test_records_survive_pickle_copy_and_deepcopy(record: type[models.Record]) -> None:
    one = made(record, news={"a": [1]})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(one, protocol)) == one
    assert copy.copy(one) == one
    deep = copy.deepcopy(one)
    assert deep == one
    assert deep.extra is not one.extra
    assert attrs.evolve(one, extra={}) != one


OWN_VALUES = [
    results.Pagination(total_count=1, page=1, limit=20),
    results.Page([1, 2], results.Pagination()),
    results.BulkDeleteResult(deleted=("a",), unknown=("b",), replies=({"a": "ok"},)),
    results.UploadProgress(sent=1, total=2, file_name="a.jpg"),
    results.DownloadProgress(received=1, total=None, path=Path("a.zip")),
]


@pytest.mark.parametrize("value", OWN_VALUES, ids=lambda value: type(value).__name__)
def test_our_own_values_survive_pickle_copy_and_deepcopy(value: Any) -> None:
    assert pickle.loads(pickle.dumps(value)) == copy.copy(value) == copy.deepcopy(value) == value


@pytest.mark.parametrize(
    ("record", "name"),
    [
        (models.StandardUpload, "upload_url"),
        (models.UploadToken, "token"),
        (models.ImageDownloadJob, "download_url"),
    ],
)
def test_a_record_that_holds_a_secret_hides_it_in_its_repr_and_keeps_it_elsewhere(
    record: type[models.Record], name: str
) -> None:
    one = made(record, **{name: SECRET})
    assert SECRET not in f"{one!r} {one} {one!s}"
    assert "<hidden>" in repr(one)
    assert SECRET.encode() in pickle.dumps(one)
    assert to_dict(one)[name] == SECRET


def test_a_job_without_a_download_says_so() -> None:
    assert "download_url=None" in repr(made(models.ImageDownloadJob, download_url=None))


def test_a_repr_does_not_spread_what_may_be_huge_or_unknown() -> None:
    shown = repr(made(models.Image, exif_data={"blob": SECRET}, news=SECRET))
    assert SECRET not in shown


@pytest.mark.parametrize(
    "value", [results.Pagination(), results.Page([], results.Pagination()), {"a": 1}, None]
)
def test_only_records_become_data(value: Any) -> None:
    with pytest.raises(TypeError, match=type(value).__name__):
        to_dict(value)


def test_a_page_cannot_be_mistaken_for_everything() -> None:
    page: Any = results.Page([1], results.Pagination())
    with pytest.raises(TypeError):
        iter(page)
    with pytest.raises(TypeError):
        len(page)


def test_bulk_deletion_that_went_well_raises_nothing() -> None:
    results.BulkDeleteResult(deleted=("a",)).raise_if_failed()


# --- open enums -------------------------------------------------------------------------------------------------------


@enums
def test_an_enum_lists_what_the_contract_lists(enum: type[models.OpenEnum]) -> None:
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
def test_enums_survive_pickle_copy_and_deepcopy(enum: type[models.OpenEnum]) -> None:
    for member in (*enum, enum("BRAND_NEW")):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            back = pickle.loads(pickle.dumps(member, protocol))
            assert back == member
            assert type(back) is enum
        assert copy.copy(member) == copy.deepcopy(member) == member
    first = next(iter(enum))
    assert pickle.loads(pickle.dumps(first)) is first


@enums
@pytest.mark.parametrize("value", [None, 5, b"READY", ["READY"]])
def test_an_enum_takes_text_only(enum: type[models.OpenEnum], value: Any) -> None:
    with pytest.raises(ValueError):
        enum(value)


def test_a_match_on_a_status_falls_through_for_an_unknown_one() -> None:
    def said(status: models.ImageStatus) -> str:
        match status:
            case models.ImageStatus.READY:
                return "ready"
            case "PENDING":
                return "pending"
            case _:
                return "else"

    statuses = [models.ImageStatus(word) for word in ("READY", "PENDING", "BRAND_NEW")]
    assert [said(each) for each in statuses] == ["ready", "pending", "else"]
