"""Settings of AWS Secrets Manager as a place where the system's provider keys are kept; off unless a prefix is set."""

from __future__ import annotations

from common.providers.sigv4 import AccessKey
from common.settings import HttpUrl
from pydantic import Field, ValidationInfo, field_validator

from keyvault.settings.kinds import SecretText
from keyvault.settings.oidc import OidcSettings
from keyvault.sources.shelf import ShelfPlace

_URL = "https://secretsmanager.{region}.amazonaws.com"


class ShelfSettings(OidcSettings):
    """What keyvault is told of the shelf."""

    aws_region: str = Field(
        default="us-east-1",
        pattern=r"^[a-z0-9-]{1,32}$",
        validation_alias="KEYVAULT_AWS_REGION",
        description="region of AWS Secrets Manager",
    )
    aws_access_key_id: str = Field(
        default="",
        validation_alias="KEYVAULT_AWS_ACCESS_KEY_ID",
        description="access key that Secrets Manager is asked with",
    )
    aws_secret_access_key: SecretText | None = Field(
        default=None, validation_alias="KEYVAULT_AWS_SECRET_ACCESS_KEY", description="its secret"
    )
    aws_session_token: SecretText | None = Field(
        default=None,
        validation_alias="KEYVAULT_AWS_SESSION_TOKEN",
        description="its session token, where it is a temporary one",
    )
    aws_secrets_url: HttpUrl | None = Field(
        default=None,
        validation_alias="KEYVAULT_AWS_SECRETS_URL",
        description="where Secrets Manager is, if not at the region's public endpoint",
    )
    aws_secrets_prefix: str | None = Field(
        default=None,
        max_length=256,
        pattern=r"^[A-Za-z0-9/_+=.@-]+$",
        validation_alias="KEYVAULT_AWS_SECRETS_PREFIX",
        description="what stands before OPENAI_API_KEY and its like in AWS Secrets Manager; none: not asked",
    )

    @field_validator("aws_secrets_prefix")
    @classmethod
    def _has_key(cls, value: str | None, others: ValidationInfo) -> str | None:
        if value and not (others.data.get("aws_access_key_id") and others.data.get("aws_secret_access_key")):
            raise ValueError("KEYVAULT_AWS_ACCESS_KEY_ID and KEYVAULT_AWS_SECRET_ACCESS_KEY are needed with it")
        return value

    @property
    def shelf(self) -> ShelfPlace | None:
        """Where provider keys are kept; None: nowhere but here."""
        if not self.aws_secrets_prefix or self.aws_secret_access_key is None:
            return None
        token = self.aws_session_token.reveal() if self.aws_session_token else ""
        key = AccessKey(self.aws_access_key_id, self.aws_secret_access_key.reveal(), token)
        url = self.aws_secrets_url or _URL.format(region=self.aws_region)
        return ShelfPlace(url, self.aws_region, self.aws_secrets_prefix, key)
