"""Table `models`: reading for ourselves and writing; what the public list asks is in `listed.py`."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg
from common.postgres.pool import Connection

from catalog_sync.domain.models import Facts, Model


async def all_models(connection: Connection) -> list[Model]:
    """Every model."""
    rows = await connection.fetch(
        "SELECT id, provider_type, name, display_name, description, names, enabled, context_length, max_output_tokens,"
        " capabilities, deprecated_at, gone_at, source, created_at, updated_at FROM models ORDER BY id"
    )
    return [model_of(row) for row in rows]


async def model_by_id(connection: Connection, model_id: str) -> Model | None:
    """One model."""
    row = await connection.fetchrow(
        "SELECT id, provider_type, name, display_name, description, names, enabled, context_length, max_output_tokens,"
        " capabilities, deprecated_at, gone_at, source, created_at, updated_at FROM models WHERE id = $1",
        model_id,
    )
    return model_of(row) if row else None


async def types_serving(connection: Connection, name: str) -> list[str]:
    """The provider types that have a model of this name, by its own or another spelling."""
    rows = await connection.fetch(
        "SELECT DISTINCT provider_type FROM models WHERE name = $1 OR names @> ARRAY[$1::text] ORDER BY 1", name
    )
    return [str(row["provider_type"]) for row in rows]


async def served_names(connection: Connection) -> list[tuple[str, str, tuple[str, ...]]]:
    """Provider type, name and other spellings of every enabled model."""
    rows = await connection.fetch("SELECT provider_type, name, names FROM models WHERE enabled")
    return [(row["provider_type"], row["name"], tuple(row["names"])) for row in rows]


async def insert_models(connection: Connection, models: Sequence[Model]) -> None:
    """Add some; a unique violation when a provider type has the name already."""
    await connection.executemany(
        "INSERT INTO models (id, provider_type, name, display_name, description, names, enabled, context_length,"
        " max_output_tokens, capabilities, deprecated_at, gone_at, source, created_at, updated_at)"
        " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)",
        [
            (
                model.id,
                model.facts.provider_type,
                model.facts.name,
                model.facts.display_name,
                model.facts.description,
                list(model.facts.names),
                model.enabled,
                model.facts.context_length,
                model.facts.max_output_tokens,
                list(model.facts.capabilities),
                model.deprecated_at,
                model.gone_at,
                model.source,
                model.created_at,
                model.updated_at,
            )
            for model in models
        ],
    )


async def update_models(connection: Connection, models: Sequence[Model]) -> None:
    """Write the present state of some."""
    await connection.executemany(
        "UPDATE models SET display_name = $2, description = $3, names = $4, enabled = $5, context_length = $6,"
        " max_output_tokens = $7, capabilities = $8, deprecated_at = $9, gone_at = $10, updated_at = $11 WHERE id = $1",
        [
            (
                model.id,
                model.facts.display_name,
                model.facts.description,
                list(model.facts.names),
                model.enabled,
                model.facts.context_length,
                model.facts.max_output_tokens,
                list(model.facts.capabilities),
                model.deprecated_at,
                model.gone_at,
                model.updated_at,
            )
            for model in models
        ],
    )


def model_of(row: asyncpg.Record) -> Model:
    """A row with all columns of the table."""
    return Model(
        facts=Facts(
            provider_type=row["provider_type"],
            name=row["name"],
            display_name=row["display_name"],
            description=row["description"],
            names=tuple(row["names"]),
            context_length=row["context_length"],
            max_output_tokens=row["max_output_tokens"],
            capabilities=tuple(row["capabilities"]),
        ),
        source=row["source"],
        created_at=row["created_at"],
        updated_at=row["updated_at"],
        enabled=row["enabled"],
        deprecated_at=row["deprecated_at"],
        gone_at=row["gone_at"],
    )
