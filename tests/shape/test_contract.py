"""Compare operations and models with the OpenAPI document: nothing may be missing or added.

The tests call each method with all its arguments.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime
from typing import Any, get_args, get_type_hints
from urllib.parse import parse_qsl, urlsplit

import attrs
import pytest
from recording import Api
from samples import ENUMS, ID, OPENAPI, RECORDS, SCHEMAS, example, fields_of, nullable, resolved

from imgwire_async import models
from imgwire_async.resources.base import Resource

Operation = tuple[str, str, dict[str, Any]]

# The name of each operation in the SDK. Images_createBulkDownloadJob becomes images.create_bulk_download_job.
OPERATIONS: dict[str, Operation] = {}
for _path, _methods in OPENAPI["paths"].items():
    for _method, _operation in _methods.items():
        _group, _, _name = _operation["operationId"].partition("_")
        _snake = [
            "".join(f"_{c.lower()}" if c.isupper() else c for c in part).lstrip("_")
            for part in (_group, _name)
        ]
        OPERATIONS[".".join(_snake)] = (_method.upper(), _path, _operation)

# A call of each operation with all its arguments.
CALLS: dict[str, Callable[[Api], Awaitable[Any]]] = {
    "images.list": lambda api: api.images.list(page=2, limit=10),
    "images.retrieve": lambda api: api.images.retrieve(ID),
    "images.create": lambda api: api.images.create(
        file_name="a.jpg",
        mime_type="image/jpeg",
        content_length=5,
        custom_metadata={"a": 1},
        hash_sha256="ab",
        idempotency_key="k",
        purpose="p",
        upload_token="t",
    ),
    "images.upload_via_url": lambda api: api.images.upload_via_url(
        "https://a.example/x",
        file_name="a.jpg",
        mime_type="image/jpeg",
        custom_metadata={"a": 1},
        idempotency_key="k",
        purpose="p",
        wait=True,
    ),
    "images.create_upload_token": lambda api: api.images.create_upload_token(),
    "images.delete": lambda api: api.images.delete(ID),
    "images.bulk_delete": lambda api: api.images.bulk_delete([ID], chunk_size=5),
    "images.create_bulk_download_job": lambda api: api.images.create_bulk_download_job([ID]),
    "images.retrieve_bulk_download_job": lambda api: api.images.retrieve_bulk_download_job(ID),
    "cors_origins.list": lambda api: api.cors_origins.list(page=2, limit=10),
    "cors_origins.create": lambda api: api.cors_origins.create("a.example"),
    "cors_origins.retrieve": lambda api: api.cors_origins.retrieve(ID),
    "cors_origins.update": lambda api: api.cors_origins.update(ID, "a.example"),
    "cors_origins.delete": lambda api: api.cors_origins.delete(ID),
    "custom_domain.retrieve": lambda api: api.custom_domain.retrieve(),
    "custom_domain.create": lambda api: api.custom_domain.create("img.example.com"),
    "custom_domain.delete": lambda api: api.custom_domain.delete(),
    "custom_domain.test_connection": lambda api: api.custom_domain.test_connection(),
    "metrics.get_datasets": lambda api: api.metrics.get_datasets(
        interval="DAILY",
        tz="UTC",
        date_start=datetime(2026, 1, 1, tzinfo=UTC),
        date_end=datetime(2026, 2, 1, tzinfo=UTC),
    ),
    "metrics.get_stats": lambda api: api.metrics.get_stats(
        interval="DAILY",
        tz="UTC",
        date_start=datetime(2026, 1, 1, tzinfo=UTC),
        date_end=datetime(2026, 2, 1, tzinfo=UTC),
    ),
}

# Methods of resources that are not operations of the API.
CONVENIENCE_METHODS = {
    "images": {
        "list_pages",
        "list_all",
        "upload",
        "upload_many",
        "wait_until_ready",
        "wait_for_bulk_download",
        "download_archive",
        "download",
        "read",
        "stream",
    },
    "cors_origins": {"list_pages", "list_all"},
    "custom_domain": {"wait_until_connected"},
    "metrics": set[str](),
}

operations = pytest.mark.parametrize("name", OPERATIONS)


async def sent(name: str) -> Any:
    """Return the only request of an operation, after a response that the contract allows."""
    api = Api(response_of(name))
    await CALLS[name](api)
    return api.sent.only


def response_of(name: str) -> Any:
    content = OPERATIONS[name][2]["responses"]["200"]["content"]["application/json"]["schema"]
    return example(content)


def parameters(name: str, place: str) -> set[str]:
    return {
        parameter["name"]
        for parameter in OPERATIONS[name][2].get("parameters", [])
        if parameter["in"] == place
    }


def body_of(name: str) -> dict[str, Any] | None:
    content = OPERATIONS[name][2].get("requestBody", {}).get("content", {})
    return resolved(content["application/json"]["schema"]) if content else None


def public_methods(group: str) -> set[str]:
    return {
        name
        for name, _ in inspect.getmembers(type(getattr(Api(), group)), inspect.isfunction)
        if not name.startswith("_")
    }


# --- operations ---


def test_the_tests_call_all_twenty_operations() -> None:
    assert len(OPERATIONS) == 20
    assert set(CALLS) == set(OPERATIONS)


@operations
def test_an_operation_is_a_method_of_its_resource(name: str) -> None:
    group, _, method = name.partition(".")
    assert method in public_methods(group)


@pytest.mark.parametrize("group", CONVENIENCE_METHODS)
def test_a_resource_has_no_unlisted_method(group: str) -> None:
    contract = {name.partition(".")[2] for name in OPERATIONS if name.startswith(f"{group}.")}
    unknown = public_methods(group) - contract - CONVENIENCE_METHODS[group]
    assert not unknown, (
        "add an operation of the API to tests/data/openapi.json first, and another method to CONVENIENCE_METHODS: "
        f"{unknown}"
    )


def leaves(kind: type[Resource]) -> Iterator[type[Resource]]:
    """Yield the subclasses of `kind` that have no subclass. The other ones contain a part of a resource."""
    subclasses = kind.__subclasses__()
    for subclass in subclasses:
        yield from leaves(subclass)
    if not subclasses:
        yield kind


def test_these_tests_cover_every_resource() -> None:
    whole = set(leaves(Resource))
    assert {type(value) for value in vars(Api()).values() if isinstance(value, Resource)} == whole


@operations
async def test_an_operation_uses_its_method_and_path(name: str) -> None:
    request = await sent(name)
    method, path, _ = OPERATIONS[name]
    assert (request.method, f"/api/v1{request.path}") == (method, path)


@operations
async def test_an_operation_fills_exactly_its_path_parameters(name: str) -> None:
    request = await sent(name)
    assert set(request.ids) == parameters(name, "path")
    assert "{" not in request.target


@operations
async def test_an_operation_sends_exactly_its_query_parameters(name: str) -> None:
    request = await sent(name)
    query = parse_qsl(urlsplit(request.target).query, keep_blank_values=True)
    assert {key for key, _ in query} == parameters(name, "query")
    assert len(query) == len(parameters(name, "query"))


@operations
async def test_an_operation_sends_exactly_the_fields_of_its_body(name: str) -> None:
    request = await sent(name)
    body = body_of(name)
    if body is None:
        assert request.json is None
    else:
        assert set(request.json) == set(body["properties"])
        assert set(body.get("required", [])) <= set(request.json)


@operations
async def test_an_operation_decodes_its_response(name: str) -> None:
    api = Api(response_of(name))
    result = await CALLS[name](api)
    schema = OPERATIONS[name][2]["responses"]["200"]["content"]["application/json"]["schema"]
    if "$ref" in schema:
        assert type(result) is RECORDS[schema["$ref"].rpartition("/")[2]]
    elif schema["type"] == "array":
        assert {type(item) for item in result.data} == {RECORDS[schema["items"]["$ref"].rpartition("/")[2]]}
    elif name != "images.bulk_delete":
        assert result == response_of(name)


@operations
def test_a_docstring_names_the_operation(name: str) -> None:
    group, _, method = name.partition(".")
    verb, path, _ = OPERATIONS[name]
    doc = inspect.getdoc(getattr(type(getattr(Api(), group)), method)) or ""
    assert f"[{verb} {path.removeprefix('/api/v1')}" in doc


# --- models ---

BODIES = {
    name
    for name, schema in SCHEMAS.items()
    if name.endswith(("CreateSchema", "UpdateSchema")) or name == "BulkDeleteImagesSchema"
}


def test_every_schema_is_a_record_an_enum_or_a_body() -> None:
    assert set(RECORDS) | set(ENUMS) | BODIES == set(SCHEMAS)


def test_every_body_belongs_to_an_operation() -> None:
    used = {id(body) for name in OPERATIONS if (body := body_of(name)) is not None}
    assert {name for name in BODIES if id(SCHEMAS[name]) in used} == BODIES


def test_every_record_has_a_schema() -> None:
    assert set(models.Record.__subclasses__()) == set(RECORDS.values())


def test_every_enum_has_a_schema() -> None:
    assert set(models.OpenEnum.__subclasses__()) == set(ENUMS.values())


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.__name__)
def test_a_record_has_exactly_the_fields_of_its_schema(record: type[models.Record]) -> None:
    assert {field.name for field in attrs.fields(record)} - {"extra"} == {
        name for name, _ in fields_of(record)
    }


SIMPLE = {"integer": int, "number": float, "boolean": bool}


@pytest.mark.parametrize(
    ("record", "name", "schema"),
    [
        pytest.param(record, name, schema, id=f"{record.__name__}.{name}")
        for record in RECORDS.values()
        for name, schema in fields_of(record)
    ],
)
def test_a_field_has_the_type_of_its_schema(
    record: type[models.Record], name: str, schema: dict[str, Any]
) -> None:
    hint = get_type_hints(record)[name]
    assert (type(None) in get_args(hint)) == nullable(schema)
    inner = next(option for option in schema.get("anyOf", [schema]) if option != {"type": "null"})
    kind = (
        next((option for option in get_args(hint) if option is not type(None)), hint)
        if nullable(schema)
        else hint
    )
    assert fits(kind, inner)


def fits(hint: Any, schema: dict[str, Any]) -> bool:
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return hint is (RECORDS | ENUMS)[name]
    match schema.get("type"):
        case "string":
            return hint is (datetime if schema.get("format") == "date-time" else str)
        case "array":
            return getattr(hint, "__origin__", None) is tuple and fits(get_args(hint)[0], schema["items"])
        case "object":
            return getattr(hint, "__origin__", None) is dict
        case None:
            return set(get_args(hint)) == {SIMPLE.get(option["type"], str) for option in schema["anyOf"]}
        case simple:
            return hint is SIMPLE[simple]


@pytest.mark.parametrize("record", RECORDS.values(), ids=lambda record: record.__name__)
def test_only_a_field_that_may_be_absent_has_a_default(record: type[models.Record]) -> None:
    schema = dict(fields_of(record))
    may_be_absent = {name for name in schema if nullable(schema[name])}
    if record is models.Image:
        may_be_absent |= {"width", "height", "size_bytes"}
    if record is models.HTTPValidationError:
        may_be_absent |= {"detail"}
    with_default = {field.name for field in attrs.fields(record) if field.default is not attrs.NOTHING}
    assert with_default - {"extra"} == may_be_absent
