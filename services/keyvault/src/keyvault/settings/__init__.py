"""keyvault's settings: where its servers are, the keys it signs and encrypts with, who may fetch secrets, the first admin.

Each provider's usual variable (`OPENAI_API_KEY` and its like) is a setting, too: one field a row of the provider table,
so that a new row needs nothing here. Kinds of values stand in `kinds`, single sign-on in `oidc`,
another place for provider keys in `shelf`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from common.providers.registry import PROVIDERS
from common.secret import Secret
from common.settings import HttpUrl, Port, PostgresUrl, RedisUrl, text_in
from common.urls import LOCAL_HOSTS, AllowedHosts, UrlRules, rules_of
from pydantic import Field, ValidationInfo, create_model, field_validator
from pydantic_settings import SettingsConfigDict

from keyvault.domain.encryption import check_master_key
from keyvault.domain.reminders import ReminderRules
from keyvault.settings.kinds import Email, Password, ProviderKey, SecretText, ServiceToken, SigningKey, provider_key
from keyvault.settings.shelf import ShelfSettings

if TYPE_CHECKING:
    ProviderKeySettings = ShelfSettings
else:
    ProviderKeySettings = create_model(
        "ProviderKeySettings",
        __base__=ShelfSettings,
        __module__=__name__,
        **{
            f"{row.type}_api_key": (
                ProviderKey | None,
                Field(default=None, validation_alias=row.env, description=f"the system's key with {row.display_name}"),
            )
            for row in PROVIDERS.values()
            if row.env
        },
    )


class KeyvaultSettings(ProviderKeySettings):
    """What keyvault is told by its environment. A variable that is set to nothing counts as not set."""

    model_config = SettingsConfigDict(env_ignore_empty=True, arbitrary_types_allowed=True)

    http_host: str = Field(
        default="127.0.0.1", validation_alias="KEYVAULT_HTTP_HOST", description="address that keyvault listens on"
    )
    http_port: Port = Field(
        default=8083, validation_alias="KEYVAULT_HTTP_PORT", description="port that keyvault listens on"
    )
    database_url: PostgresUrl = Field(
        validation_alias="KEYVAULT_DATABASE_URL", description="Postgres, as keyvault's own role"
    )
    redis_url: RedisUrl = Field(
        validation_alias="REDIS_URL", description="the gateways' Redis, where refused keys are marked"
    )
    jwt_private_key: SigningKey = Field(
        validation_alias="JWT_PRIVATE_KEY",
        description="Ed25519 key that signs sessions: PEM, or base64url of its 32 bytes",
    )
    encryption_key: SecretText | None = Field(
        default=None, validation_alias="ENCRYPTION_KEY", description="a Fernet key; BYOK_ENCRYPTION_KEYS is preferred"
    )
    byok_encryption_key: SecretText | None = Field(
        default=None,
        validation_alias="BYOK_ENCRYPTION_KEY",
        description="a Fernet key; BYOK_ENCRYPTION_KEYS is preferred",
    )
    byok_encryption_keys_file: Path | None = Field(
        default=None,
        validation_alias="BYOK_ENCRYPTION_KEYS_FILE",
        description="a file with those Fernet keys, newest first, one a line; preferred, since processes inherit no file",
    )
    provider_keys_dir: Path | None = Field(
        default=None,
        validation_alias="PROVIDER_KEYS_DIR",
        description="a folder whose files are the system's keys with providers, each named like its variable",
    )
    byok_encryption_keys: SecretText | None = Field(
        default=None,
        validate_default=True,
        validation_alias="BYOK_ENCRYPTION_KEYS",
        description="Fernet keys that stored credentials are encrypted with, newest first, separated by commas",
    )
    gateway_token: ServiceToken = Field(
        validation_alias="GATEWAY_SERVICE_TOKEN",
        description="by which the gateway proves itself; at least 32 characters",
    )
    catalog_sync_token: ServiceToken = Field(
        validation_alias="CATALOG_SYNC_SERVICE_TOKEN",
        description="by which catalog-sync proves itself; at least 32 characters",
    )
    signup: Literal["open", "closed"] = Field(
        default="closed", validation_alias="SIGNUP", description="whether people may make their own accounts"
    )
    simulator_url: HttpUrl | None = Field(
        default=None,
        validation_alias="SIMULATOR_URL",
        description="simulator that answers for providers without a key; for development only",
    )
    provider_allowed_hosts: AllowedHosts = Field(
        default="",
        validation_alias="PROVIDER_ALLOWED_HOSTS",
        description="hosts (host or host:port, separated by commas) that providers' URLs may name though they are private",
    )
    remind_age_days: int = Field(
        default=90,
        ge=1,
        validation_alias="KEYVAULT_REMIND_AGE_DAYS",
        description="days after which a provider key is old",
    )
    remind_unused_days: int = Field(
        default=90,
        ge=1,
        validation_alias="KEYVAULT_REMIND_UNUSED_DAYS",
        description="days without a call after which a provider key counts as unused",
    )
    remind_expiry_days: int = Field(
        default=14,
        ge=1,
        validation_alias="KEYVAULT_REMIND_EXPIRY_DAYS",
        description="days before a provider key's end at which people are told of it",
    )
    admin_password: Password | None = Field(
        default=None,
        validation_alias="TOLLGATE_ADMIN_PASSWORD",
        description="password of the first admin, used when that account is made",
    )
    admin_email: Email | None = Field(
        default=None,
        validate_default=True,
        validation_alias="TOLLGATE_ADMIN_EMAIL",
        description="address of the first admin, who is made at start when missing",
    )

    @field_validator("provider_keys_dir")
    @classmethod
    def _has_usable_files(cls, value: Path | None) -> Path | None:
        for row in PROVIDERS.values() if value is not None else ():
            path = Path(value or "") / row.env
            if row.env and path.is_file():
                provider_key(Secret(text_in(path)))
        return value

    @field_validator("byok_encryption_keys")
    @classmethod
    def _has_master_key(cls, value: Secret | None, others: ValidationInfo) -> Secret | None:
        in_file = _in_file(others.data.get("byok_encryption_keys_file"))
        found = [in_file, value, others.data.get("byok_encryption_key"), others.data.get("encryption_key")]
        if not [key for group in found for key in _master_keys(group)]:
            raise ValueError("is not set: Fernet keys that credentials are encrypted with, separated by commas")
        return value

    @field_validator("admin_email")
    @classmethod
    def _has_password(cls, value: str | None, others: ValidationInfo) -> str | None:
        if "admin_password" in others.data and (value is None) != (others.data["admin_password"] is None):
            raise ValueError("TOLLGATE_ADMIN_EMAIL and TOLLGATE_ADMIN_PASSWORD go together")
        return value

    @property
    def master_keys(self) -> tuple[Secret, ...]:
        """The keys that credentials are encrypted with, newest first, each once."""
        in_file = _in_file(self.byok_encryption_keys_file)
        found = (in_file, self.byok_encryption_keys, self.byok_encryption_key, self.encryption_key)
        by_text = {key.reveal(): key for group in found for key in _master_keys(group)}
        return tuple(by_text.values())

    @property
    def reminders(self) -> ReminderRules:
        """When people are reminded of provider keys."""
        return ReminderRules(self.remind_age_days, self.remind_unused_days, self.remind_expiry_days)

    @property
    def url_rules(self) -> UrlRules:
        """Which URLs people may give; this machine's own only in development."""
        return rules_of(self.provider_allowed_hosts, LOCAL_HOSTS if self.simulator_url else "")

    @property
    def probe_rules(self) -> UrlRules:
        """Which URLs keys are tried at: those, the simulator, and where the table of providers itself says."""
        places = [self.simulator_url or "", *(row.base_url for row in PROVIDERS.values())]
        return UrlRules(self.url_rules.allowed | {urlsplit(place).netloc for place in places if place})

    @property
    def provider_keys(self) -> dict[str, Secret]:
        """The keys that the environment gives, by provider type; a file goes before a variable of the same name."""
        found = {row.type: getattr(self, f"{row.type}_api_key", None) for row in PROVIDERS.values()}
        if self.provider_keys_dir is not None:
            files = {row.type: self.provider_keys_dir / row.env for row in PROVIDERS.values() if row.env}
            found |= {name: provider_key(Secret(text_in(path))) for name, path in files.items() if path.is_file()}
        return {provider_type: secret for provider_type, secret in found.items() if secret is not None}


def _in_file(path: Path | None) -> Secret | None:
    """The master keys of a file, as a setting would have them."""
    return None if path is None else Secret(",".join(text_in(path).split()))


def _master_keys(group: Secret | None) -> list[Secret]:
    parts = [part.strip() for part in group.reveal().split(",")] if group is not None else []
    return [check_master_key(part) for part in parts if part]
