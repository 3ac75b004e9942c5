"""The lists of models that providers of this wire give. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from simulator.wires.openai.rows import Row

CREATED = 1_700_000_000


def models_body(row: Row) -> bytes:
    """The body of `GET …/models`."""
    listed = [_model(row, name) for name in row.models]
    return msgspec.json.encode(listed if row.lists_bare else {"object": "list", "data": listed})


def model_body(row: Row, name: str) -> bytes | None:
    """The body of `GET …/models/<name>`; None for a model that is not listed."""
    return msgspec.json.encode(_model(row, name)) if name in row.models else None


def _model(row: Row, name: str) -> dict[str, Any]:
    model: dict[str, Any] = {"id": name, "object": "model", "created": CREATED, "owned_by": row.name}
    if row.name == "openrouter":
        is_free = name.endswith(":free")
        prices = {"prompt": "0" if is_free else "0.0000001", "completion": "0" if is_free else "0.0000004"}
        model.update(name=name, context_length=131_072, pricing=prices)
    return model
