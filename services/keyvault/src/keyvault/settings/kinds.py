"""Kinds of settings that keyvault alone has: secrets that are checked at start and never repeated in a message."""

from __future__ import annotations

from typing import Annotated, Any

from common.providers.auth import check_secret
from common.secret import Secret
from pydantic import AfterValidator, PlainValidator

from keyvault.domain.accounts import MAX_PASSWORD_CHARACTERS, MIN_PASSWORD_CHARACTERS, InvalidEmail, clean_email
from keyvault.domain.tokens import read_private_key

MIN_SERVICE_TOKEN_CHARACTERS = 32


def provider_key(value: Secret) -> Secret:
    """A key that a provider could have given; ValueError for what no header can carry."""
    check_secret(value.reveal())
    return value


def _secret(value: Any) -> Secret:
    if not isinstance(value, str):
        raise ValueError("should be text")
    return Secret(value.strip())


def _service_token(value: Secret) -> Secret:
    text = value.reveal()
    if len(text) < MIN_SERVICE_TOKEN_CHARACTERS or not text.isascii() or not text.isprintable():
        raise ValueError(f"should be at least {MIN_SERVICE_TOKEN_CHARACTERS} printable ASCII characters")
    return value


def _signing_key(value: Secret) -> Secret:
    read_private_key(value.reveal())
    return value


def _password(value: Secret) -> Secret:
    if not MIN_PASSWORD_CHARACTERS <= len(value.reveal()) <= MAX_PASSWORD_CHARACTERS:
        raise ValueError(f"should have {MIN_PASSWORD_CHARACTERS} to {MAX_PASSWORD_CHARACTERS} characters")
    return value


def _email(value: str) -> str:
    try:
        return clean_email(value)
    except InvalidEmail:
        raise ValueError("should be an e-mail address") from None


SecretText = Annotated[Secret, PlainValidator(_secret)]
ServiceToken = Annotated[SecretText, AfterValidator(_service_token)]
ProviderKey = Annotated[SecretText, AfterValidator(provider_key)]
SigningKey = Annotated[SecretText, AfterValidator(_signing_key)]
Password = Annotated[SecretText, AfterValidator(_password)]
Email = Annotated[str, AfterValidator(_email)]
