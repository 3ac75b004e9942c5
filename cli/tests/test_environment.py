"""What each service is started with: its own secrets, nobody else's, and nothing by inheritance."""

from __future__ import annotations

from pathlib import Path

import pytest
from common.contracts.topology import SERVICES
from common.settings import SettingsError, read
from tollgate.environment import SIMULATOR, STARTED, Addresses, Environments, password_of, role_url
from tollgate.errors import RunnerError
from tollgate.home import Home
from tollgate.kept import Secrets
from tollgate.settings import RunnerSettings
from tollgate.stack import choose_ports, given_servers, own_servers

CALLER = {
    "PATH": "/bin",
    "LC_ALL": "C.UTF-8",
    "SSL_CERT_FILE": "/etc/ca.pem",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
    "OPENAI_API_KEY": "sk-openai-secret",
    "AWS_SECRET_ACCESS_KEY": "aws-secret",
    "GITHUB_TOKEN": "gh-secret",
    "DATABASE_URL": "postgresql://owner:owner-secret@db:5432/tollgate",
    "PROVIDER_REQUEST_TIMEOUT": "30s",
    "BILLING_LOG_LEVEL": "debug",
}
BY_NAME = {service.name: service for service in STARTED}


def environments(own: frozenset[str] = frozenset(), **more: str) -> Environments:
    """Made as the runner makes them, with ports 21000 upwards; `own`: the servers that are not given."""
    addresses = Addresses(
        database_url="postgresql://owner:owner-secret@db:5432/tollgate?sslmode=require",
        nats_url="nats://n",
        redis_url="redis://r",
        cache_redis_url="redis://c",
        ports={service.name: 21000 + number for number, service in enumerate(STARTED)},
        own=own,
    )
    return Environments(CALLER | more, read(RunnerSettings), Secrets(), addresses, Home(Path("/srv/x/.tollgate")))


def test_no_service_gets_the_owners_database_url_or_a_strangers_secret() -> None:
    made = environments()
    for service in STARTED:
        text = str(made.of(service))
        assert "owner-secret" not in text, service.name
        assert "aws-secret" not in text, service.name
        assert "gh-secret" not in text, service.name


def test_only_keyvault_gets_provider_keys_and_the_keys_to_everything() -> None:
    made = environments()
    secret_names = {"OPENAI_API_KEY", "BYOK_ENCRYPTION_KEYS", "JWT_PRIVATE_KEY", "TOLLGATE_ADMIN_PASSWORD"}
    for service in STARTED:
        assert (secret_names & set(made.of(service))) == (secret_names if service.name == "keyvault" else set())


def test_a_service_token_goes_to_its_service_and_to_keyvault() -> None:
    made = environments()
    holders = {
        name: {service.name for service in STARTED if f"{name}_SERVICE_TOKEN" in made.of(service)}
        for name in ("GATEWAY", "CATALOG_SYNC")
    }
    assert holders == {"GATEWAY": {"gateway", "keyvault"}, "CATALOG_SYNC": {"catalog-sync", "keyvault"}}
    assert made.of(BY_NAME["gateway"])["GATEWAY_SERVICE_TOKEN"] == made.of(BY_NAME["keyvault"])["GATEWAY_SERVICE_TOKEN"]


def test_each_service_logs_in_to_the_database_as_itself() -> None:
    made = environments()
    url = made.of(BY_NAME["catalog-sync"])["CATALOG_SYNC_DATABASE_URL"]
    password = made.secrets.role_passwords["catalog_sync"]
    assert url == f"postgresql://catalog_sync:{password}@db:5432/tollgate?sslmode=require"
    assert not [name for name in made.of(BY_NAME["gateway"]) if name.endswith("DATABASE_URL")]
    for service in STARTED:
        urls = [name for name in made.of(service) if name.endswith("_DATABASE_URL")]
        assert urls == ([f"{service.prefix}_DATABASE_URL"] if service.has_schema else [])


def test_each_service_logs_in_to_own_servers_as_itself_and_to_given_ones_as_their_url_says() -> None:
    made = environments(frozenset({"NATS_URL", "CACHE_REDIS_URL"}))
    gateway, billing = made.of(BY_NAME["gateway"]), made.of(BY_NAME["billing"])
    assert gateway["NATS_URL"] == f"nats://gateway:{made.secrets.nats_passwords['gateway']}@n"
    assert gateway["CACHE_REDIS_URL"] == f"redis://gateway:{made.secrets.cache_redis_passwords['gateway']}@c"
    assert gateway["REDIS_URL"] == billing["REDIS_URL"] == "redis://r"
    assert billing["NATS_URL"] == f"nats://billing:{made.secrets.nats_passwords['billing']}@n"


def test_a_service_is_given_no_server_that_it_has_no_business_with() -> None:
    made = environments()
    holders = {
        name: {service.name for service in STARTED if name in made.of(service)}
        for name in ("REDIS_URL", "CACHE_REDIS_URL")
    }
    assert holders == {"REDIS_URL": {"gateway", "billing", "keyvault"}, "CACHE_REDIS_URL": {"gateway", "catalog-sync"}}


def test_a_given_role_url_is_passed_on_and_names_the_roles_password() -> None:
    made = environments(BILLING_DATABASE_URL="postgresql://billing:p%40ss@elsewhere/x")
    assert made.of(BY_NAME["billing"])["BILLING_DATABASE_URL"] == "postgresql://billing:p%40ss@elsewhere/x"
    assert made.role_passwords()["billing"] == "p@ss"
    assert made.role_passwords()["keyvault"] == made.secrets.role_passwords["keyvault"]


def test_services_find_each_other_and_their_servers() -> None:
    gateway = environments().of(BY_NAME["gateway"])
    assert gateway["NATS_URL"] == "nats://n"
    assert gateway["REDIS_URL"] == "redis://r"
    assert gateway["CACHE_REDIS_URL"] == "redis://c"
    ports = {service.name: 21000 + number for number, service in enumerate(STARTED)}
    for name in ("keyvault", "catalog-sync", "billing", "analytics", "simulator"):
        assert gateway[f"{BY_NAME[name].prefix}_URL"] == f"http://127.0.0.1:{ports[name]}"
    assert gateway["GATEWAY_HTTP_PORT"] == str(ports["gateway"])
    assert gateway["GATEWAY_JOURNAL_DIR"] == "/srv/x/.tollgate/journal"


def test_the_simulator_knows_nothing_but_its_own_settings() -> None:
    made = environments().of(SIMULATOR)
    assert set(made) - set(CALLER) == {"SIMULATOR_HTTP_PORT", "SIMULATOR_JOURNAL", "PYTHONUNBUFFERED"}
    assert "OPENAI_API_KEY" not in made


def test_what_the_caller_sets_for_a_service_reaches_that_service_alone() -> None:
    made = environments()
    assert made.of(BY_NAME["billing"])["BILLING_LOG_LEVEL"] == "debug"
    assert "BILLING_LOG_LEVEL" not in made.of(BY_NAME["gateway"])
    assert made.of(BY_NAME["gateway"])["PROVIDER_REQUEST_TIMEOUT"] == "30s"
    for service in STARTED:
        assert made.of(service)["SSL_CERT_FILE"] == "/etc/ca.pem"
        assert made.of(service)["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://127.0.0.1:4318"


def test_a_given_encryption_key_takes_the_place_of_the_made_up_one() -> None:
    keyvault = environments(ENCRYPTION_KEY="mine", SIGNUP="closed").of(BY_NAME["keyvault"])
    assert keyvault["ENCRYPTION_KEY"] == "mine"
    assert "BYOK_ENCRYPTION_KEYS" not in keyvault
    assert keyvault["SIGNUP"] == "closed"


def test_a_login_is_replaced_whatever_it_contains() -> None:
    url = role_url("postgresql://o%40x:p%2F%3A@h:1/db?a=b", "billing", "s/e:c@ret")
    assert url == "postgresql://billing:s%2Fe%3Ac%40ret@h:1/db?a=b"
    assert password_of(url) == "s/e:c@ret"


def test_every_service_of_the_topology_is_started_once() -> None:
    assert sorted(service.name for service in STARTED) == sorted([*(service.name for service in SERVICES), "simulator"])


def test_servers_can_be_given_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "POSTGRES_SERVER": "db",
        "POSTGRES_USER": "me",
        "POSTGRES_PASSWORD": "a/b",
        "REDIS_ADDRESS": "cache:7000",
        "REDIS_PASSWORD": "r@r",
        "REDIS_DB": "3",
        "NATS_URL": "",
    }.items():
        monkeypatch.setenv(name, value)
    assert given_servers(read(RunnerSettings)) == {
        "DATABASE_URL": "postgresql://me:a%2Fb@db:5432/tollgate",
        "REDIS_URL": "redis://:r%40r@cache:7000/3",
    }


def test_what_is_given_is_not_started(tmp_path: Path) -> None:
    ports = {"postgres": 1, "nats": 2, "nats-monitoring": 3, "redis": 4, "cache-redis": 5}
    own = own_servers({"DATABASE_URL": "x", "REDIS_URL": "y"}, Home(tmp_path), Secrets(), ports)
    assert [server.name for server in own] == ["nats", "cache-redis"]


@pytest.mark.parametrize("value", ["http", "0", "70000"])
def test_a_wrong_port_stops_the_start_naming_the_setting(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("GATEWAY_HTTP_PORT", value)
    with pytest.raises(SettingsError, match=r"^GATEWAY_HTTP_PORT is wrong: "):
        read(RunnerSettings)


def test_a_taken_port_is_named_with_the_setting_that_changes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    home = Home(tmp_path)
    home.make()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        monkeypatch.setenv("GATEWAY_HTTP_PORT", str(port))
        with pytest.raises(RunnerError, match=f"port {port} is taken: .*GATEWAY_HTTP_PORT"):
            choose_ports(read(RunnerSettings), {}, home)
    assert choose_ports(read(RunnerSettings), {}, home)["gateway"] == port
    with pytest.raises(RunnerError, match="BILLING_HTTP_PORT should be a port"):
        choose_ports(read(RunnerSettings), {"BILLING_HTTP_PORT": "x"}, home)
