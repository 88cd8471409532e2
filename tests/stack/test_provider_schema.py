"""The simulated providers write JSON that satisfies the schema they are given."""

from enum import Enum
from typing import Annotated, Any, Literal, Optional, Union

import jsonschema_rs
import pytest
from pydantic import BaseModel, Field

from tokenhub.stack.providers.schema import example


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Part(BaseModel):
    name: Annotated[str, Field(min_length=3, max_length=12)]
    count: Annotated[int, Field(ge=2, le=9)]
    price: Annotated[float, Field(gt=0, lt=1)]


class Order(BaseModel):
    colour: Colour
    kind: Literal["fast", "slow"]
    parts: Annotated[list[Part], Field(min_length=2)]
    note: Optional[str]  # noqa: UP045  (as clients write it)
    either: Union[int, Part]  # noqa: UP007
    parent: Optional["Order"] = None
    sure: bool


SCHEMAS: dict[str, Any] = {
    "pydantic, recursive": Order.model_json_schema(),
    "const": {"const": 7},
    "types": {"type": ["null", "string"]},
    "all of": {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"properties": {"b": {"type": "string"}}, "required": ["b"]}]},
    "steps": {"type": "integer", "minimum": 10, "multipleOf": 7},
    "negative": {"type": "number", "maximum": -2},
    "below": {"type": "integer", "exclusiveMaximum": -5},
    "distinct": {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 3, "uniqueItems": True},
    "tuple": {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False},
    "formats": {"type": "object", "properties": {name: {"type": "string", "format": name} for name in ("email", "date", "date-time", "uuid", "uri")}, "additionalProperties": False},
    "anything": True,
    "nothing said": {},
    "none": {"type": "array", "maxItems": 0},
    "itself": {"$defs": {"node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["next"]}}, "$ref": "#/$defs/node"},
}  # fmt: skip


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_value_satisfies_its_schema(name: str) -> None:
    value = example(SCHEMAS[name], "some words")

    jsonschema_rs.validator_for(SCHEMAS[name], validate_formats=True).validate(value)


def test_what_a_person_wrote_is_in_it() -> None:
    schema = {"type": "object", "properties": {"query": {"type": "string"}}, "required": ["query"]}

    assert example(schema, "weather in Lisbon") == {"query": "weather in Lisbon"}
