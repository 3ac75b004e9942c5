"""AWS Secrets Manager over HTTP: the provider keys that an operator keeps there, each named like its variable.

One signed request for twenty keys. A key is absent only where the answer says so by its name; of what it does not say for
certain (it is away, may not open one, or says nothing of it) is told as unknown, so that nobody takes an outage for a key
that was removed. Nothing of an answer is repeated in a log line.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx2
import structlog
from common.clock import Clock
from common.http.guarded import guarded_client, read_bounded
from common.providers.auth import check_secret
from common.providers.sigv4 import AccessKey, signed_headers
from common.secret import Secret
from common.urls import ForbiddenUrl, UrlRules

log = structlog.get_logger()

_DEADLINE_SECONDS = 10.0
_MAX_BODY_BYTES = 2 << 20
_AT_ONCE = 20  # as many names does one request take
_TARGET = "secretsmanager.BatchGetSecretValue"
_ABSENT = "ResourceNotFoundException"


@dataclass(frozen=True, slots=True)
class ShelfPlace:
    """Where keys are kept: the service's URL and region, what comes before each name, and with which key it opens."""

    url: str
    region: str
    prefix: str
    key: AccessKey


@dataclass(frozen=True, slots=True)
class Held:
    """Keys by the name that was asked for; of the names in `unknown` it is not certain whether there is one."""

    secrets: Mapping[str, Secret] = field(default_factory=dict)
    unknown: frozenset[str] = frozenset()


class Shelf:
    """One shelf, by a client that is shared and closed elsewhere."""

    def __init__(self, client: httpx2.AsyncClient, clock: Clock, shelf: ShelfPlace) -> None:
        self._client = client
        self._clock = clock
        self._shelf = shelf

    @classmethod
    def client(cls, shelf: ShelfPlace) -> httpx2.AsyncClient:
        """The client that a shelf wants: it reaches that one host, which the operator named."""
        return guarded_client(UrlRules(frozenset({urlsplit(shelf.url).netloc.lower()})), _DEADLINE_SECONDS)

    async def held(self, names: Sequence[str]) -> Held:
        """The keys of some names."""
        secrets: dict[str, Secret] = {}
        unknown: set[str] = set()
        for first in range(0, len(names), _AT_ONCE):
            asked = names[first : first + _AT_ONCE]
            try:
                held = self._read(await self._ask(asked), asked)
            except (TimeoutError, httpx2.HTTPError, httpx2.InvalidURL, ForbiddenUrl, OSError, ValueError) as error:
                log.warning("secrets_manager_away", error=type(error).__name__)
                unknown.update(asked)
                continue
            secrets |= held.secrets
            unknown |= held.unknown
        return Held(secrets, frozenset(unknown))

    async def _ask(self, names: Sequence[str]) -> dict[str, Any]:
        """One request's answer. ValueError for what is no answer."""
        body = json.dumps({"SecretIdList": [self._shelf.prefix + name for name in names]}).encode()
        parts = urlsplit(self._shelf.url)
        more = {"content-type": "application/x-amz-json-1.1", "x-amz-target": _TARGET}
        shown = signed_headers(
            self._shelf.key, parts.netloc, "/", body, self._clock.now(),
            region=self._shelf.region, service="secretsmanager", more=more,
        )  # fmt: skip
        headers = {name.decode(): value.decode() for name, value in shown}
        url = f"{parts.scheme}://{parts.netloc}/"
        async with (
            asyncio.timeout(_DEADLINE_SECONDS),
            self._client.stream("POST", url, content=body, headers=headers) as response,
        ):
            answered = await read_bounded(response, _MAX_BODY_BYTES)
        if response.status_code != 200:
            raise httpx2.HTTPError(f"HTTP {response.status_code}")
        content = json.loads(answered)
        if not isinstance(content, dict):
            raise ValueError("no object")
        return content

    def _read(self, answer: Mapping[str, Any], asked: Sequence[str]) -> Held:
        """What an answer says of the names that were asked for."""
        found: dict[str, Secret] = {}
        absent = {
            self._name(one.get("SecretId")) for one in _objects(answer, "Errors") if one.get("ErrorCode") == _ABSENT
        }
        for value in _objects(answer, "SecretValues"):
            name = self._name(value.get("Name"))
            try:
                found[name] = Secret(check_secret(str(value.get("SecretString", "")).strip()))
            except ValueError:
                log.warning("kept_key_unusable", name=name[:64])
        unknown = frozenset(asked) - found.keys() - absent
        for name in sorted(unknown):
            log.warning("kept_key_unknown", name=name)
        return Held({name: found[name] for name in asked if name in found}, unknown)

    def _name(self, told: object) -> str:
        return str(told).removeprefix(self._shelf.prefix)


def _objects(answer: Mapping[str, Any], member: str) -> list[dict[str, Any]]:
    found = answer.get(member)
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
