"""Check a response against the contract.

The checks cover the part of JSON Schema that `tests/data/openapi.json` uses.
"""

from __future__ import annotations

import json
import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

DOCUMENT = json.loads((Path(__file__).parents[1] / "data" / "openapi.json").read_text())
TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "object": (dict,),
    "array": (list,),
    "null": (type(None),),
}


def check_response(method: str, path: str, status: int, value: object) -> None:
    """Fail unless the response body has the form that the contract describes."""
    schema = response_schema(method, path, status)
    assert schema is not None, f"{method} {path} is not in the contract"
    found = list(problems(schema, value, "$"))
    assert not found, found


@cache
def response_schema(method: str, path: str, status: int) -> Any:
    for template, operations in DOCUMENT["paths"].items():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if (
            re.fullmatch(pattern, path)
            and method.lower() in operations
            and not ("{" in template and method.lower() in DOCUMENT["paths"].get(path, {}))
        ):
            return operations[method.lower()]["responses"][str(status)]["content"]["application/json"][
                "schema"
            ]
    return None


def problems(schema: Any, value: object, path_in_body: str) -> Any:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if not any(not list(problems(option, value, path_in_body)) for option in schema["anyOf"]):
            yield f"{path_in_body}: {value!r} matches none of {schema['anyOf']}"
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{path_in_body}: {value!r} is not a {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{path_in_body}: {value!r} is not one of {schema['enum']}"
    if isinstance(value, str):
        yield from _format(schema.get("format"), value, path_in_body)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(schema.get("items", {}), item, f"{path_in_body}[{index}]")
    if isinstance(value, dict):
        yield from _object(schema, value, path_in_body)


def _object(schema: Any, value: dict[str, object], path_in_body: str) -> Any:
    known = schema.get("properties", {})
    yield from (
        f"{path_in_body}.{name} is missing" for name in schema.get("required", ()) if name not in value
    )
    others = schema.get("additionalProperties", not known)
    for name, item in value.items():
        if name in known:
            yield from problems(known[name], item, f"{path_in_body}.{name}")
        elif isinstance(others, dict):
            yield from problems(others, item, f"{path_in_body}.{name}")
        elif not others:
            yield f"{path_in_body}.{name} is not in the contract"


def _format(name: str | None, value: str, path_in_body: str) -> Any:
    try:
        if name == "uuid":
            UUID(value)
        elif name == "date-time":
            assert datetime.fromisoformat(value).tzinfo is not None
    except (ValueError, AssertionError):
        yield f"{path_in_body}: {value!r} is not a {name}"
