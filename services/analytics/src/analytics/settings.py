"""What the analytics service reads from its environment."""

from __future__ import annotations

from common.settings import DatabaseServiceSettings, Port, PostgresUrl
from pydantic import Field


class AnalyticsSettings(DatabaseServiceSettings):
    """Settings of the analytics service."""

    http_host: str = Field(
        default="127.0.0.1", validation_alias="ANALYTICS_HTTP_HOST", description="address that analytics listens on"
    )
    http_port: Port = Field(default=8084, validation_alias="ANALYTICS_HTTP_PORT", description="port of analytics")
    database_url: PostgresUrl = Field(
        validation_alias="ANALYTICS_DATABASE_URL", description="Postgres, as the role of the schema analytics"
    )
