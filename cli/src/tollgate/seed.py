"""What a first run finds set up: a virtual key, a demo user, an alias. Made over public HTTP, as a person would.

Running it again changes nothing: what is there already answers 409. The admin is keyvault's, from its settings.
"""

from __future__ import annotations

from tollgate.errors import RunnerError
from tollgate.gateway_client import GatewayClient, reason_of

API_KEY = "test-key-12345"
_ALREADY_THERE = 409
_TEST_KEY = {"name": "Test Key", "key": API_KEY, "rate_limit": 100, "monthly_budget": "10"}
_ALIAS = {"alias": "my-gpt4", "deployments": [{"provider": "openai", "model": "gpt-4"}]}


def seed(client: GatewayClient, admin: tuple[str, str], demo: tuple[str, str]) -> list[str]:
    """Make what is missing, as `admin` (email, password); returns the names of what was made."""
    made = []
    if _make(client, "/api/auth/signup", {"email": demo[0], "password": demo[1], "name": "Demo"}):
        made.append(f"user {demo[0]}")
    client.login(*admin)
    if _make(client, "/api/v1/keys", _TEST_KEY):
        made.append(f"key {API_KEY}")
    if _make(client, "/api/v1/aliases", _ALIAS):
        made.append(f"alias {_ALIAS['alias']}")
    return made


def _make(client: GatewayClient, path: str, body: object) -> bool:
    answer = client.send("POST", path, body)
    if answer.is_success or answer.status_code == _ALREADY_THERE:
        return answer.is_success
    raise RunnerError(f"seeding: POST {path} answered {answer.status_code}: {reason_of(answer)}")
