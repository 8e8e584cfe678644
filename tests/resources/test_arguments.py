"""Every wrong argument raises an error with its name before any request, without a secret in the message."""

from __future__ import annotations

import enum
import functools
import math
import os
import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recording import Api, Response
from samples import ID, SECRET, data, image

from imgwire_async import checks
from imgwire_async.models import StandardUpload
from imgwire_async.resources import arguments

Call = Callable[[Any, Any], Any]


async def coroutine_function(*_: object) -> None: ...


class AsyncCallable:
    async def __call__(self, *_: object) -> None: ...


async def rejection_of(call: Call, value: Any) -> Exception:
    """Return the error that `call` raises for `value`. No request may be sent."""
    api = Api()
    with pytest.raises((TypeError, ValueError)) as caught:
        result = call(api, value)
        if isinstance(result, Awaitable):
            await result
        else:
            await anext(result)
    assert api.sent.requests == []
    assert len(api.sent.operations) <= 1
    return caught.value


# --- ids ----------------------------------------------------------------------------------------------------

WITH_IDS: list[tuple[str, str, Call]] = [
    ("retrieve", "image_id", lambda api, v: api.images.retrieve(v)),
    ("delete", "image_id", lambda api, v: api.images.delete(v)),
    ("bulk_delete", "image_ids", lambda api, v: api.images.bulk_delete([ID, v])),
    ("create_bulk_download_job", "image_ids", lambda api, v: api.images.create_bulk_download_job([ID, v])),
    ("retrieve_bulk_download_job", "job_id", lambda api, v: api.images.retrieve_bulk_download_job(v)),
    ("wait_until_ready", "image", lambda api, v: api.images.wait_until_ready(v)),
    ("wait_for_bulk_download", "job", lambda api, v: api.images.wait_for_bulk_download(v)),
    ("origins.retrieve", "cors_origin_id", lambda api, v: api.cors_origins.retrieve(v)),
    ("origins.update", "cors_origin_id", lambda api, v: api.cors_origins.update(v, "a.example")),
    ("origins.delete", "cors_origin_id", lambda api, v: api.cors_origins.delete(v)),
]
with_ids = pytest.mark.parametrize(
    ("name", "call"), [row[1:] for row in WITH_IDS], ids=[row[0] for row in WITH_IDS]
)


@with_ids
async def test_every_method_rejects_an_id_that_could_change_the_path(name: str, call: Call) -> None:
    for value in (
        "",
        ".",
        "..",
        "a/b",
        "a\\b",
        "a?b",
        "a#b",
        "a%b",
        "%2e%2e",
        "a b",
        "a\n",
        "a\0",
        "a\u00a0",
    ):
        error = await rejection_of(call, value)
        assert type(error) is ValueError
        assert name in str(error)


@with_ids
async def test_every_method_rejects_an_id_of_a_wrong_type(name: str, call: Call) -> None:
    for value in (None, 5, True, b"img", 1.5, ["a"]):
        error = await rejection_of(call, value)
        assert type(error) is TypeError
        assert name in str(error)
        assert type(value).__name__ in str(error)


async def test_an_invalid_id_in_a_list_is_named_by_its_index() -> None:
    assert "image_ids[1]" in str(await rejection_of(lambda api, v: api.images.bulk_delete([ID, v]), "a/b"))


LISTS: list[Call] = [
    lambda api, v: api.images.bulk_delete(v),
    lambda api, v: api.images.create_bulk_download_job(v),
]


@pytest.mark.parametrize("call", LISTS)
@pytest.mark.parametrize("value", [None, 5, ID, b"img", uuid.UUID(ID)], ids=repr)
async def test_a_list_of_ids_is_rejected_as_an_id(call: Call, value: Any) -> None:
    error = await rejection_of(call, value)
    assert type(error) is TypeError
    assert f"image_ids must be a list of ids, not {type(value).__name__}" in str(error)


async def test_a_download_job_needs_an_id() -> None:
    error = await rejection_of(lambda api, v: api.images.create_bulk_download_job(v), [])
    assert "image_ids" in str(error)


# --- payload mappings of other SDKs -------------------------------------------------------------------------

PAYLOADS: list[tuple[Call, Any, str]] = [
    (lambda api, v: api.images.create(v), {"file_name": "a.jpg"}, "images.create(file_name="),
    (lambda api, v: api.images.create(v, file_name="a"), {"file_name": "a.jpg"}, "images.create(file_name="),
    (lambda api, v: api.images.upload_via_url(v), {"url": "https://a"}, "images.upload_via_url("),
    (lambda api, v: api.images.bulk_delete(v), {"image_ids": [ID]}, "images.bulk_delete([id"),
    (
        lambda api, v: api.images.create_bulk_download_job(v),
        {"image_ids": [ID]},
        "images.create_bulk_download_job([id",
    ),
    (lambda api, v: api.images.retrieve(v), {"image_id": ID}, "retrieve('...')"),
    (lambda api, v: api.cors_origins.create(v), {"pattern": "a"}, 'cors_origins.create("app.example.com")'),
    (
        lambda api, v: api.cors_origins.update(ID, v),
        {"pattern": "a"},
        'cors_origins.update(id, "app.example.com")',
    ),
    (
        lambda api, v: api.custom_domain.create(v),
        {"hostname": "a"},
        'custom_domain.create("img.example.com")',
    ),
    (lambda api, v: api.metrics.get_stats(v), {"interval": "DAILY"}, "metrics.get_stats(interval="),
    (lambda api, v: api.metrics.get_datasets(v), {"interval": "DAILY"}, "metrics.get_datasets(interval="),
]


@pytest.mark.parametrize(("call", "payload", "spelling"), PAYLOADS, ids=[row[2] for row in PAYLOADS])
async def test_a_payload_mapping_raises_a_type_error_that_shows_the_right_call(
    call: Call, payload: Any, spelling: str
) -> None:
    error = await rejection_of(call, payload)
    assert type(error) is TypeError
    assert spelling in str(error)


# --- the other arguments ------------------------------------------------------------------------------------


def named(call: Callable[..., Any], name: str) -> Call:
    return lambda api, value: call(api, **{name: value})


def create_(api: Any, **given: Any) -> Any:
    return api.images.create(**({"file_name": "a.jpg"} | given))


def via_url(api: Any, **given: Any) -> Any:
    return api.images.upload_via_url(**({"url": "https://a.example/x"} | given))


def upload(api: Any, **given: Any) -> Any:
    return api.images.upload(b"\xff\xd8\xff", **given)


def upload_many(api: Any, **given: Any) -> Any:
    return api.images.upload_many(**({"files": [b"\xff\xd8\xff"]} | given))


def list_(api: Any, **given: Any) -> Any:
    return api.images.list(**given)


def list_pages(api: Any, **given: Any) -> Any:
    return api.images.list_pages(**given)


def list_all(api: Any, **given: Any) -> Any:
    return api.cors_origins.list_all(**given)


def origins(api: Any, **given: Any) -> Any:
    return api.cors_origins.list(**given)


def origin_pages(api: Any, **given: Any) -> Any:
    return api.cors_origins.list_pages(**given)


def bulk(api: Any, **given: Any) -> Any:
    return api.images.bulk_delete([ID], **given)


def ready(api: Any, **given: Any) -> Any:
    return api.images.wait_until_ready(ID, **given)


def packed(api: Any, **given: Any) -> Any:
    return api.images.wait_for_bulk_download(ID, **given)


def connected(api: Any, **given: Any) -> Any:
    return api.custom_domain.wait_until_connected(**given)


def stats(api: Any, **given: Any) -> Any:
    return api.metrics.get_stats(**given)


def datasets(api: Any, **given: Any) -> Any:
    return api.metrics.get_datasets(**given)


def new_origin(api: Any, **given: Any) -> Any:
    return api.cors_origins.create(**given)


def new_domain(api: Any, **given: Any) -> Any:
    return api.custom_domain.create(**given)


NO_TEXT: list[Any] = [5, True, b"x", ["x"], object()]
NO_NUMBER: list[Any] = ["5", None, [5], object()]
NO_INT: list[Any] = [1.5, "5", True, [5]]
LONG = "x" * 256
HALF = "a\ud800"
NAIVE = datetime.fromisoformat("2026-04-01T00:00:00")

# Method, argument, invalid values.
WRONG: list[tuple[Callable[..., Any], str, list[Any]]] = [
    (create_, "file_name", [*NO_TEXT, None, "", HALF]),
    (create_, "mime_type", [*NO_TEXT, "", "image/ png", "image/png\r\nX: y", "bild/ä"]),
    (create_, "content_length", [*NO_INT, -1]),
    (create_, "custom_metadata", [5, "a", [("a", 1)], True]),
    (create_, "hash_sha256", [*NO_TEXT, "", LONG, HALF]),
    (create_, "idempotency_key", [5, True, 0, b"x", "", LONG, HALF]),
    (create_, "purpose", [*NO_TEXT, "", LONG, HALF]),
    (create_, "upload_token", [*NO_TEXT, "", f"{SECRET}\n", f"{SECRET} "]),
    (upload, "file_name", [*NO_TEXT, "", HALF]),
    (upload, "mime_type", [*NO_TEXT, "", "image/ png"]),
    (upload, "content_length", [*NO_INT, -1]),
    (upload, "custom_metadata", [5, "a"]),
    (upload, "hash_sha256", [5, b"x", "", LONG]),
    (upload, "idempotency_key", [5, True, "", LONG]),
    (upload, "purpose", [*NO_TEXT, "", LONG]),
    (upload, "upload_token", [*NO_TEXT, "", f"{SECRET}\n"]),
    (upload, "wait", [*NO_NUMBER, 0, -1, math.nan]),
    (upload, "on_created", [5, "x", coroutine_function, AsyncCallable()]),
    (upload, "on_progress", [5, "x", coroutine_function, functools.partial(coroutine_function, 1)]),
    (upload_many, "concurrency", [*NO_INT, 0, -1]),
    (upload_many, "wait", [*NO_NUMBER, 0, -1]),
    (upload_many, "purpose", [*NO_TEXT, "", LONG]),
    (upload_many, "custom_metadata", [5, "a"]),
    (upload_many, "on_created", [5, coroutine_function]),
    (upload_many, "on_progress", [5, coroutine_function]),
    (
        via_url,
        "url",
        [
            *NO_TEXT,
            None,
            "",
            "a.example",
            "ftp://a.example",
            "https://",
            "https:///x",
            "http://?x",
            "https://a b",
            "https://a\n",
            "javascript:x",
            HALF,
        ],
    ),
    (via_url, "file_name", [*NO_TEXT, "", HALF]),
    (via_url, "mime_type", [*NO_TEXT, ""]),
    (via_url, "custom_metadata", [5]),
    (via_url, "idempotency_key", [5, True, "", LONG]),
    (via_url, "purpose", [*NO_TEXT, "", LONG]),
    (via_url, "wait", [*NO_NUMBER, 0, -1, math.nan]),
    (list_, "page", [*NO_INT, None, 0, -1]),
    (list_, "limit", [*NO_INT, 0, 101, -1]),
    (origins, "page", [*NO_INT, 0]),
    (origins, "limit", [*NO_INT, 0, 101]),
    (list_pages, "page", [*NO_INT, None, 0]),
    (list_pages, "limit", [*NO_INT, None, 0, 101]),
    (list_pages, "prefetch", [*NO_INT, None, 0, -1]),
    (list_all, "page", [*NO_INT, 0]),
    (list_all, "limit", [*NO_INT, 0, 101]),
    (list_all, "prefetch", [*NO_INT, 0]),
    (origin_pages, "prefetch", [*NO_INT, 0]),
    (bulk, "chunk_size", [*NO_INT, None, 0, -1]),
    (ready, "timeout", [*NO_NUMBER, True, 0, -1, math.nan]),
    (ready, "on_update", [5, "x", coroutine_function, AsyncCallable()]),
    (packed, "timeout", [*NO_NUMBER, 0, -1]),
    (packed, "on_update", [5, coroutine_function]),
    (connected, "timeout", [*NO_NUMBER, 0, -1]),
    (connected, "on_update", [5, coroutine_function]),
    (new_origin, "pattern", [*NO_TEXT, None, "", HALF]),
    (new_domain, "hostname", [*NO_TEXT, None, "", HALF]),
]
for _method in (stats, datasets):
    WRONG += [
        (_method, "interval", [*NO_TEXT, "", "YEARLY", "x" * 5000]),
        (_method, "tz", [*NO_TEXT, "", "Europe /Berlin", "UTC\n"]),
        (_method, "date_start", [5, "2026-04-01", date(2026, 4, 1), NAIVE]),
        (
            _method,
            "date_end",
            [1764000000.0, NAIVE, datetime.max.replace(tzinfo=timezone(timedelta(hours=-5)))],
        ),
    ]


@pytest.mark.parametrize(
    ("method", "name", "values"), WRONG, ids=lambda value: getattr(value, "__name__", None)
)
async def test_a_wrong_argument_is_named_before_any_request(
    method: Callable[..., Any], name: str, values: list[Any]
) -> None:
    for value in values:
        error = await rejection_of(named(method, name), value)
        text = str(error)
        assert name in text
        assert SECRET not in text
        assert len(text) < 300
        if type(error) is TypeError:
            assert type(value).__name__ in text or "coroutine function" in text


@pytest.mark.parametrize("method", [create_, via_url, upload, upload_many])
@pytest.mark.parametrize(
    ("metadata", "error", "text"),
    [
        ({"a": None}, TypeError, "custom_metadata['a'] must be text, a number or a bool, not NoneType"),
        ({"a": [1]}, TypeError, "custom_metadata['a'] must be text, a number or a bool, not list"),
        ({"a": {"b": 1}}, TypeError, "custom_metadata['a']"),
        ({"a": b"x"}, TypeError, "custom_metadata['a']"),
        ({5: "x"}, TypeError, "text keys, not int"),
        ({"": "x"}, ValueError, "key of custom_metadata"),
        ({"\ud800": "x"}, ValueError, "key of custom_metadata"),
        ({"a": "\ud800"}, ValueError, "custom_metadata['a']"),
        ({"a": math.nan}, ValueError, "custom_metadata['a'] must be a finite number"),
        ({"a": -math.inf}, ValueError, "custom_metadata['a'] must be a finite number"),
        ({"a": 2**64}, ValueError, "64 bits"),
        ({"a": -(2**63) - 1}, ValueError, "64 bits"),
    ],
)
async def test_metadata_that_the_service_cannot_store_is_rejected_with_its_key(
    method: Callable[..., Any], metadata: Any, error: type[Exception], text: str
) -> None:
    caught = await rejection_of(named(method, "custom_metadata"), metadata)
    assert type(caught) is error
    assert text in str(caught)


@pytest.mark.parametrize(
    "value", [5, None, {"url": "a"}, {1, 2}, object()], ids=lambda value: type(value).__name__
)
async def test_an_invalid_file_raises_a_type_error_that_names_it(value: Any) -> None:
    error = await rejection_of(lambda api, v: api.images.upload(v), value)
    assert str(error).startswith("file must be a path, bytes")
    assert type(value).__name__ in str(error)


# --- accepted values ----------------------------------------------------------------------------------------


async def test_a_rejected_url_does_not_appear_in_the_error() -> None:
    error = await rejection_of(named(via_url, "url"), f"ftp://a.example/{SECRET}")
    assert SECRET not in str(error)


@pytest.mark.parametrize(
    ("value", "seconds"), [(True, 120.0), (False, None), (5, 5.0), (0.5, 0.5), (math.inf, math.inf)]
)
def test_wait_is_a_bool_or_seconds(value: Any, seconds: float | None) -> None:
    assert arguments.wait_timeout(value) == seconds


@pytest.mark.parametrize("value", ["hourly", "Hourly", "HOURLY"])
def test_an_interval_is_accepted_in_any_letter_case(value: str) -> None:
    assert arguments.interval(value) == "HOURLY"


def test_texts_of_the_maximum_length_are_accepted() -> None:
    assert checks.nonempty_text("purpose", "x" * 255) == "x" * 255
    assert checks.nonempty_text("file_name", "x" * 10_000, max_length=None)


def test_metadata_is_copied() -> None:
    given = {"a": 1}
    checked = arguments.metadata(given)
    given["a"] = 2
    assert checked == {"a": 1}


@given(st.datetimes(timezones=st.timezones() | st.just(timezone(timedelta(hours=-23, minutes=-59)))))
def test_a_datetime_with_a_timezone_is_sent_in_utc_or_rejected(value: datetime) -> None:
    try:
        text = arguments.rfc3339("date_start", value)
    except ValueError:
        assert not 2 < value.year < 9998
        return
    assert text is not None
    assert text.endswith("Z")
    assert datetime.fromisoformat(text) == value.astimezone(UTC)


async def test_an_image_is_accepted_as_an_id_only_where_the_signature_says_so() -> None:
    api = Api(image())
    record = await api.images.retrieve(ID)
    error = await rejection_of(lambda api, v: api.images.delete(v), record)
    assert "not Image" in str(error)


# --- classes of text and numbers ----------------------------------------------------------------------------


class Kind(str, enum.Enum):  # noqa: UP042  # str() of such a member is its name
    PNG = "image/png"


class Number(int, enum.Enum):
    THREE = 3


class Place(os.PathLike[Any]):
    def __init__(self, held: Any) -> None:
        self.held = held

    def __fspath__(self) -> Any:
        return self.held


class Mark(str, enum.Enum):  # noqa: UP042
    OF_IMAGE = ID


async def test_a_member_of_a_text_enum_is_sent_as_its_value() -> None:
    api = Api(data(StandardUpload), data(StandardUpload), {})
    assert str(Kind.PNG) == "Kind.PNG"
    await api.images.create(
        file_name=Kind.PNG, mime_type=Kind.PNG, purpose=Kind.PNG, idempotency_key=Kind.PNG
    )
    await api.images.create(file_name="a", upload_token=Kind.PNG, custom_metadata={Kind.PNG: Kind.PNG})
    await api.images.bulk_delete([Mark.OF_IMAGE])
    sent = f"{[request.json for request in api.sent.requests]} {api.sent.lines}"
    assert "Kind.PNG" not in sent
    assert "OF_IMAGE" not in sent
    assert api.sent.requests[0].json["mime_type"] == "image/png"


async def test_a_member_of_an_integer_enum_is_sent_as_its_value() -> None:
    api = Api(Response([]))
    await api.images.list(page=Number.THREE, limit=Number.THREE)
    assert api.sent.lines == ["GET /images/?page=3&limit=3"]


# Python does not convert an integer of so many digits to text.
HUGE = 10**5000


@pytest.mark.parametrize("value", [HUGE, -HUGE], ids=["huge", "hugely negative"])
async def test_an_integer_too_long_to_print_is_rejected_with_its_name(value: int) -> None:
    for method, name in [
        (list_, "page"), (list_pages, "limit"), (bulk, "chunk_size"), (create_, "content_length"), (ready, "timeout"),
        (upload, "wait"), (upload_many, "concurrency"),
    ]:  # fmt: skip
        error = await rejection_of(named(method, name), value)
        assert name in str(error)
        assert "bits" in str(error)


@pytest.mark.parametrize("url", ["http://[::1", "http://a]/", "http://\u2100.example"])
async def test_a_url_that_cannot_be_parsed_is_rejected(url: str) -> None:
    assert str(await rejection_of(named(via_url, "url"), url)) == "url is not a URL"


@pytest.mark.parametrize("held", ["a\0b", "a\ud800", b"a\0b"])
@pytest.mark.parametrize("wrapped", [False, True])
async def test_a_path_that_no_file_can_have_is_rejected_before_any_disk_access(
    held: Any, wrapped: bool
) -> None:
    value = Place(held) if wrapped or isinstance(held, bytes) else held
    for call, name in [
        (lambda api, v: api.images.upload(v), "file"),
        (lambda api, v: api.images.download(ID, v), "path"),
        (lambda api, v: api.images.download_archive(ID, v), "path"),
    ]:
        error = await rejection_of(call, value)
        assert type(error) is ValueError
        assert str(error).startswith(name)


async def test_an_invalid_path_object_raises_a_type_error_that_names_the_argument() -> None:
    error = await rejection_of(lambda api, v: api.images.download(ID, v), Place(5))
    assert str(error) == "path must be a str or os.PathLike, not Place"


@pytest.mark.parametrize("value", ["no", 1, None, 0])
async def test_a_flag_accepts_only_a_bool(value: Any) -> None:
    for call, name in [
        (lambda api, v: api.images.wait_until_ready(ID, metadata=v), "metadata"),
        (lambda api, v: api.images.download(ID, "a.png", overwrite=v), "overwrite"),
    ]:
        assert str(await rejection_of(call, value)) == f"{name} must be a bool, not {type(value).__name__}"
