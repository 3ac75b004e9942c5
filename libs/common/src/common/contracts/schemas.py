"""The JSON Schema of an event: that of its envelope, with the type it must have, as pydantic derives it from the models."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from common.contracts.events import Event
from common.money import Money

_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def schema_of(event: Event) -> dict[str, Any]:
    """The schema of the whole event; closed, like the models."""
    schema = event.envelope.model_json_schema(schema_generator=_Schemas)
    schema["properties"]["type"] = {
        "const": event.event_type,
        "description": schema["properties"]["type"]["description"],
    }
    schema["title"] = event.event_type
    schema["description"] = f"{event.content.__doc__}"
    return {"$schema": _DIALECT, "$id": f"urn:tollgate:{event.name}", **schema}


class _Schemas(GenerateJsonSchema):
    """pydantic's, without titles that only repeat a field's name, and with amounts as they stand in JSON."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def encode_default(self, dft: Any) -> Any:
        return str(dft) if isinstance(dft, Money) else super().encode_default(dft)

    def model_schema(self, schema: core_schema.ModelSchema) -> JsonSchemaValue:
        made = super().model_schema(schema)
        made.pop("title", None)
        return made
