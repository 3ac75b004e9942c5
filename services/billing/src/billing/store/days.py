"""SQL for what providers are owed a day."""

from __future__ import annotations

from collections.abc import Mapping

from common.postgres.pool import Connection

from billing.domain.ledger import ProviderDay, Tally


async def add(connection: Connection, differences: Mapping[ProviderDay, Tally]) -> None:
    """Add differences to the providers' days, in the order of their key."""
    rows = sorted(differences.items())
    await connection.execute(
        "INSERT INTO provider_days AS d (day, provider_type, model, is_simulated, requests, input_tokens,"
        " output_tokens, cost)"
        " SELECT * FROM unnest($1::date[], $2::text[], $3::text[], $4::boolean[], $5::bigint[], $6::bigint[],"
        " $7::bigint[], $8::numeric[])"
        " ON CONFLICT (day, provider_type, model, is_simulated) DO UPDATE SET"
        " requests = d.requests + EXCLUDED.requests, input_tokens = d.input_tokens + EXCLUDED.input_tokens,"
        " output_tokens = d.output_tokens + EXCLUDED.output_tokens, cost = d.cost + EXCLUDED.cost",
        [place.day for place, _ in rows],
        [place.provider_type for place, _ in rows],
        [place.model for place, _ in rows],
        [place.is_simulated for place, _ in rows],
        [tally.requests for _, tally in rows],
        [tally.input_tokens for _, tally in rows],
        [tally.output_tokens for _, tally in rows],
        [tally.cost for _, tally in rows],
    )
