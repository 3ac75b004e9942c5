"""Settings: a wrong or missing one is one line that names it and never shows it."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from common.providers.registry import PROVIDERS
from common.settings import SettingsError, example_of, read
from cryptography.fernet import Fernet
from keyvault.settings import KeyvaultSettings

KEY, OTHER_KEY, THIRD_KEY = (Fernet.generate_key().decode() for _ in range(3))
GOOD = {
    "KEYVAULT_DATABASE_URL": "postgresql://keyvault:pw@127.0.0.1:5432/tollgate",
    "NATS_URL": "nats://127.0.0.1:4222",
    "REDIS_URL": "redis://127.0.0.1:6379/0",
    "JWT_PRIVATE_KEY": base64.urlsafe_b64encode(b"k" * 32).decode(),
    "BYOK_ENCRYPTION_KEYS": KEY,
    "GATEWAY_SERVICE_TOKEN": "g" * 32,
    "CATALOG_SYNC_SERVICE_TOKEN": "c" * 32,
}


@pytest.fixture
def settings_from(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Reads settings from good variables with some changes; None removes one."""
    for name in [
        *(row.env for row in PROVIDERS.values() if row.env),
        "ENCRYPTION_KEY",
        "BYOK_ENCRYPTION_KEY",
        "SIGNUP",
    ]:
        monkeypatch.delenv(name, raising=False)

    def of(**changes: str | None) -> KeyvaultSettings:
        for name, value in {**GOOD, **changes}.items():
            if value is None:
                monkeypatch.delenv(name, raising=False)
            else:
                monkeypatch.setenv(name, value)
        return read(KeyvaultSettings)

    return of


def test_good_settings_are_read(settings_from: Any) -> None:
    settings = settings_from()
    assert (settings.http_port, settings.signup, settings.simulator_url) == (8083, "closed", None)
    assert settings.provider_keys == {}


WRONG = [
    ("KEYVAULT_DATABASE_URL", None),
    ("KEYVAULT_DATABASE_URL", "mysql://x"),
    ("REDIS_URL", None),
    ("REDIS_URL", "127.0.0.1:6379"),
    ("JWT_PRIVATE_KEY", None),
    ("JWT_PRIVATE_KEY", "tooshortkey"),
    ("BYOK_ENCRYPTION_KEYS", None),
    ("BYOK_ENCRYPTION_KEYS", "nofernetkey"),
    ("BYOK_ENCRYPTION_KEYS", f"{KEY},nofernetkey"),
    ("GATEWAY_SERVICE_TOKEN", None),
    ("GATEWAY_SERVICE_TOKEN", "short-token"),
    ("CATALOG_SYNC_SERVICE_TOKEN", None),
    ("CATALOG_SYNC_SERVICE_TOKEN", "ü" * 40),
    ("SIGNUP", "perhaps"),
    ("SIMULATOR_URL", "localhost:8090"),
    ("OPENAI_API_KEY", "sk with spaces"),
    ("TOLLGATE_ADMIN_EMAIL", "root@example.com"),
    ("OIDC_ISSUER", "https://issuer.example.com"),
    ("KEYVAULT_AWS_SECRETS_PREFIX", "tollgate/"),
    ("OIDC_TIER_VALUES", "gold=precious"),
    ("OIDC_SCOPES", "email profile"),
]


@pytest.mark.parametrize(("name", "value"), WRONG, ids=range(len(WRONG)))
def test_a_wrong_setting_is_named_in_one_line_without_its_value(
    settings_from: Any, name: str, value: str | None
) -> None:
    with pytest.raises(SettingsError) as refusal:
        settings_from(**{name: value})
    line = str(refusal.value)
    assert line.startswith(name)
    assert "\n" not in line
    assert value is None or value not in line


OIDC = {
    "OIDC_ISSUER": "https://login.internal/realms/house",
    "OIDC_CLIENT_ID": "tollgate",
    "OIDC_REDIRECT_URL": "https://gateway.example.com/api/auth/oidc/callback",
}


def test_an_issuer_by_plain_http_must_be_allowed_by_name(settings_from: Any) -> None:
    with pytest.raises(SettingsError, match="OIDC_ISSUER is wrong: should begin with https"):
        settings_from(**{**OIDC, "OIDC_ISSUER": "http://login.internal"})
    named = settings_from(**{**OIDC, "OIDC_ISSUER": "http://login.internal", "OIDC_ALLOWED_HOSTS": "login.internal"})
    assert named.oidc_client is not None


def test_what_claims_are_worth_is_read_from_settings(settings_from: Any) -> None:
    settings = settings_from(**OIDC, OIDC_TIER_VALUES="a=b=enterprise, silver=starter", OIDC_ADMIN_VALUES="root, ops")
    assert settings.oidc_claims.tier_values == {"a=b": "enterprise", "silver": "starter"}
    assert settings.oidc_claims.admin_values == {"root", "ops"}
    assert settings.oidc_rules.is_allowed("login.internal", 443)


def test_a_short_admin_password_is_refused(settings_from: Any) -> None:
    with pytest.raises(SettingsError, match="TOLLGATE_ADMIN_PASSWORD is wrong: should have 8 to 1024"):
        settings_from(TOLLGATE_ADMIN_EMAIL="root@example.com", TOLLGATE_ADMIN_PASSWORD="seven77")


def test_master_keys_come_from_three_variables_newest_first_each_once(settings_from: Any) -> None:
    settings = settings_from(
        BYOK_ENCRYPTION_KEYS=f"{KEY}, {OTHER_KEY},", BYOK_ENCRYPTION_KEY=OTHER_KEY, ENCRYPTION_KEY=THIRD_KEY
    )
    assert [key.reveal() for key in settings.master_keys] == [KEY, OTHER_KEY, THIRD_KEY]
    alone = settings_from(BYOK_ENCRYPTION_KEYS=None, BYOK_ENCRYPTION_KEY=None, ENCRYPTION_KEY=THIRD_KEY)
    assert [key.reveal() for key in alone.master_keys] == [THIRD_KEY]


@pytest.mark.parametrize("row", [row for row in PROVIDERS.values() if row.env], ids=lambda row: row.type)
def test_every_providers_usual_variable_is_taken(settings_from: Any, row: Any) -> None:
    settings = settings_from(**{row.env: " sk-from-environment\n"})
    assert {name: key.reveal() for name, key in settings.provider_keys.items()} == {row.type: "sk-from-environment"}


def test_an_empty_variable_counts_as_not_set(settings_from: Any) -> None:
    settings = settings_from(OPENAI_API_KEY="", SIMULATOR_URL="", TOLLGATE_ADMIN_EMAIL="")
    assert (settings.provider_keys, settings.simulator_url, settings.admin_email) == ({}, None, None)


def test_settings_do_not_print_their_secrets(settings_from: Any) -> None:
    settings = settings_from(OPENAI_API_KEY="sk-from-environment")
    printed = repr(settings) + str(settings)
    for secret in (KEY, "g" * 32, "c" * 32, GOOD["JWT_PRIVATE_KEY"], "sk-from-environment"):
        assert secret not in printed


def test_the_example_file_explains_every_variable() -> None:
    example = example_of([KeyvaultSettings])
    for name in (*GOOD, "OPENAI_API_KEY", "SIGNUP", "ENCRYPTION_KEY"):
        assert f"\n{name}=" in f"\n{example}" or f"# {name}=" in example
    assert "***" not in example


def test_master_keys_come_from_a_file_before_all_others(settings_from: Any, tmp_path: Path) -> None:
    path = tmp_path / "master-keys"
    path.write_text(f"{OTHER_KEY}\n{THIRD_KEY}\n")
    settings = settings_from(BYOK_ENCRYPTION_KEYS_FILE=str(path))
    assert [key.reveal() for key in settings.master_keys] == [OTHER_KEY, THIRD_KEY, KEY]
    alone = settings_from(BYOK_ENCRYPTION_KEYS_FILE=str(path), BYOK_ENCRYPTION_KEYS=None)
    assert [key.reveal() for key in alone.master_keys] == [OTHER_KEY, THIRD_KEY]


@pytest.mark.parametrize("content", ["", "no key", b"\xff\xfe", None])
def test_a_file_without_good_master_keys_stops_the_start(settings_from: Any, tmp_path: Path, content: Any) -> None:
    path = tmp_path / "master-keys"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError, match="BYOK_ENCRYPTION_KEYS"):
        settings_from(BYOK_ENCRYPTION_KEYS_FILE=str(path), BYOK_ENCRYPTION_KEYS=None)


def test_provider_keys_come_from_mounted_files_before_variables(settings_from: Any, tmp_path: Path) -> None:
    (tmp_path / "OPENAI_API_KEY").write_text("sk-from-a-file-1111\n")
    (tmp_path / "unrelated").write_text("nothing")
    settings = settings_from(
        PROVIDER_KEYS_DIR=str(tmp_path), OPENAI_API_KEY="sk-from-environment", GROQ_API_KEY="gsk-from-environment"
    )
    found = {name: secret.reveal() for name, secret in settings.provider_keys.items()}
    assert found == {"openai": "sk-from-a-file-1111", "groq": "gsk-from-environment"}
    (tmp_path / "OPENAI_API_KEY").write_text("two words")
    with pytest.raises(SettingsError, match="PROVIDER_KEYS_DIR") as refused:
        settings_from(PROVIDER_KEYS_DIR=str(tmp_path))
    assert "two words" not in str(refused.value)
