"""What the catalog-sync service reads from its environment."""

from __future__ import annotations

from common.settings import DatabaseServiceSettings, Port, PostgresUrl, RedisUrl
from pydantic import Field


class CatalogSyncSettings(DatabaseServiceSettings):
    """Settings of the catalog-sync service."""

    http_host: str = Field(
        default="127.0.0.1",
        validation_alias="CATALOG_SYNC_HTTP_HOST",
        description="address that catalog-sync listens on",
    )
    http_port: Port = Field(default=8082, validation_alias="CATALOG_SYNC_HTTP_PORT", description="port of catalog-sync")
    database_url: PostgresUrl = Field(
        validation_alias="CATALOG_SYNC_DATABASE_URL",
        description="Postgres, as the role that may add prices but never change one",
    )
    cache_redis_url: RedisUrl | None = Field(
        default=None,
        validation_alias="CACHE_REDIS_URL",
        description="The Redis of caches (LRU, nothing on disk); without it nothing is cached.",
    )
