"""The runner's settings, and the caller's environment from which the services' settings are chosen.

The only file of the package that reads the environment. What a service is given of it is `environment`'s.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from common.settings import NatsUrl, Port, PostgresUrl, RedisUrl, Settings
from pydantic import Field
from pydantic_settings import SettingsConfigDict

_POSTGRES_PORT = 5432
_REDIS_PORT = 6379


class RunnerSettings(Settings):
    """Where the runner keeps its state, which servers are given, where the gateway listens, who the first users are."""

    model_config = SettingsConfigDict(env_ignore_empty=True)

    home: Path = Field(default=Path(".tollgate"), validation_alias="TOLLGATE_HOME", description="The runner's folder.")
    database_url: PostgresUrl | None = Field(
        default=None, validation_alias="DATABASE_URL", description="A PostgreSQL owner's URL; own server when not set."
    )
    postgres_server: str | None = Field(
        default=None, validation_alias="POSTGRES_SERVER", description="Host or host:port, instead of DATABASE_URL."
    )
    postgres_user: str = Field(
        default="postgres", validation_alias="POSTGRES_USER", description="With POSTGRES_SERVER."
    )
    postgres_password: str = Field(
        default="", validation_alias="POSTGRES_PASSWORD", description="With POSTGRES_SERVER."
    )
    postgres_db: str = Field(default="tollgate", validation_alias="POSTGRES_DB", description="With POSTGRES_SERVER.")
    nats_url: NatsUrl | None = Field(
        default=None, validation_alias="NATS_URL", description="A NATS server ≥ 2.14 with JetStream; own when not set."
    )
    redis_url: RedisUrl | None = Field(
        default=None, validation_alias="REDIS_URL", description="The Redis of limits and budgets; own when not set."
    )
    redis_address: str | None = Field(
        default=None, validation_alias="REDIS_ADDRESS", description="Host or host:port, instead of REDIS_URL."
    )
    redis_password: str = Field(default="", validation_alias="REDIS_PASSWORD", description="With REDIS_ADDRESS.")
    redis_db: int = Field(default=0, ge=0, validation_alias="REDIS_DB", description="With REDIS_ADDRESS.")
    cache_redis_url: RedisUrl | None = Field(
        default=None, validation_alias="CACHE_REDIS_URL", description="The Redis of caches; own when not set."
    )
    gateway_host: str = Field(
        default="127.0.0.1", validation_alias="GATEWAY_HTTP_HOST", description="Where the front door listens."
    )
    gateway_port: Port = Field(
        default=8080, validation_alias="GATEWAY_HTTP_PORT", description="The port of the front door."
    )
    url: str | None = Field(
        default=None,
        validation_alias="TOLLGATE_URL",
        description="A running Tollgate for the commands; else run.json's.",
    )
    admin_email: str = Field(
        default="admin@example.com", validation_alias="TOLLGATE_ADMIN_EMAIL", description="The first admin."
    )
    admin_password: str | None = Field(
        default=None,
        validation_alias="TOLLGATE_ADMIN_PASSWORD",
        description="The first admin's; generated when not set.",
    )
    demo_email: str = Field(
        default="demo@example.com", validation_alias="TOLLGATE_DEMO_EMAIL", description="An ordinary user to try with."
    )
    demo_password: str | None = Field(
        default=None, validation_alias="TOLLGATE_DEMO_PASSWORD", description="The demo user's; generated when not set."
    )

    @property
    def given_database_url(self) -> str | None:
        """DATABASE_URL, or the same put together from POSTGRES_SERVER and its companions."""
        if self.database_url or not self.postgres_server:
            return self.database_url
        login = _login(self.postgres_user, self.postgres_password)
        return f"postgresql://{login}@{_with_port(self.postgres_server, _POSTGRES_PORT)}/{quote(self.postgres_db, safe='')}"

    @property
    def given_by(self) -> dict[str, str]:
        """Which variable gave a URL that another one usually gives."""
        return {
            **({"DATABASE_URL": "POSTGRES_SERVER"} if not self.database_url else {}),
            **({"REDIS_URL": "REDIS_ADDRESS"} if not self.redis_url else {}),
        }

    @property
    def given_redis_url(self) -> str | None:
        """REDIS_URL, or the same put together from REDIS_ADDRESS and its companions."""
        if self.redis_url or not self.redis_address:
            return self.redis_url
        login = f"{_login('', self.redis_password)}@" if self.redis_password else ""
        return f"redis://{login}{_with_port(self.redis_address, _REDIS_PORT)}/{self.redis_db}"


def caller_environment() -> dict[str, str]:
    """A copy of the environment we were called with; empty values count as absent."""
    return {name: value for name, value in os.environ.items() if value}


def _login(user: str, password: str) -> str:
    return f"{quote(user, safe='')}:{quote(password, safe='')}"


def _with_port(address: str, port: int) -> str:
    return address if ":" in address else f"{address}:{port}"
