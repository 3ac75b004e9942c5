"""The gateway's settings."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, urlsplit

from common.http.serve import KEEP_ALIVE_SECONDS
from common.providers.registry import PROVIDERS
from common.secret import Secret
from common.settings import HttpUrl, Port, RedisUrl, Seconds, ServiceSettings
from common.urls import LOCAL_HOSTS, AllowedHosts, UrlRules, rules_of
from pydantic import Field, model_validator


class GatewaySettings(ServiceSettings):
    """What the gateway reads from its environment."""

    http_host: str = Field(
        default="127.0.0.1", validation_alias="GATEWAY_HTTP_HOST", description="address the gateway listens on"
    )
    http_port: Port = Field(
        default=8080, validation_alias="GATEWAY_HTTP_PORT", description="port the gateway listens on"
    )
    redis_url: RedisUrl | None = Field(
        default=None, validation_alias="REDIS_URL", description="Redis for limits and budgets: AOF always, noeviction"
    )
    redis_address: str | None = Field(
        default=None, validation_alias="REDIS_ADDRESS", description="host:port of that Redis, instead of REDIS_URL"
    )
    redis_password: str = Field(
        default="", validation_alias="REDIS_PASSWORD", repr=False, description="password to REDIS_ADDRESS"
    )
    redis_db: int = Field(default=0, ge=0, validation_alias="REDIS_DB", description="database number at REDIS_ADDRESS")
    redis_timeout: Seconds = Field(
        default=1.0, validation_alias="REDIS_TIMEOUT", description="longest wait for Redis, after which calls get 503"
    )
    cache_redis_url: RedisUrl | None = Field(
        default=None,
        validation_alias="CACHE_REDIS_URL",
        description="Redis for answers that are kept: LRU, nothing on disk; without it an Idempotency-Key gets 503",
    )
    keyvault_url: HttpUrl = Field(
        default="http://127.0.0.1:8083", validation_alias="KEYVAULT_URL", description="the keyvault service"
    )
    catalog_sync_url: HttpUrl = Field(
        default="http://127.0.0.1:8082", validation_alias="CATALOG_SYNC_URL", description="the catalog-sync service"
    )
    billing_url: HttpUrl = Field(
        default="http://127.0.0.1:8081", validation_alias="BILLING_URL", description="the billing service"
    )
    analytics_url: HttpUrl = Field(
        default="http://127.0.0.1:8084", validation_alias="ANALYTICS_URL", description="the analytics service"
    )
    simulator_url: HttpUrl | None = Field(
        default=None,
        validation_alias="SIMULATOR_URL",
        description="simulator that answers for providers without a key; never in production",
    )
    provider_allowed_hosts: AllowedHosts = Field(
        default="",
        validation_alias="PROVIDER_ALLOWED_HOSTS",
        description="hosts (host or host:port, separated by commas) that providers' URLs may name though they are private",
    )
    service_token: str = Field(
        min_length=32,
        repr=False,
        validation_alias="GATEWAY_SERVICE_TOKEN",
        description="shows keyvault that this is the gateway; at least 32 characters",
    )
    journal_dir: Path = Field(
        default=Path("journal"),
        validation_alias="GATEWAY_JOURNAL_DIR",
        description="folder for events while NATS and Redis are away",
    )
    journal_max_bytes: int = Field(
        default=1 << 30, ge=1 << 16, validation_alias="GATEWAY_JOURNAL_MAX_BYTES", description="most bytes in there"
    )
    error_codes: Literal["http", "openai"] = Field(
        default="http",
        validation_alias="GATEWAY_ERROR_CODES",
        description="`http`: refusals carry their status as code; `openai`: OpenAI's own codes and statuses",
    )
    max_body_bytes: int = Field(
        default=64 << 20, ge=1024, validation_alias="GATEWAY_MAX_BODY_BYTES", description="largest request body"
    )
    max_answer_bytes: int = Field(
        default=64 << 20, ge=1024, validation_alias="GATEWAY_MAX_ANSWER_BYTES", description="largest whole answer"
    )
    max_running: int = Field(
        default=4096, ge=1, validation_alias="GATEWAY_MAX_RUNNING", description="calls at once; more are shed with 503"
    )
    request_timeout: Seconds = Field(
        default=60.0,
        validation_alias="PROVIDER_REQUEST_TIMEOUT",
        description="longest wait for a provider's first byte, and between two chunks",
    )
    total_timeout: Seconds = Field(
        default=600.0, validation_alias="PROVIDER_TOTAL_TIMEOUT", description="longest an attempt may take as a whole"
    )
    connect_timeout: Seconds = Field(
        default=5.0, validation_alias="PROVIDER_CONNECT_TIMEOUT", description="longest wait for a connection"
    )
    reload_interval: Seconds = Field(
        default=300.0, validation_alias="PROVIDER_RELOAD_INTERVAL", description="full re-read of all mirrors, every"
    )
    cache_model_size: int = Field(
        default=500, ge=1, validation_alias="CACHE_MODEL_SIZE", description="most compiled plans kept"
    )
    cache_model_ttl: Seconds = Field(
        default=900.0, validation_alias="CACHE_MODEL_TTL", description="longest a compiled plan is kept"
    )
    cors_origins: str = Field(
        default="", validation_alias="CORS_ORIGINS", description="origins of browsers that may call, comma-separated"
    )
    keep_alive_seconds: int = Field(
        default=KEEP_ALIVE_SECONDS,
        ge=1,
        validation_alias="GATEWAY_KEEP_ALIVE_SECONDS",
        description="how long a client's idle connection stays open: longer than a load balancer in front keeps one",
    )
    drain_seconds: int = Field(
        default=30, ge=1, validation_alias="GATEWAY_DRAIN_SECONDS", description="time for running calls at shutdown"
    )

    @model_validator(mode="after")
    def _has_redis(self) -> Self:
        if self.redis_url is None and self.redis_address is None:
            raise ValueError("REDIS_URL (or REDIS_ADDRESS) is not set: Redis for limits and budgets")
        return self

    @property
    def redis(self) -> str:
        """The URL of the Redis that holds limits and budgets."""
        if self.redis_url is not None:
            return self.redis_url
        password = f":{quote(self.redis_password, safe='')}@" if self.redis_password else ""
        return f"redis://{password}{self.redis_address}/{self.redis_db}"

    @property
    def url_rules(self) -> UrlRules:
        """Where calls may go: the public Internet, and indoors where the operator or the table of providers says."""
        rows = (urlsplit(row.base_url).netloc for row in PROVIDERS.values())
        simulated = f"{LOCAL_HOSTS},{urlsplit(self.simulator_url).netloc}" if self.simulator_url else ""
        return rules_of(self.provider_allowed_hosts, simulated, *rows)

    @property
    def token(self) -> Secret:
        """The service token, so that it does not show."""
        return Secret(self.service_token)
