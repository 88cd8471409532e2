"""A value for a JSON Schema: what a model that keeps to the schema could have written. Deterministic.

Knows what clients' schemas are made of (types, enums, unions, references, bounds, common formats); where a
pattern or anything else is asked for that is not known here, the value may not satisfy it.
"""

import math
from typing import Any

MAX_DEPTH = 8
FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "person@example.com",
    "uri": "https://example.com/",
    "hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


def example(schema: Any, text: str = "yes") -> Any:
    """A value that satisfies ``schema``; strings say ``text`` where they may."""
    return _value(schema, schema if isinstance(schema, dict) else {}, text, 0)


def _value(schema: Any, root: dict[str, Any], text: str, depth: int) -> Any:
    if not isinstance(schema, dict):
        return text  # ``true``: anything will do
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "oneOf"):
        if schema.get(union):
            return _value(_choice(schema[union], root, depth), root, text, depth + 1)
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = "null" if depth > MAX_DEPTH and "null" in kind else kind[0]
    if kind is None:
        kind = "object" if "properties" in schema else "array" if "items" in schema else "string"
    match kind:
        case "object":
            return _object(schema, root, text, depth)
        case "array":
            return _array(schema, root, text, depth)
        case "integer" | "number":
            return _number(schema, whole=kind == "integer")
        case "boolean":
            return True
        case "null":
            return None
    return _string(schema, text)


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """The schema with its references followed and the parts of ``allOf`` put together."""
    for _ in range(MAX_DEPTH):
        name = schema.get("$ref")
        if not isinstance(name, str):
            break
        target: Any = root
        for part in name.removeprefix("#").strip("/").split("/"):
            if part:
                target = target[part.replace("~1", "/").replace("~0", "~")]
        schema = {**target, **{key: value for key, value in schema.items() if key != "$ref"}}
    merged: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema.get("allOf", ()):
        other = _resolved(part, root)
        properties = {**merged.get("properties", {}), **other.get("properties", {})}
        required = [*merged.get("required", ()), *other.get("required", ())]
        merged = {**other, **merged, "required": required}
        if properties:
            merged["properties"] = properties
    return merged


def _choice(choices: list[Any], root: dict[str, Any], depth: int) -> Any:
    """The first of a union; where it goes deep, the one that ends."""
    if depth > MAX_DEPTH:
        for choice in choices:
            if _resolved(choice, root).get("type") == "null":
                return choice
    return choices[0]


def _object(schema: dict[str, Any], root: dict[str, Any], text: str, depth: int) -> dict[str, Any]:
    """Every property; where it goes deep, those that must be there."""
    required = schema.get("required", ())
    properties = schema.get("properties", {})
    return {
        name: _value(one, root, text, depth + 1)
        for name, one in properties.items()
        if depth <= MAX_DEPTH or (name in required and depth <= 2 * MAX_DEPTH)
    }


def _array(schema: dict[str, Any], root: dict[str, Any], text: str, depth: int) -> list[Any]:
    first = [_value(one, root, text, depth + 1) for one in schema.get("prefixItems", ())]
    least, most = schema.get("minItems", 0), schema.get("maxItems", math.inf)
    wanted = least if depth > MAX_DEPTH else min(max(least, 1), most)
    items = schema.get("items", {})
    if items is False or (schema.get("prefixItems") and "items" not in schema):
        return first
    rest = [_value(items, root, text, depth + 1) for _ in range(int(wanted) - len(first))]
    if schema.get("uniqueItems") and len(rest) > 1:
        rest = _distinct(_resolved(items, root) if isinstance(items, dict) else {}, rest)
    return first + rest


def _distinct(items: dict[str, Any], values: list[Any]) -> list[Any]:
    """As many values, each another one, where their kind allows it."""
    if len(items.get("enum", ())) >= len(values):
        return list(items["enum"][: len(values)])
    if isinstance(values[0], str):
        return [f"{value} {number}" for number, value in enumerate(values)]
    if isinstance(values[0], int | float) and not isinstance(values[0], bool):
        return [value + number for number, value in enumerate(values)]
    return values


def _number(schema: dict[str, Any], *, whole: bool) -> int | float:
    step = schema.get("multipleOf", 1 if whole else 0)
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        above = schema["exclusiveMinimum"]
        gap = step or (1 if "exclusiveMaximum" not in schema and most is None else 0)
        top = schema.get("exclusiveMaximum", most)
        least = above + gap if gap else (above + top) / 2
    if "exclusiveMaximum" in schema and least is None:
        most = schema["exclusiveMaximum"] - (step or 1)
    value = 1 if least is None else least
    if most is not None and value > most:
        value = most
    if step:
        value = math.ceil(value / step) * step if least is not None else value // step * step
        value = value or (step if most is None or step <= most else 0)
    return int(value) if whole else value


def _string(schema: dict[str, Any], text: str) -> str:
    said = FORMATS.get(schema.get("format", ""), text)
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    said = said.ljust(least, "x")
    return said if most is None else said[:most]
