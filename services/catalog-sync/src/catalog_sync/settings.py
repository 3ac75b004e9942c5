"""What the catalog-sync service reads from its environment."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit

from common.secret import Secret
from common.settings import DatabaseServiceSettings, HttpUrl, Port, PostgresUrl, RedisUrl, Seconds
from common.urls import AllowedHosts, UrlRules, rules_of
from pydantic import Field

LITELLM_URL = "https://raw.githubusercontent.com/BerriAI/litellm/main/model_prices_and_context_window.json"
OPENROUTER_URL = "https://openrouter.ai/api/v1/models"

FeedUrl = HttpUrl | Literal[""]


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
    litellm_url: FeedUrl = Field(
        default=LITELLM_URL,
        validation_alias="CATALOG_SYNC_LITELLM_URL",
        description="where LiteLLM's price file is read; empty: nowhere",
    )
    openrouter_url: FeedUrl = Field(
        default=OPENROUTER_URL,
        validation_alias="CATALOG_SYNC_OPENROUTER_URL",
        description="where OpenRouter's list of models is read; empty: nowhere",
    )
    interval_seconds: Seconds = Field(
        default=21_600.0,
        ge=60,
        validation_alias="CATALOG_SYNC_INTERVAL",
        description="time between two readings of a source, give or take a tenth (`6h`)",
    )
    provider_allowed_hosts: AllowedHosts = Field(
        default="",
        validation_alias="PROVIDER_ALLOWED_HOSTS",
        description="hosts beyond the public Internet that providers may be called at: host or host:port, commas between",
    )
    keyvault_url: HttpUrl = Field(
        default="http://127.0.0.1:8083", validation_alias="KEYVAULT_URL", description="the keyvault service"
    )
    service_token: str | None = Field(
        default=None,
        min_length=32,
        repr=False,
        validation_alias="CATALOG_SYNC_SERVICE_TOKEN",
        description="shows keyvault that this is catalog-sync; without it no provider's own list is read",
    )

    @property
    def token(self) -> Secret | None:
        """The service token."""
        return None if self.service_token is None else Secret(self.service_token)

    @property
    def feed_rules(self) -> UrlRules:
        """What feeds may be fetched: the public Internet, and a mirror indoors that the operator has named instead."""
        named = {self.litellm_url, self.openrouter_url} - {LITELLM_URL, OPENROUTER_URL, ""}
        return UrlRules(frozenset(urlsplit(url).netloc.lower() for url in named))

    @property
    def provider_rules(self) -> UrlRules:
        """What providers may be asked for their lists."""
        return rules_of(self.provider_allowed_hosts)
