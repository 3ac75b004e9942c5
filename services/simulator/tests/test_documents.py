"""Documents satisfy the schemas they are made for; the judge is the jsonschema library."""

from __future__ import annotations

from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulator.documents import document_for

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 12, "maxLength": 14},
        "age": {"type": "integer", "minimum": 18, "exclusiveMaximum": 20},
        "score": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "mood": {"enum": ["calm", "keen"]},
        "kind": {"const": "person"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 3, "maxItems": 3},
        "is_here": {"type": "boolean"},
        "nothing": {"type": "null"},
        "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "either": {"type": ["string", "null"]},
        "steps": {"type": "integer", "multipleOf": 5, "minimum": 7},
        "deep": {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "value": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]},
            },
            "required": ["value", "children", "next"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
MERGED = {
    "allOf": [
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]},
        {"properties": {"b": {"type": "integer"}}, "required": ["b"]},
    ]
}


@pytest.mark.parametrize("schema", [PERSON, TREE, MERGED, {"type": "array", "items": PERSON}, {"type": "string"}])
@pytest.mark.parametrize("number", range(20))
def test_a_document_satisfies_its_schema(schema: dict[str, Any], number: int) -> None:
    jsonschema.validate(document_for(schema, number), schema)


def test_the_same_number_makes_the_same_document() -> None:
    assert document_for(PERSON, 5) == document_for(PERSON, 5)
    assert any(document_for(PERSON, 5) != document_for(PERSON, other) for other in range(6, 20))


@given(st.integers(-50, 50), st.integers(0, 40), st.integers())
def test_numbers_stay_in_their_range(least: int, width: int, number: int) -> None:
    schema = {"type": "integer", "minimum": least, "maximum": least + width}
    jsonschema.validate(document_for(schema, number), schema)


@given(st.dictionaries(st.sampled_from(["$ref", "const", "enum", "type"]), st.text(max_size=4)))
def test_an_odd_schema_still_ends_in_a_document(schema: dict[str, Any]) -> None:
    document_for(schema, 1)
