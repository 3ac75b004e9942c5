"""Virtual keys over HTTP: who may do what to which, what is shown, and what the gateway is told."""

from __future__ import annotations

from typing import Any

import pytest


async def test_a_made_key_is_shown_once_and_known_to_the_gateway_by_its_hash(vault: Any) -> None:
    user = await vault.person(tier="starter")
    answer = await vault.call("POST", "/api/v1/keys", user, {"name": "laptop", "rate_limit": 5})
    assert answer.status_code == 201
    print(answer.json(), answer.headers)
