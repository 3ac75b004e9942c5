"""What the billing service reads from its environment."""

from __future__ import annotations

from common.settings import DatabaseServiceSettings, NatsUrl, Port, PostgresUrl, RedisUrl, Seconds, Settings
from pydantic import Field


class RebuildSettings(Settings):
    """What `python -m billing rebuild` reads: the tables' owner, and the bus."""

    owner_url: PostgresUrl = Field(
        validation_alias="DATABASE_URL", description="Postgres, as the owner of billing's tables"
    )
    nats_url: NatsUrl = Field(validation_alias="NATS_URL", description="NATS server with the stream USAGE")


class BillingSettings(DatabaseServiceSettings):
    """Settings of the billing service."""

    http_host: str = Field(
        default="127.0.0.1", validation_alias="BILLING_HTTP_HOST", description="address that billing listens on"
    )
    http_port: Port = Field(default=8081, validation_alias="BILLING_HTTP_PORT", description="port of billing")
    database_url: PostgresUrl = Field(
        validation_alias="BILLING_DATABASE_URL", description="Postgres, as the role that owns nothing but may book"
    )
    redis_url: RedisUrl = Field(
        validation_alias="REDIS_URL", description="Redis with the counters that calls are admitted by"
    )
    audit_seconds: Seconds = Field(
        default=30.0,
        validation_alias="BILLING_AUDIT_INTERVAL",
        description="seconds between two audits of the ledger, at least (an audit takes at most 5 % of the time)",
    )
