"""The OpenAPI document of the emulator, normalized with that of the contract."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.openapi import document

from .raw_client import RawClient
from .schema import DOCUMENT

TEXTS_FOR_READERS = {"title", "description", "summary", "tags"}


def normalized(value: Any) -> Any:
    """Return a part of a document in sorted order, without the texts for readers."""
    if isinstance(value, list):
        return sorted((normalized(item) for item in value), key=functools.partial(json.dumps, sort_keys=True))
    if not isinstance(value, dict):
        return value
    return {
        name: {inner: normalized(schema) for inner, schema in item.items()}
        if name == "properties"
        else normalized(item)
        for name, item in value.items()
        if name not in TEXTS_FOR_READERS and not name.startswith("x-") and item != []
    }


def operations(paths: Any) -> dict[tuple[str, str], Any]:
    return {
        (path, method): normalized(operation)
        for path, methods in paths.items()
        for method, operation in methods.items()
    }


def test_the_openapi_document_has_the_operations_of_the_contract() -> None:
    actual, expected = operations(document()["paths"]), operations(DOCUMENT["paths"])
    assert len(expected) == 20
    assert actual == expected


def test_the_openapi_document_has_the_schemas_of_the_contract() -> None:
    components: Any = document()["components"]
    actual, expected = normalized(components["schemas"]), normalized(DOCUMENT["components"]["schemas"])
    # The service sends fractions.
    expected["CacheHitRatioDatasetPointSchema"]["properties"]["value"] = {"type": "number"}
    assert actual == expected


async def test_the_openapi_document_is_served_without_a_key(client: RawClient, emulator: Emulator) -> None:
    response = await client.request("GET", "/openapi-server.json", key=None, lenient=True)
    assert response.status == 200
    assert (response.json["openapi"], response.json["servers"]) == ("3.1.0", [{"url": emulator.base_url}])
    assert (await client.request("POST", "/openapi-server.json")).status == 405
    assert [record.target for record in emulator.requests] == ["/api/v1/openapi-server.json"] * 2


@pytest.mark.parametrize("switches", [{"rate_limit": 1}])
async def test_health_requests_skip_log_faults_and_rate_limit(client: RawClient, emulator: Emulator) -> None:
    planned = emulator.faults.add("*", "*", status=503)
    for _ in range(3):
        assert (await client.get(f"{emulator.base_url}/health")).json == {"status": "ok"}
    assert (await client.get(f"{emulator.base_url}/health", "POST")).status == 405
    assert (len(emulator.requests), planned.seen) == (0, 0)
    assert (await client.get(f"{emulator.storage_url}/health")).status == 503
