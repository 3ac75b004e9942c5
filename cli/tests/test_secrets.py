"""Secrets for containers: to each its own and no more, made once, never changed, in files and in a cluster."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tollgate.commands.secrets import KEPT, Cluster, variables_of, write_files, write_kubernetes
from tollgate.errors import RunnerError
from tollgate.kept import Secrets
from typer.testing import CliRunner

TOKEN = "an-account's-token"
EVERYONE = {
    *("postgres", "nats", "redis", "cache-redis", "migrate", "provision", "seed"),
    *("gateway", "billing", "catalog-sync", "keyvault", "analytics"),
}


def sourced(path: Path, variable: str) -> str:
    """What a shell makes of a variable of an env file."""
    script = f'set -a; . "{path}"; exec env -0'
    said = subprocess.run(["sh", "-c", script], env={}, capture_output=True, text=True, check=True)
    return dict(entry.split("=", 1) for entry in said.stdout.split("\0") if entry)[variable]


def test_each_gets_its_own_secrets_and_the_simulator_none() -> None:
    made = Secrets()
    found = variables_of(made)
    assert set(found) == EVERYONE
    assert found["gateway"] == {
        "NATS_URL": f"nats://gateway:{made.nats_passwords['gateway']}@nats:4222",
        "REDIS_URL": f"redis://gateway:{made.redis_passwords['gateway']}@redis:6379/0",
        "CACHE_REDIS_URL": f"redis://gateway:{made.cache_redis_passwords['gateway']}@cache-redis:6379/0",
        "GATEWAY_SERVICE_TOKEN": made.service_tokens["gateway"],
    }
    assert found["keyvault"]["JWT_PRIVATE_KEY"] == made.jwt_private_key
    assert found["migrate"]["DATABASE_URL"] == f"postgresql://postgres:{made.postgres_password}@postgres:5432/tollgate"
    assert found["migrate"]["BILLING_DATABASE_URL"] == found["billing"]["BILLING_DATABASE_URL"]


def test_nobody_but_keyvault_holds_the_keys_and_no_service_the_owners_login() -> None:
    made = Secrets()
    for name, variables in variables_of(made).items():
        text = json.dumps(variables)
        assert (made.byok_encryption_key in text) == (name == "keyvault")
        assert (json.dumps(made.jwt_private_key) in text) == (name == "keyvault")
        assert (made.postgres_password in text) == (name in {"postgres", "migrate"})
        assert (made.admin_password in text) == (name in {"keyvault", "seed"})
        assert (made.nats_password in text) == (name in {"nats", "provision"})
        assert (made.redis_password in text) == (name == "redis")
        assert (made.cache_redis_password in text) == (name == "cache-redis")


def test_only_secrets_are_written_and_no_other_setting() -> None:
    plain = {"PATH", "GATEWAY_HTTP_PORT", "KEYVAULT_URL", "SIMULATOR_URL", "SIGNUP", "GATEWAY_JOURNAL_DIR"}
    assert not [name for variables in variables_of(Secrets()).values() for name in variables if name in plain]


def test_files_are_private_and_a_shell_reads_what_was_meant(tmp_path: Path) -> None:
    added = write_files(tmp_path)
    kept = json.loads((tmp_path / KEPT / "secrets.json").read_text())
    assert "keyvault/JWT_PRIVATE_KEY" in added
    assert {path.parent.name for path in tmp_path.glob("*/env")} == EVERYONE
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("*/*")} == {0o600}
    assert sourced(tmp_path / "keyvault" / "env", "JWT_PRIVATE_KEY") == kept["jwt_private_key"]
    assert kept["nats_passwords"]["gateway"] in sourced(tmp_path / "gateway" / "env", "NATS_URL")


def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    write_files(tmp_path)
    before = {path: path.read_text() for path in tmp_path.glob("*/*")}
    assert write_files(tmp_path) == []
    assert {path: path.read_text() for path in tmp_path.glob("*/*")} == before


def test_what_is_missing_is_added_and_what_was_changed_by_hand_stays(tmp_path: Path) -> None:
    write_files(tmp_path)
    redis, seed, billing = (tmp_path / name / "env" for name in ("redis", "seed", "billing"))
    before = billing.read_text()
    billing.unlink()
    redis.write_text("REDIS_PASSWORD=mine\n")
    lines = seed.read_text().splitlines(keepends=True)
    seed.write_text(lines[0])
    assert sorted(write_files(tmp_path)) == [
        "billing/BILLING_DATABASE_URL",
        "billing/NATS_URL",
        "billing/REDIS_URL",
        "redis/BILLING_REDIS_PASSWORD",
        "redis/GATEWAY_REDIS_PASSWORD",
        "redis/KEYVAULT_REDIS_PASSWORD",
        "seed/TOLLGATE_DEMO_PASSWORD",
    ]
    assert sourced(redis, "REDIS_PASSWORD") == "mine"
    assert seed.read_text() == "".join(lines)
    assert billing.read_text() == before


def test_a_lost_table_stops_instead_of_making_values_that_fit_nothing(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / KEPT / "secrets.json").unlink()
    with pytest.raises(RunnerError, match=r"env exists but .*secrets\.json"):
        write_files(tmp_path)


def test_the_command_prints_names_and_never_a_value(tmp_path: Path) -> None:
    from tollgate.main import create_app

    said = CliRunner().invoke(create_app(), ["secrets", "files", str(tmp_path)])
    assert said.exit_code == 0
    assert "gateway/GATEWAY_SERVICE_TOKEN" in said.output
    kept: dict[str, Any] = json.loads((tmp_path / KEPT / "secrets.json").read_text())
    values = [text for entry in kept.values() for text in (entry.values() if isinstance(entry, dict) else [entry])]
    assert not [value for value in values if value in said.output]


class Api(ThreadingHTTPServer):
    """As much of the Kubernetes API as keeps Secrets of one namespace."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.secrets: dict[str, dict[str, str]] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Api
    wbufsize = -1  # one write an answer

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def do_PATCH(self) -> None:
        self._answer("PATCH")

    def log_message(self, *_: Any) -> None:
        """Nothing: what is asked is remembered instead."""

    def _answer(self, method: str) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = json.loads(content) if content else {}
        name = self.path.removeprefix("/api/v1/namespaces/tollgate/secrets").removeprefix("/")
        name = name or str(body["metadata"]["name"])
        self.server.asked.append(f"{method} {name}")
        status = self._done(method, name, body)
        data = {
            key: base64.b64encode(text.encode()).decode() for key, text in self.server.secrets.get(name, {}).items()
        }
        answer = json.dumps({"data": data} if status < 300 else {"message": f"{status} for {name}"}).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _done(self, method: str, name: str, body: dict[str, Any]) -> int:
        there = self.server.secrets
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            return 403
        if method == "POST":
            if name in there:
                return 409
            there[name] = dict(body["stringData"])
            return 201
        if name not in there:
            return 404
        if method == "PATCH":
            if self.headers["Content-Type"] != "application/merge-patch+json":
                return 415
            there[name] |= body["stringData"]
        return 200


@pytest.fixture
def api() -> Iterator[Api]:
    with Api() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def account(tmp_path: Path) -> Path:
    for name, text in {"token": f"{TOKEN}\n", "namespace": "tollgate"}.items():
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_cluster_gets_a_secret_for_each_and_the_table(api: Api, account: Path) -> None:
    added = write_kubernetes(Cluster.of_account(api.url, account))
    assert set(api.secrets) == EVERYONE | {KEPT}
    assert len(added) == sum(len(values) for name, values in api.secrets.items() if name != KEPT)
    kept = json.loads(api.secrets[KEPT]["secrets.json"])
    assert api.secrets["keyvault"]["BYOK_ENCRYPTION_KEYS"] == kept["byok_encryption_key"]
    assert api.secrets["postgres"]["POSTGRES_PASSWORD"] in api.secrets["migrate"]["DATABASE_URL"]


def test_a_run_cut_short_is_completed_with_the_same_values(api: Api, account: Path) -> None:
    cluster = Cluster.of_account(api.url, account)
    write_kubernetes(cluster)
    whole = {name: dict(values) for name, values in api.secrets.items()}
    del api.secrets["gateway"], api.secrets["migrate"]["BILLING_DATABASE_URL"]
    api.secrets["keyvault"]["OPENAI_API_KEY"] = "added by hand"
    added = write_kubernetes(cluster)
    assert set(added) == {f"gateway/{name}" for name in whole["gateway"]} | {"migrate/BILLING_DATABASE_URL"}
    assert api.secrets.pop("keyvault") == whole.pop("keyvault") | {"OPENAI_API_KEY": "added by hand"}
    assert api.secrets == whole


def test_what_stands_in_the_cluster_is_never_replaced(api: Api, account: Path) -> None:
    cluster = Cluster.of_account(api.url, account)
    write_kubernetes(cluster)
    api.secrets["redis"]["REDIS_PASSWORD"] = "mine"
    api.asked.clear()
    assert write_kubernetes(cluster) == []
    assert api.secrets["redis"]["REDIS_PASSWORD"] == "mine"
    assert not [asked for asked in api.asked if asked.startswith("PATCH")]


def test_a_later_releases_secrets_are_added_to_the_clusters_table(api: Api, account: Path) -> None:
    cluster = Cluster.of_account(api.url, account)
    write_kubernetes(cluster)
    old = json.loads(api.secrets[KEPT]["secrets.json"])
    api.secrets[KEPT]["secrets.json"] = json.dumps(
        {name: value for name, value in old.items() if name != "nats_password"}
    )
    write_kubernetes(cluster)
    now = json.loads(api.secrets[KEPT]["secrets.json"])
    assert now["postgres_password"] == old["postgres_password"]
    assert now["nats_password"]


def test_a_cluster_whose_table_is_gone_is_not_given_new_secrets(api: Api, account: Path) -> None:
    cluster = Cluster.of_account(api.url, account)
    write_kubernetes(cluster)
    del api.secrets[KEPT]
    with pytest.raises(RunnerError, match="Secret postgres exists but kept"):
        write_kubernetes(cluster)
    assert KEPT not in api.secrets


def test_of_two_who_start_at_once_both_end_with_the_table_of_the_first(api: Api, account: Path) -> None:
    clusters = [Cluster.of_account(api.url, account) for _ in range(2)]
    threads = [threading.Thread(target=write_kubernetes, args=(cluster,)) for cluster in clusters]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = json.loads(api.secrets[KEPT]["secrets.json"])
    assert api.secrets["nats"]["NATS_PASSWORD"] == kept["nats_password"]
    assert kept["nats_passwords"]["billing"] in api.secrets["billing"]["NATS_URL"]


def test_a_refusal_of_the_cluster_is_told_in_one_line_without_the_token(api: Api, account: Path) -> None:
    (account / "token").write_text("another")
    with pytest.raises(RunnerError, match="answered 403: 403 for kept") as refused:
        write_kubernetes(Cluster.of_account(api.url, account))
    assert "another" not in str(refused.value)


def test_outside_a_pod_the_missing_account_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunnerError, match=r"no service account here: .*token"):
        Cluster.of_account("http://127.0.0.1:1", tmp_path / "nowhere")


def test_an_api_that_does_not_answer_is_told(account: Path) -> None:
    with pytest.raises(RunnerError, match=r"http://127\.0\.0\.1:1 failed: .*refused"):
        write_kubernetes(Cluster.of_account("http://127.0.0.1:1", account))
