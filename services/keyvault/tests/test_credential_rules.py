"""The rules of credentials: which URLs, which hosts, what the gateway is told."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from common.providers.registry import PROVIDERS
from common.secret import Secret
from common.urls import LOCAL_HOSTS, ForbiddenUrl, UrlRules, rules_of
from keyvault.domain.credentials import (
    Credential,
    UnsupportedProvider,
    call_url,
    check_base_url,
    is_simulators,
    masked,
    provider_row,
    snapshot_of,
    stand_in_secret,
)

NOW = datetime(2026, 11, 21, tzinfo=UTC)
REAL = Credential("c", "groq", None, "Groq", "f1", 1, "2345", None, False, True, "active", "api", NOW, NOW, NOW)
SIMULATED = replace(REAL, on_simulator=True, source="simulator")
SIMULATOR = "http://127.0.0.1:8090"
IN_DEVELOPMENT = rules_of(LOCAL_HOSTS)


@pytest.mark.parametrize("url", ["https://api.example.com", "https://api.example.com/v1/", "https://8.8.8.8:8443/v1"])
def test_a_public_https_url_is_taken_without_its_last_slash(url: str) -> None:
    assert check_base_url(url, UrlRules()) == url.rstrip("/")


REFUSED = [
    "",
    "api.example.com",
    "ftp://api.example.com",
    "http://api.example.com",
    "https://user@api.example.com",
    "https://user:pass@api.example.com",
    "https://api.example.com?x=1",
    "https://api.example.com#x",
    "https://",
    "https://api.example.com:port",
    "https://api.example.com:99999",
    "https://api.exa mple.com",
    "https://api.example.com/\n",
    "https://äpi.example.com",
    "https://[::1",
    "javascript:alert(1)",
]
PRIVATE = [
    "https://localhost",
    "https://127.0.0.1/v1",
    "https://[::1]/v1",
    "https://10.0.0.1",
    "https://192.168.1.1",
    "https://169.254.169.254/latest",
    "https://[fd00::1]",
    "https://[::ffff:10.0.0.1]",
    "https://0.0.0.0",
    "https://metadata.google.internal",
    "https://printer.local",
]


@pytest.mark.parametrize("url", [*REFUSED, *PRIVATE])
@pytest.mark.parametrize("is_development", [True, False])
def test_a_url_that_must_not_be_called_is_refused(url: str, is_development: bool) -> None:
    if is_development and url in PRIVATE[:3]:
        assert check_base_url(url, IN_DEVELOPMENT) == url
        return
    with pytest.raises(ForbiddenUrl):
        check_base_url(url, IN_DEVELOPMENT if is_development else UrlRules())


def test_this_machine_is_reached_by_http_in_development_only() -> None:
    assert check_base_url("http://localhost:8090/v1", IN_DEVELOPMENT) == "http://localhost:8090/v1"
    with pytest.raises(ForbiddenUrl):
        check_base_url("http://localhost:8090/v1", UrlRules())


def test_a_secret_is_bound_to_its_host() -> None:
    assert REAL.allowed_host == "api.groq.com"
    assert replace(REAL, base_url="https://Proxy.Example.com:8443/v1").allowed_host == "proxy.example.com:8443"
    assert SIMULATED.allowed_host == "simulator"
    assert replace(REAL, owner_user_id="u").binding.tenant == "u"
    assert REAL.binding.tenant == "system"


def test_calls_go_to_the_provider_or_to_its_place_on_the_simulator() -> None:
    assert call_url(REAL, SIMULATOR) == "https://api.groq.com/openai/v1"
    assert call_url(SIMULATED, SIMULATOR) == "http://127.0.0.1:8090/groq/openai/v1"
    assert call_url(replace(SIMULATED, provider_type="deepseek"), SIMULATOR + "/") == "http://127.0.0.1:8090/deepseek"
    assert call_url(SIMULATED, None) == "https://api.groq.com/openai/v1"


def test_the_snapshot_says_simulator_only_while_there_is_one() -> None:
    assert snapshot_of(SIMULATED, SIMULATOR).on_simulator
    assert not snapshot_of(SIMULATED, None).on_simulator
    assert not snapshot_of(REAL, SIMULATOR).on_simulator


def test_the_snapshot_has_no_ciphertext() -> None:
    told = snapshot_of(replace(REAL, ciphertext="f1.kid.token"), None)
    assert "f1.kid.token" not in told.model_dump_json()


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(UnsupportedProvider, match="unsupported provider: nobody"):
        provider_row("nobody")
    assert provider_row("openai") is PROVIDERS["openai"]


def test_stand_ins_are_the_simulators() -> None:
    assert stand_in_secret("groq").reveal() == "sim-ok-groq"
    assert is_simulators(stand_in_secret("groq"))
    assert not is_simulators(Secret("sk-sim-ok"))
    assert masked("2345") == "...2345"
