"""The document that the emulator serves, beside the contract's own."""

from __future__ import annotations

import functools
import json
from typing import Any

import pytest

from imgwire_async.emulator import Emulator
from imgwire_async.emulator.openapi import document

from .raw_client import RawClient
from .schema import DOCUMENT

PROSE = {"title", "description", "summary", "tags"}


def compared(value: Any) -> Any:
    """A part of a document without its prose, in an order of its own."""
    if isinstance(value, list):
        return sorted((compared(each) for each in value), key=functools.partial(json.dumps, sort_keys=True))
    if not isinstance(value, dict):
        return value
    return {
        name: {inner: compared(schema) for inner, schema in each.items()}
        if name == "properties"
        else compared(each)
        for name, each in value.items()
        if name not in PROSE and not name.startswith("x-") and each != []
    }


def operations(paths: Any) -> dict[tuple[str, str], Any]:
    return {
        (path, method): compared(each) for path, methods in paths.items() for method, each in methods.items()
    }


def test_it_has_the_contracts_operations_with_all_they_take_and_answer() -> None:
    ours, theirs = operations(document()["paths"]), operations(DOCUMENT["paths"])
    assert len(theirs) == 20
    assert ours == theirs


def test_it_has_the_contracts_schemas() -> None:
    components: Any = document()["components"]
    ours, theirs = compared(components["schemas"]), compared(DOCUMENT["components"]["schemas"])
    theirs["CacheHitRatioDatasetPointSchema"]["properties"]["value"] = {
        "type": "number"
    }  # as the service sends it
    assert ours == theirs


async def test_it_is_served_without_a_key_and_names_the_server(client: RawClient, emulator: Emulator) -> None:
    response = await client.request("GET", "/openapi-server.json", key=None, lenient=True)
    assert response.status == 200
    assert (response.json["openapi"], response.json["servers"]) == ("3.1.0", [{"url": emulator.base_url}])
    assert (await client.request("POST", "/openapi-server.json")).status == 405
    assert [record.target for record in emulator.requests] == ["/api/v1/openapi-server.json"] * 2


@pytest.mark.parametrize("switches", [{"rate_limit": 1}])
async def test_health_is_no_business_of_log_faults_and_limits(client: RawClient, emulator: Emulator) -> None:
    planned = emulator.faults.add("*", "*", status=503)
    for _ in range(3):
        assert (await client.get(f"{emulator.base_url}/health")).json == {"status": "ok"}
    assert (await client.get(f"{emulator.base_url}/health", "POST")).status == 405
    assert (len(emulator.requests), planned.seen) == (0, 0)
    assert (await client.get(f"{emulator.storage_url}/health")).status == 503
