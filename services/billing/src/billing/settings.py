"""What the billing service reads from its environment."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from common.secret import Secret
from common.settings import (
    DatabaseServiceSettings,
    HttpUrl,
    NatsUrl,
    Port,
    PostgresUrl,
    RedisUrl,
    Seconds,
    Settings,
    text_in,
)
from common.urls import UrlRules
from pydantic import Field, field_validator
from pydantic_settings import SettingsConfigDict

_BILLED = ("openai", "anthropic", "openrouter")
_KEY = r"[!-~]{8,512}"
AdminKey = Annotated[str | None, Field(pattern=rf"^{_KEY}$")]


class RebuildSettings(Settings):
    """What `python -m billing rebuild` reads: the tables' owner, and the bus."""

    owner_url: PostgresUrl = Field(
        validation_alias="DATABASE_URL", description="Postgres, as the owner of billing's tables"
    )
    nats_url: NatsUrl = Field(validation_alias="NATS_URL", description="NATS server with the stream USAGE")


class BillingSettings(DatabaseServiceSettings):
    """Settings of the billing service. A variable that is set to nothing counts as not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

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
    simulator_url: HttpUrl | None = Field(
        default=None,
        validation_alias="SIMULATOR_URL",
        description="simulator that bills for providers without an admin key; for development only",
    )
    openai_admin_key: AdminKey = Field(
        default=None,
        repr=False,
        validation_alias="BILLING_OPENAI_ADMIN_KEY",
        description="OpenAI admin key that its costs and usage are fetched with",
    )
    anthropic_admin_key: AdminKey = Field(
        default=None,
        repr=False,
        validation_alias="BILLING_ANTHROPIC_ADMIN_KEY",
        description="Anthropic admin key that its cost report is fetched with",
    )
    openrouter_admin_key: AdminKey = Field(
        default=None,
        repr=False,
        validation_alias="BILLING_OPENROUTER_ADMIN_KEY",
        description="OpenRouter management key that its activity is fetched with",
    )
    bills_after_hours: int | None = Field(
        default=None,
        ge=1,
        le=23,
        validation_alias="BILLING_FETCH_BILLS_AFTER",
        description="hours after midnight UTC at which yesterday's bills are fetched with the admin keys; empty: never",
    )
    admin_keys_dir: Path | None = Field(
        default=None,
        validation_alias="BILLING_ADMIN_KEYS_DIR",
        description="a folder whose files are those admin keys, each named like its variable; they go before variables",
    )

    @field_validator("admin_keys_dir")
    @classmethod
    def _has_usable_files(cls, value: Path | None) -> Path | None:
        for name in _BILLED if value is not None else ():
            text = _in_file(value, name)
            if text is not None and not re.fullmatch(_KEY, text):
                raise ValueError(f"has a file {_variable(name)} that is no key")
        return value

    @property
    def admin_keys(self) -> dict[str, Secret]:
        """The admin keys that are given, by provider type; a file goes before a variable."""
        found = {name: _in_file(self.admin_keys_dir, name) or getattr(self, f"{name}_admin_key") for name in _BILLED}
        return {name: Secret(key) for name, key in found.items() if key}

    @property
    def bill_rules(self) -> UrlRules:
        """Where bills may be fetched: the public Internet, and the simulator."""
        return UrlRules(frozenset({urlsplit(self.simulator_url).netloc.lower()} if self.simulator_url else ()))


def _variable(provider_type: str) -> str:
    return f"BILLING_{provider_type.upper()}_ADMIN_KEY"


def _in_file(folder: Path | None, provider_type: str) -> str | None:
    path = (folder or Path()) / _variable(provider_type)
    return text_in(path) if folder is not None and path.is_file() else None
