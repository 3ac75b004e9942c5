"""Secrets stay inside: planted ones are looked for wherever the service leaves anything."""

from __future__ import annotations

import base64
import json
import logging
from typing import Any
from urllib.parse import quote

import pytest
import structlog
from common.secret import public_key_of
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

PASSWORD = "canary-password-93kd02"
PROVIDER_KEY = "sk-canary-provider-key-7f3a"
IMPORTED_KEY = "canary-imported-key-51bc"
ENVIRONMENT_KEY = "gsk-canary-environment-2e9d"


def spellings(secret: str) -> list[bytes]:
    """A secret as it may be written somewhere."""
    raw = secret.encode()
    return [
        raw,
        base64.b64encode(raw).rstrip(b"=")[:-1],
        base64.urlsafe_b64encode(raw).rstrip(b"=")[:-1],
        raw.hex().encode(),
        quote(secret, safe="").encode(),
        json.dumps(secret)[1:-1].encode(),
    ]


async def everything_left(alone: Any, caplog: pytest.LogCaptureFixture) -> dict[str, bytes]:
    """All that the service has written: rows, snapshots, events, metrics, log lines."""
    # The tests' own client tells of the headers it gets, the login's cookie among them: that line is not the service's.
    lines = (record.getMessage() for record in caplog.records)
    left = {"logs": "\n".join(line for line in lines if "set-cookie" not in line).encode()}
    tables = await alone.owner.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'keyvault'")
    for row in tables:
        rows = await alone.owner.fetch(f'SELECT t::text AS line FROM "{row["tablename"]}" t')
        left[f"table {row['tablename']}"] = "\n".join(each["line"] for each in rows).encode()
    for bucket in ("keys", "credentials", "sessions"):
        left[f"bucket {bucket}"] = repr(await alone.bucket(bucket)).encode()
    for stream in ("KEYS", "DLQ", "AUDIT"):
        left[f"stream {stream}"] = repr(await alone.events(stream)).encode()
    left["metrics"] = (await alone.client.get("/metrics")).content
    for key in await alone.redis.keys("*"):
        left[f"redis {key!r}"] = repr((key, await alone.redis.get(key))).encode()
    return left


async def test_no_secret_is_left_anywhere(
    start: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    structlog.reset_defaults()
    first = {"TOLLGATE_ADMIN_EMAIL": "root@example.com", "TOLLGATE_ADMIN_PASSWORD": PASSWORD}
    async with start(GROQ_API_KEY=ENVIRONMENT_KEY, **first) as alone:
        begun = await alone.call("POST", "/api/auth/login", None, {"email": "root@example.com", "password": PASSWORD})
        token = begun.json()["access_token"]
        alone.client.cookies.clear()
        admin = await alone.admin()
        made = await alone.make_key(admin)
        await alone.make_key(admin, key=IMPORTED_KEY)
        rotated = (await alone.call("POST", f"/api/v1/keys/{made['id']}/rotate", admin)).json()["key"]
        answers = [
            await alone.call("POST", "/api/v1/llm/providers/keys", admin,
                             {"provider_type": "openai", "api_key": PROVIDER_KEY, "base_url": "https://x.invalid"}),
            await alone.call("POST", "/api/v1/llm/providers/keys/openai/test", admin),
            await alone.call("POST", "/api/v1/keys", admin, {"name": "a", "key": IMPORTED_KEY}),
            await alone.call("POST", "/api/v1/keys", admin, {"name": {"a": IMPORTED_KEY}, "key": [PROVIDER_KEY]}),
            await alone.call("POST", "/api/auth/login", None, {"email": "root@example.com", "password": PASSWORD + "x"}),
            await alone.call("POST", "/api/auth/login", None, {"email": ["x"], "password": [PASSWORD]}),
            await alone.call("GET", "/api/v1/keys", admin),
            await alone.call("GET", "/api/v1/users", admin),
            await alone.call("GET", "/api/v1/llm/providers/keys", admin),
            await alone.call("GET", "/api/v1/audit?limit=1000", admin),
            await alone.call("DELETE", f"/api/v1/keys/{made['id']}", admin),
            await alone.client.get("/api/auth/me", headers={"authorization": f"Bearer {token}x"}),
        ]  # fmt: skip
        for (credential_id,) in await alone.owner.fetch("SELECT id FROM credentials"):
            answers.append(await alone.open_credential(credential_id, public_key_of(X25519PrivateKey.generate())))
        left = await everything_left(alone, caplog)
        left["answers"] = b"\n".join(answer.content + repr(answer.headers).encode() for answer in answers)
        environment = alone.environment
    left["output"] = "".join(capfd.readouterr()).encode()
    secrets = {
        "password": PASSWORD,
        "provider key": PROVIDER_KEY,
        "imported key": IMPORTED_KEY,
        "environment key": ENVIRONMENT_KEY,
        "made key": made["key"],
        "rotated key": rotated,
        "token": token,
        **{name: environment[name] for name in environment if name.endswith(("_KEY", "_KEYS", "_TOKEN"))},
    }
    for name, secret in secrets.items():
        for where, content in left.items():
            assert not any(spelling in content for spelling in spellings(secret)), f"{name} is in {where}"
    assert PROVIDER_KEY[-4:].encode() in left["answers"]  # what was looked through is not empty
