"""What is remembered from run to run: secrets made once, ports found again; private files, written whole."""

from __future__ import annotations

import json
import socket
from dataclasses import asdict
from pathlib import Path

import pytest
from common.servers.private_file import write_private
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tollgate.errors import RunnerError
from tollgate.kept import load_ports, load_secrets


def test_secrets_are_made_once_and_kept_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    first = load_secrets(path)
    assert load_secrets(path) == first
    assert path.stat().st_mode & 0o777 == 0o600
    assert set(first.role_passwords) == {"billing", "catalog_sync", "keyvault", "analytics"}
    assert load_secrets(tmp_path / "other.json").postgres_password != first.postgres_password


def test_made_up_keys_are_what_their_users_take(tmp_path: Path) -> None:
    made = load_secrets(tmp_path / "secrets.json")
    assert Fernet(made.byok_encryption_key).decrypt(Fernet(made.byok_encryption_key).encrypt(b"x")) == b"x"
    assert isinstance(load_pem_private_key(made.jwt_private_key.encode(), None), Ed25519PrivateKey)


def test_no_two_secrets_are_the_same_and_none_shows_itself(tmp_path: Path) -> None:
    made = load_secrets(tmp_path / "secrets.json")
    content = asdict(made)
    flat = [value for entry in content.values() for value in (entry.values() if isinstance(entry, dict) else [entry])]
    assert len(set(flat)) == len(flat) >= 10
    assert not [value for value in flat if value in repr(made)]


def test_a_later_releases_secrets_are_added_to_the_kept_ones(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    old = asdict(load_secrets(path))
    del old["demo_password"], old["role_passwords"]["analytics"]
    write_private(path, json.dumps(old))
    now = load_secrets(path)
    assert now.admin_password == old["admin_password"]
    assert now.role_passwords["billing"] == old["role_passwords"]["billing"]
    assert now.demo_password
    assert now.role_passwords["analytics"]
    assert load_secrets(path) == now


def test_data_without_the_secrets_that_open_them_is_an_error_not_new_secrets(tmp_path: Path) -> None:
    data = tmp_path / "PG_VERSION"
    data.write_text("18")
    with pytest.raises(RunnerError, match=r"PG_VERSION exists but .*secrets\.json"):
        load_secrets(tmp_path / "secrets.json", [data])
    assert not (tmp_path / "secrets.json").exists()


def test_damaged_secrets_are_an_error_and_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "secrets.json"
    path.write_text('{"postgres_pass')
    with pytest.raises(RunnerError, match="is damaged"):
        load_secrets(path)
    assert path.read_text() == '{"postgres_pass'


def test_a_second_run_finds_the_ports_of_the_first(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = load_ports(path, ["postgres", "nats", "gateway"], {"gateway": 8080})
    assert first["gateway"] == 8080
    assert len(set(first.values())) == 3
    assert min(first["postgres"], first["nats"]) >= 20000
    assert load_ports(path, ["postgres", "nats"]) == {name: first[name] for name in ("postgres", "nats")}


def test_a_port_that_someone_else_has_taken_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    first = load_ports(path, ["postgres", "nats"])
    with socket.create_server(("127.0.0.1", first["postgres"])):
        second = load_ports(path, ["postgres", "nats"])
    assert second["postgres"] != first["postgres"]
    assert second["nats"] == first["nats"]


def test_a_damaged_ports_file_is_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "ports.json"
    path.write_text("[not json")
    assert load_ports(path, ["nats"])["nats"] >= 20000


def test_a_private_file_is_private_and_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    path.write_text("old")
    path.chmod(0o644)
    with path.open() as reader:
        write_private(path, "new")
        assert reader.read() == "old"  # who has it open still sees the whole old one
    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]
