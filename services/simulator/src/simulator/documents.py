"""Makes JSON documents that satisfy a JSON Schema: for structured answers and for the arguments of tool calls. Pure.

Covers what callers of models write: objects, arrays, strings, numbers, booleans, enums, constants, local references,
unions. It does not prove that a schema can be satisfied; what it does not understand it answers with a short string.
"""

from __future__ import annotations

import math
import random
from typing import Any

WORDS = ("amber", "brook", "cedar", "delta", "ember", "fjord", "grove", "harbor", "Zürich", "東京", "café", "naïve 🌱")
FORMATS = {
    "date": "2026-03-14",
    "date-time": "2026-03-14T09:26:53Z",
    "time": "09:26:53Z",
    "email": "someone@example.com",
    "uuid": "3f0c9a52-6b1e-4c7d-9e55-0a1b2c3d4e5f",
    "uri": "https://example.com/page",
    "hostname": "example.com",
    "ipv4": "192.0.2.10",
}
DEEPEST = 6
"""Below this depth only what is required is made, so that a schema that contains itself ends."""
REFUSED_DEPTH = 40
LONGEST_STRING = 10_000
MOST_ITEMS = 1_000


def document_for(schema: Any, number: int) -> Any:
    """A JSON value for `schema`; the same for the same number."""
    chance = random.Random(number)  # noqa: S311 - it has to repeat itself, not to surprise
    return _Maker(schema, chance).make(schema, 0)


class _Maker:
    """Walks one schema; holds its root, for references."""

    def __init__(self, root: Any, chance: random.Random) -> None:
        self._root = root
        self._chance = chance

    def make(self, schema: Any, depth: int) -> Any:
        if depth > REFUSED_DEPTH or not isinstance(schema, dict):
            return None
        if "const" in schema:
            return schema["const"]
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return self._chance.choice(schema["enum"])
        if isinstance(schema.get("$ref"), str):
            return self.make(self._resolve(schema["$ref"]), depth + 1)
        if schema.get("allOf"):
            return self.make(_merged(schema), depth + 1)
        for union in ("anyOf", "oneOf"):
            if schema.get(union):
                return self.make(_member(schema[union], depth), depth + 1)
        return self._make_typed(_type_of(schema, depth), schema, depth)

    def _make_typed(self, kind: str, schema: dict[str, Any], depth: int) -> Any:
        if kind == "object":
            return self._object(schema, depth)
        if kind == "array":
            return self._array(schema, depth)
        if kind in ("integer", "number"):
            return self._number(schema, is_whole=kind == "integer")
        if kind == "boolean":
            return self._chance.random() < 0.5
        return None if kind == "null" else self._string(schema)

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        properties = schema.get("properties") or {}
        required = schema.get("required") or []
        wanted = required if depth >= DEEPEST else [*properties, *(name for name in required if name not in properties)]
        return {name: self.make(properties.get(name, {}), depth + 1) for name in wanted}

    def _array(self, schema: dict[str, Any], depth: int) -> list[Any]:
        least = min(int(schema.get("minItems", 0)), MOST_ITEMS)
        most = max(int(schema.get("maxItems", least + 2)), least)
        count = least if depth >= DEEPEST else max(least, min(most, 1 + self._chance.randrange(2)))
        return [self.make(schema.get("items", {}), depth + 1) for _ in range(count)]

    def _number(self, schema: dict[str, Any], *, is_whole: bool) -> int | float:
        step = schema.get("multipleOf") or 1
        least = schema.get("minimum", schema.get("exclusiveMinimum"))
        most = schema.get("maximum", schema.get("exclusiveMaximum"))
        if least is None:
            least = 1 if most is None or most > 1 else most - 20 * step
        first = math.ceil(least / step) + ("exclusiveMinimum" in schema)
        last = first + 19 if most is None else math.floor(most / step) - ("exclusiveMaximum" in schema)
        if last >= first:
            number = step * (first + self._chance.randrange(min(last - first, 1_000_000) + 1))
        else:  # a range shorter than a step, such as 0 < x < 1
            number = (least + (most or least)) / 2
        return int(number) if is_whole else number

    def _string(self, schema: dict[str, Any]) -> str:
        known = FORMATS.get(str(schema.get("format")))
        if known is not None:
            return known
        text: str = self._chance.choice(WORDS)
        least = min(int(schema.get("minLength", 0)), LONGEST_STRING)
        return text.ljust(least, "x")[: max(least, int(schema.get("maxLength", LONGEST_STRING)))]

    def _resolve(self, reference: str) -> Any:
        found = self._root
        for step in reference.lstrip("#").strip("/").split("/"):
            if step:
                found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
        return found


def _type_of(schema: dict[str, Any], depth: int) -> str:
    kind = schema.get("type")
    if isinstance(kind, list) and kind:
        kind = "null" if depth >= DEEPEST and "null" in kind else kind[0]
    if isinstance(kind, str):
        return kind
    if "properties" in schema:
        return "object"
    return "array" if "items" in schema else "string"


def _member(union: list[Any], depth: int) -> Any:
    is_null = [isinstance(member, dict) and member.get("type") == "null" for member in union]
    if depth >= DEEPEST and any(is_null):
        return union[is_null.index(True)]
    return union[0]


def _merged(schema: dict[str, Any]) -> dict[str, Any]:
    """One object schema out of an allOf and what stands beside it."""
    merged: dict[str, Any] = {key: member for key, member in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        if isinstance(part, dict):
            properties = {**(merged.get("properties") or {}), **(part.get("properties") or {})}
            required = [*(merged.get("required") or []), *(part.get("required") or [])]
            merged = {**part, **merged, "properties": properties, "required": required}
    return {key: member for key, member in merged.items() if member or key not in ("properties", "required")}
