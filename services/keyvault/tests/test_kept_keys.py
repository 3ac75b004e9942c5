"""Provider keys that an operator keeps in AWS Secrets Manager, whose API moto's server answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import httpx2
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from common.providers.sigv4 import AccessKey, signed_headers
from common.testing.clocks import FixedClock
from keyvault.sources.shelf import Shelf, ShelfPlace
from moto.server import ThreadedMotoServer

KEYS = "/api/v1/llm/providers/keys"
PREFIX = "tollgate/tests/"
ACCESS = {
    "KEYVAULT_AWS_REGION": "eu-central-1",
    "KEYVAULT_AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "KEYVAULT_AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI",
    "KEYVAULT_AWS_SECRETS_PREFIX": PREFIX,
}


@pytest.fixture(scope="module")
def aws() -> Iterator[str]:
    """The URL of a server that answers as AWS does."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def shelf(aws: str) -> Any:
    """What an operator has: AWS's own client of the service."""
    client = boto3.client(
        "secretsmanager",
        endpoint_url=aws,
        region_name=ACCESS["KEYVAULT_AWS_REGION"],
        aws_access_key_id="operator",
        aws_secret_access_key="operator",
    )
    yield client
    for held in client.list_secrets()["SecretList"]:
        client.delete_secret(SecretId=held["Name"], ForceDeleteWithoutRecovery=True)


async def shown(vault: Any, admin: Any) -> dict[str, tuple[str, str]]:
    """The keys in force: provider → where from, and its last characters."""
    found = (await vault.call("GET", KEYS, admin)).json()
    return {one["provider_type"]: (one["source"], one["masked_key"]) for one in found}


async def refresh(vault: Any) -> None:
    await vault.app.state.services.keyvault.kept_secrets.refresh()


async def test_keys_are_taken_at_start_and_rotated_and_removed_as_they_are_there(
    vault_with: Any, shelf: Any, aws: str
) -> None:
    shelf.create_secret(Name=f"{PREFIX}OPENAI_API_KEY", SecretString="sk-kept-by-aws-0001")
    shelf.create_secret(Name=f"{PREFIX}GROQ_API_KEY", SecretString="gsk-kept-by-aws-0002\n")
    shelf.create_secret(Name="elsewhere/MISTRAL_API_KEY", SecretString="of-somebody-else-3")
    settings = {**ACCESS, "KEYVAULT_AWS_SECRETS_URL": aws}
    async with vault_with(**settings, GROQ_API_KEY="gsk-of-the-environment") as vault:
        admin = await vault.admin()
        assert await shown(vault, admin) == {
            "openai": ("secrets_manager", "...0001"),
            "groq": ("environment", "...ment"),  # the environment goes before
        }
        shelf.put_secret_value(SecretId=f"{PREFIX}OPENAI_API_KEY", SecretString="sk-kept-by-aws-0009")
        await refresh(vault)
        await refresh(vault)
        assert (await shown(vault, admin))["openai"] == ("secrets_manager", "...0009")
        assert await vault.owner.fetchval("SELECT version FROM credentials WHERE provider_type = 'openai'") == 2
        stored = await vault.owner.fetchval("SELECT ciphertext FROM credentials WHERE provider_type = 'openai'")
        assert "sk-kept-by-aws" not in stored

        body = {"provider_type": "openai", "api_key": "sk-of-an-admin-7777"}
        await vault.call("POST", KEYS, admin, body)
        await refresh(vault)
        assert (await shown(vault, admin))["openai"] == ("api", "...7777")
        await vault.call("DELETE", f"{KEYS}/openai", admin)
        await refresh(vault)
        assert (await shown(vault, admin))["openai"] == ("secrets_manager", "...0009")
        shelf.delete_secret(SecretId=f"{PREFIX}OPENAI_API_KEY", ForceDeleteWithoutRecovery=True)
        await refresh(vault)
        assert "openai" not in await shown(vault, admin)


async def test_an_outage_and_an_unusable_value_change_nothing(vault_with: Any, shelf: Any, aws: str) -> None:
    shelf.create_secret(Name=f"{PREFIX}OPENAI_API_KEY", SecretString="sk-kept-by-aws-0001")
    async with vault_with(**ACCESS, KEYVAULT_AWS_SECRETS_URL=aws) as vault:
        admin = await vault.admin()
        shelf.put_secret_value(SecretId=f"{PREFIX}OPENAI_API_KEY", SecretString=json.dumps({"key": "in JSON"}))
        await refresh(vault)
        assert await shown(vault, admin) == {"openai": ("secrets_manager", "...0001")}
        held = vault.app.state.services.keyvault.kept_secrets._shelf
        closed = "http://127.0.0.1:9"
        held._shelf = type(held._shelf)(closed, held._shelf.region, held._shelf.prefix, held._shelf.key)
        await refresh(vault)
        assert await shown(vault, admin) == {"openai": ("secrets_manager", "...0001")}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"SecretValues": [], "Errors": None},
        {"SecretValues": "none", "Errors": ["none"]},
        {
            "Errors": [
                {"SecretId": f"arn:aws:secretsmanager:x:1:secret:{PREFIX}OPENAI_API_KEY-a", "ErrorCode": "Denied"}
            ]
        },
        {"SecretValues": [{"Name": f"{PREFIX}OPENAI_API_KEY"}]},
    ],
    ids=["nothing", "an empty list", "another shape", "a refusal under another name", "a key without its text"],
)
async def test_a_key_of_which_nothing_is_said_is_not_taken_for_a_removed_one(said: Any) -> None:
    body = json.dumps(said).encode()
    answered = httpx2.MockTransport(lambda request: httpx2.Response(200, stream=httpx2.ByteStream(body)))
    place = ShelfPlace("https://aws.example", "eu-central-1", PREFIX, AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI"))
    async with httpx2.AsyncClient(transport=answered) as client:
        held = await Shelf(client, FixedClock(), place).held(["OPENAI_API_KEY"])
    assert (held.secrets, held.unknown) == ({}, {"OPENAI_API_KEY"})


async def test_a_start_without_secrets_manager_answering_serves_all_the_same(vault_with: Any) -> None:
    async with vault_with(**ACCESS, KEYVAULT_AWS_SECRETS_URL="http://127.0.0.1:9") as vault:
        assert await shown(vault, await vault.admin()) == {}


@pytest.mark.parametrize("token", ["", "a-session-token"])
def test_requests_are_signed_as_awss_own_client_signs_them(token: str) -> None:
    more = {"content-type": "application/x-amz-json-1.1", "x-amz-target": "secretsmanager.BatchGetSecretValue"}
    host, body = "secretsmanager.eu-central-1.amazonaws.com", b'{"SecretIdList": ["a"]}'
    key = AccessKey("AKIDEXAMPLE", "wJalrXUtnFEMI", token)
    theirs = AWSRequest("POST", f"https://{host}/", headers=more, data=body)
    SigV4Auth(Credentials(key.id, key.secret, token or None), "secretsmanager", "eu-central-1").add_auth(theirs)
    at = datetime.strptime(theirs.headers["X-Amz-Date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    ours = dict(signed_headers(key, host, "/", body, at, region="eu-central-1", service="secretsmanager", more=more))
    assert ours[b"authorization"].decode() == theirs.headers["Authorization"]
