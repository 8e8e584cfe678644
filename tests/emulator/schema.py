"""Checks an response against the contract: the subset of JSON Schema that `tests/data/openapi.json` uses."""

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
    """Fails when the contract describes this response and it looks otherwise."""
    schema = response_schema(method, path, status)
    assert schema is not None, f"{method} {path} is not in the contract"
    wrong = list(problems(schema, value, "$"))
    assert not wrong, wrong


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


def problems(schema: Any, value: object, place: str) -> Any:
    if "$ref" in schema:
        schema = DOCUMENT["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        if not any(not list(problems(each, value, place)) for each in schema["anyOf"]):
            yield f"{place}: {value!r} fits none of {schema['anyOf']}"
        return
    kind = schema.get("type")
    if kind and (not isinstance(value, TYPES[kind]) or (isinstance(value, bool) and kind != "boolean")):
        yield f"{place}: {value!r} is no {kind}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{place}: {value!r} is none of {schema['enum']}"
    if isinstance(value, str):
        yield from _format(schema.get("format"), value, place)
    if isinstance(value, list):
        for index, item in enumerate(value):
            yield from problems(schema.get("items", {}), item, f"{place}[{index}]")
    if isinstance(value, dict):
        yield from _object(schema, value, place)


def _object(schema: Any, value: dict[str, object], place: str) -> Any:
    known = schema.get("properties", {})
    yield from (f"{place}.{name} is missing" for name in schema.get("required", ()) if name not in value)
    others = schema.get("additionalProperties", not known)
    for name, item in value.items():
        if name in known:
            yield from problems(known[name], item, f"{place}.{name}")
        elif isinstance(others, dict):
            yield from problems(others, item, f"{place}.{name}")
        elif not others:
            yield f"{place}.{name} is not in the contract"


def _format(name: str | None, value: str, place: str) -> Any:
    try:
        if name == "uuid":
            UUID(value)
        elif name == "date-time":
            assert datetime.fromisoformat(value).tzinfo is not None
    except (ValueError, AssertionError):
        yield f"{place}: {value!r} is no {name}"
