"""Secrets are planted, everything that a stack does is done, and then it is searched: nothing of them stands anywhere but
where it must.

Planted are keys and passwords of people and providers, tokens, what single sign-on is done with, words in prompts that
nobody asked to keep, and every secret that the stack made up for itself. Searched are logs (of debugging), traces,
streams and buckets, Redis' files and keys, a dump of every schema, metrics, refusals, journals and the lists of
processes. Passwords that a server must know stand in its own configuration, private to it; the runner's own files hold
what it hands out.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import psutil
import pytest
import redis
from collector import Listener, listening
from common.servers.binaries import POSTGRES, find
from common.servers.ports import free_port
from machine import GIVEN_HOME, read_run, tollgate
from needles import Search

_SERVERS = ("DATABASE_URL", "NATS_URL", "REDIS_URL", "CACHE_REDIS_URL")
# Where a secret rightly is: what the runner hands out, and what servers know their users by. Each is mode 600.
_RIGHTLY = frozenset({"secrets.json", "run.json", "nats.conf", "redis.conf"})
_SCHEMAS = ("billing", "catalog_sync", "keyvault", "analytics", "guide")
_MINE = "/api/v1/users/me/llm-credentials"


def canary(what: str) -> str:
    """A secret that occurs nowhere by chance, with characters that encodings change."""
    return f"canary-{what}-{secrets.token_hex(12)}~+/&="


def plain_canary(what: str) -> str:
    """The same of letters, digits and hyphens, where no others are taken."""
    return f"canary-{what}-{secrets.token_hex(12)}"


@dataclass
class Planted:
    """A stack, what was planted in it by name, and what it answered to those who should not have asked."""

    folder: Path
    listener: Listener
    secrets: dict[str, str] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    refusals: list[bytes] = field(default_factory=list)

    def plant(self, what: str, secret: str) -> str:
        """Remember a secret; it."""
        self.secrets[what] = secret
        return secret

    def refused(self, answer: httpx2.Response) -> httpx2.Response:
        """Keep a refusal, with its headers, to be searched."""
        assert 400 <= answer.status_code < 600, answer.text
        self.refusals.append(str(dict(answer.headers)).encode() + answer.content)
        return answer


@pytest.fixture
def planted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Planted]:
    """A stack that tells all it can, and is given secrets from outside."""
    folder = tmp_path_factory.mktemp("searched")
    with listening() as listener:
        stack = Planted(folder, listener)
        given = {
            "TOLLGATE_ADMIN_PASSWORD": stack.plant("admin's password", canary("admin")),
            "TOLLGATE_DEMO_PASSWORD": stack.plant("demo user's password", canary("demo")),
            "BYOK_ENCRYPTION_KEYS": stack.plant("master key", urlsafe_b64encode(secrets.token_bytes(32)).decode()),
            "OIDC_ISSUER": listener.url,
            "OIDC_CLIENT_ID": "tollgate",
            "OIDC_CLIENT_SECRET": stack.plant("client secret at the issuer", canary("oidc")),
            "OIDC_ALLOWED_HOSTS": urlsplit(listener.url).netloc,
            "OTEL_EXPORTER_OTLP_ENDPOINT": listener.url,
            "OTEL_TRACES_SAMPLER_ARG": "1",
            "LOG_LEVEL": "DEBUG",
        }
        port = free_port()
        given["OIDC_REDIRECT_URL"] = f"http://127.0.0.1:{port}/api/auth/oidc/callback"
        started = tollgate(folder, "up", GATEWAY_HTTP_PORT=str(port), **dict.fromkeys(_SERVERS, ""), **given)
        assert started.returncode == 0, started.stdout + started.stderr
        yield stack
        tollgate(folder, "down")


def use_accounts(stack: Planted, http: httpx2.Client) -> None:
    """Passwords and sessions: right, wrong, changed, single sign-on with an issuer that repeats what it is told."""
    run = read_run(stack.folder)
    wrong = stack.plant("a password mistyped", canary("mistyped"))
    stack.refused(http.post("/api/auth/login", json={"email": run["admin_email"], "password": wrong}))
    stack.refused(http.post("/api/auth/signup", json={"email": "x", "password": wrong, "surprise": wrong}))
    body = {"email": run["admin_email"], "password": run["admin_password"]}
    token = stack.plant("admin's session", http.post("/api/auth/login", json=body).json()["access_token"])
    http.cookies.clear()
    stack.refused(http.get("/api/auth/me", headers={"authorization": f"Bearer {token}x"}))
    first, second = stack.plant("first password", canary("first")), stack.plant("second password", canary("second"))
    account = {"email": "searched@example.com", "password": first, "name": "S"}
    user = http.post("/api/auth/signup", json=account).json()["access_token"]
    change = {"current_password": first, "new_password": second}
    assert http.post("/api/auth/password", json=change, headers=bearer(user)).status_code == 200
    account["password"] = second
    user = http.post("/api/auth/login", json={"email": account["email"], "password": second}).json()["access_token"]
    http.headers["x-admin"], http.headers["x-user"] = token, stack.plant("user's session", user)
    begun = http.get("/api/auth/oidc/login")
    assert begun.status_code == 303, begun.text
    state = parse_qs(urlsplit(begun.headers["location"]).query)["state"][0]
    stack.refused(http.get("/api/auth/oidc/callback", params={"state": state, "code": "a-code"}))
    http.cookies.clear()


def use_keys(stack: Planted, http: httpx2.Client) -> str:
    """Virtual keys, made, imported, rotated, mistyped; providers' keys and people's own, good and refused."""
    admin, user = bearer(http.headers.pop("x-admin")), bearer(http.headers.pop("x-user"))
    made = http.post("/api/v1/keys", json={"name": "searched"}, headers=admin).json()
    stack.plant("virtual key", made["key"])
    stack.marks["virtual key's id"] = made["id"]
    imported = stack.plant("imported virtual key", plain_canary("imported"))
    assert http.post("/api/v1/keys", json={"name": "i", "key": imported}, headers=admin).status_code == 201
    rotated = http.post(f"/api/v1/keys/{made['id']}/rotate", json={}, headers=admin).json()
    key = stack.plant("rotated virtual key", rotated["key"])
    unknown = stack.plant("a virtual key mistyped", plain_canary("unknown"))
    for header in ("authorization", "x-api-key", "api-key", "x-goog-api-key"):
        value = f"Bearer {unknown}" if header == "authorization" else unknown
        stack.refused(http.post("/v1/chat/completions", json={}, headers={header: value}))
    stack.refused(http.get("/v1/models", params={"key": unknown}))
    for provider, kind in (("together", "ok"), ("mistral", "bad")):
        secret = stack.plant(f"provider key that is {kind}", f"sim-{kind}-{plain_canary('provider')}")
        body = {"provider_type": provider, "api_key": secret}
        assert http.post("/api/v1/llm/providers/keys", json=body, headers=admin).status_code == 201
        tried = http.post(f"/api/v1/llm/providers/keys/{provider}/test", headers=admin)
        stack.refusals.append(tried.content)
    for provider, kind in (("openrouter", "ok"), ("anthropic", "bad")):
        secret = stack.plant(f"own credential that is {kind}", f"sim-{kind}-{plain_canary('own')}")
        body = {"provider": provider, "api_key": secret}
        stack.refusals.append(http.post(f"{_MINE}/validate", json=body, headers=user).content)
        assert http.post(_MINE, json=body, headers=user).status_code == 201
    stack.refused(http.post(_MINE, json={"provider": "openrouter", "api_key": ["a list", secret]}, headers=user))
    own = http.post("/api/v1/keys", json={"name": "own"}, headers=user).json()["key"]
    for model in ("openrouter/google/gemini-2.5-flash", "anthropic/claude-3-5-haiku-20241022"):
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 5}
        answer = http.post("/v1/chat/completions", json=body, headers=bearer(stack.plant("user's virtual key", own)))
        stack.refusals.append(answer.content if answer.status_code >= 400 else b"")
    return key


def use_words(stack: Planted, http: httpx2.Client, key: str) -> None:
    """Words in prompts that nobody asked to keep: whole, streamed, cached, repeated by key, refused, cut off."""
    said = stack.plant("words of a prompt", canary("words"))
    drawn = stack.plant("bytes of a picture", plain_canary("picture"))
    url = f"data:image/png;base64,{b64encode(drawn.encode()).decode()}"
    picture = [{"type": "text", "text": said}, {"type": "image_url", "image_url": {"url": url}}]
    for content in (said, picture):
        for more in ({}, {"stream": True}, {"max_tokens": "many"}, {"model": "no-such-model"}, {"user": said}):
            body = {"model": "gpt-4", "messages": [{"role": "user", "content": content}], **more}
            for headers in ({}, {"idempotency-key": secrets.token_hex(8)}, {"x-tollgate-cache": "60"}):
                answer = http.post("/v1/chat/completions", json=body, headers=bearer(key) | headers)
                if answer.status_code >= 400 and "max_tokens" not in more:
                    stack.refusals.append(answer.content.replace(said.encode(), b""))
    embedding = {"model": "text-embedding-3-small", "input": said}
    http.post("/v1/embeddings", json=embedding, headers=bearer(key))
    http.post("/v1/responses", json={"model": "gpt-4", "input": said}, headers=bearer(key))


def bearer(token: str) -> dict[str, str]:
    """Authorization by a token."""
    return {"authorization": f"Bearer {token}"}


def play_stories(folder: Path) -> str:
    """Everything else that the product does, on this stack; what starts stacks of its own is left out. What went wrong."""
    stories = sorted(path for path in Path(__file__).parent.glob("test_*.py") if path.name not in _OWN_STACKS)
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-x",
        "-m",
        "not slow",
        "-p",
        "no:cacheprovider",
        *map(str, stories),
    ]
    environment = os.environ | {GIVEN_HOME: str(folder)}
    played = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=1200)
    return played.stdout[-4000:] if played.returncode else ""


_OWN_STACKS = {
    Path(__file__).name,
    "test_another_master_key_fails_no_call.py",  # its stack reads the master key from a file
    "test_no_request_breaks_a_service.py",
    "test_nobody_reaches_what_is_not_theirs.py",  # its table is of a stack without single sign-on
    "test_the_search_for_secrets_finds_them.py",
}


def left_by(stack: Planted) -> Iterator[tuple[str, bytes]]:
    """Whatever is no file below the stack's folder: dumps, keys in memory, metrics, answers, traces, processes."""
    run = read_run(stack.folder)
    for schema in _SCHEMAS:
        dump = [str(find(POSTGRES).path.with_name("pg_dump")), "--schema", schema, run["database_url"]]
        told = subprocess.run(dump, capture_output=True, timeout=120)
        assert told.returncode == 0, told.stderr
        assert len(told.stdout) > 500
        yield f"pg_dump of {schema}", told.stdout
    for which in ("redis_url", "cache_redis_url"):
        with redis.from_url(run[which]) as client:
            for name in client.scan_iter(count=1000):
                yield f"{which} {name[:20]!r}", name + (client.dump(name) or b"") + _value(client, name)
    for service, url in run["services"].items():
        if service != "simulator":
            yield f"metrics of {service}", httpx2.get(f"{url}/metrics").content
    yield from (("a refusal", refusal) for refusal in stack.refusals)
    yield from (("a trace", trace) for trace in stack.listener.traces)
    for name, pid in run["pids"].items():
        yield f"command line of {name}", " ".join(psutil.Process(pid).cmdline()).encode()


def searched(stack: Planted, search: Search) -> set[str]:
    """All hits of a search, wherever the stack leaves anything."""
    hits = {hit for place, content in left_by(stack) for hit in search.hits(place, content)}
    # What the simulator journals is the provider's own, and PostgreSQL's files are what was dumped.
    for part in ("logs", "journal", "data/nats", "data/redis", "data/cache-redis"):
        hits |= {f"{part}/{hit}" for hit in search.hits_below(stack.folder / part, but_for=_RIGHTLY)}
    return hits


def _value(client: Any, name: bytes) -> bytes:
    kind = client.type(name)
    readers = {b"string": client.get, b"hash": client.hgetall, b"list": lambda key: client.lrange(key, 0, -1)}
    read = readers.get(kind if isinstance(kind, bytes) else kind.encode(), lambda key: client.zrange(key, 0, -1))
    found = read(name)
    return found if isinstance(found, bytes) else repr(found).encode()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_secret_stands_anywhere_but_in_its_place(planted: Planted) -> None:
    with httpx2.Client(base_url=read_run(planted.folder)["url"], timeout=60) as http:
        use_accounts(planted, http)
        use_words(planted, http, use_keys(planted, http))
    assert any(b"Basic" in told or b"client_secret" in told for told in planted.listener.told)
    failed = play_stories(planted.folder)
    kept = json.loads((planted.folder / "secrets.json").read_text())
    own = {
        f"{name} {key}": text for name, texts in kept.items() if isinstance(texts, dict) for key, text in texts.items()
    }
    own |= {name: text for name, text in kept.items() if isinstance(text, str)}
    own["jwt_private_key"] = own["jwt_private_key"].splitlines()[1]
    assert len(planted.secrets) >= 12
    hits = searched(planted, Search(planted.secrets | own | planted.marks))
    # What is no secret is found wherever it should be, so these places were really searched.
    marked = {hit for hit in hits if any(mark in hit for mark in planted.marks)}
    for place in ("logs/gateway", "data/nats", "data/redis", "pg_dump of billing", "pg_dump of keyvault", "redis_url"):
        assert any(hit.startswith(place) for hit in marked), (place, marked)
    assert hits - marked == set()
    for path in planted.folder.rglob("*"):
        assert path.name not in _RIGHTLY or path.stat().st_mode & 0o777 == 0o600, path
    assert failed == ""
