"""What the gateway keeps of keys and credentials: who is let in, with what it calls, and when it is ready."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from common.contracts.snapshots import CredentialSnapshot, KeySecret
from common.money import Money
from common.secret import Secret, public_key_of, seal
from common.testing.clocks import FixedClock
from gateway.mirrors.beginning import FirstCatalog
from gateway.mirrors.catalog import Catalog
from gateway.mirrors.credentials import Credentials
from gateway.mirrors.keys import Keys
from gateway.mirrors.usable import Credential, NoSecret
from gateway_stack import KEY, KEY_ID, as_it_is, key_snapshot, model_snapshot
from hypothesis import given
from hypothesis import strategies as st

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
HOUR = 3600.0


def keys_with(**changes: Any) -> Keys:
    """The test key with changes."""
    keys = Keys()
    keys.apply(KEY_ID, key_snapshot(**changes).model_dump_json().encode())
    return keys


def secret_of(text: str, expires_at: datetime | None = None) -> KeySecret:
    return KeySecret(sha256=hashlib.sha256(text.encode()).hexdigest(), expires_at=expires_at)


def test_a_key_is_found_by_what_its_client_shows() -> None:
    keys = keys_with()
    found = keys.find(KEY.encode(), NOW)
    assert found is not None
    assert (found.id, found.rate_limit, found.token_limit, found.budget_nano) == (KEY_ID, 100, 0, 10 * 10**9)
    for wrong in (b"", KEY.encode()[:-1], KEY.encode() + b" ", KEY.upper().encode()):
        assert keys.find(wrong, NOW) is None


@pytest.mark.parametrize(
    ("changes", "counts"),
    [
        ({"enabled": False}, False),
        ({"expires_at": NOW}, False),
        ({"expires_at": NOW + timedelta(seconds=1)}, True),
        ({"secrets": (secret_of(KEY, NOW),)}, False),
        ({"secrets": (secret_of(KEY, NOW + timedelta(seconds=1)), secret_of("next"))}, True),
        ({"secrets": (secret_of("next"),)}, False),
    ],
)
def test_a_key_counts_while_it_and_its_secret_hold(changes: dict[str, Any], counts: bool) -> None:
    assert (keys_with(**changes).find(KEY.encode(), NOW) is not None) is counts


def test_a_key_that_was_rotated_or_removed_is_not_found_by_what_it_was() -> None:
    keys = keys_with(secrets=(secret_of("old"), secret_of("older")))
    keys.apply(KEY_ID, key_snapshot(secrets=(secret_of("fresh"),)).model_dump_json().encode())
    assert keys.find(b"old", NOW) is None
    assert keys.find(b"fresh", NOW) is not None
    keys.apply(KEY_ID, None)
    keys.apply("never-there", None)
    assert keys.find(b"fresh", NOW) is None
    assert len(keys) == 0


def test_a_snapshot_without_sense_leaves_what_was_there() -> None:
    keys = keys_with()
    with pytest.raises(ValueError):
        keys.apply(KEY_ID, b'{"id":"key-1"}')
    assert keys.find(KEY.encode(), NOW) is not None


@given(st.decimals(0, 10_000, places=12))
def test_a_budget_never_grows_by_rounding(limit: Any) -> None:
    found = keys_with(monthly_budget=Money.of(limit)).find(KEY.encode(), NOW)
    assert found is not None
    assert 0 <= Money.of(limit).usd * 10**9 - found.budget_nano < 1


def test_limits_that_are_not_set_are_none() -> None:
    found = keys_with(rate_limit=None, monthly_budget=None).find(KEY.encode(), NOW)
    assert found is not None
    assert (found.rate_limit, found.token_limit, found.max_concurrency, found.budget_nano) == (0, 0, 0, -1)
    assert found.allowed_models is None


class Vault:
    """A keyvault in memory."""

    def __init__(self) -> None:
        self.is_away = False
        self.secret = "sk-first"
        self.version = 1

    async def open(self, credential_id: str, recipient: str) -> tuple[int, str]:
        if self.is_away:
            raise NoSecret("away")
        return self.version, seal(Secret(self.secret), recipient, f"{credential_id}/{self.version}")


class Held:
    """Credentials that are followed by hand, at an hour set by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.vault = Vault()
        self.credentials = Credentials(self.vault.open, as_it_is)
        self.hour = 0.0
        monkeypatch.setattr("gateway.mirrors.credentials.monotonic", lambda: self.hour * HOUR)

    def wanted(self, version: int = 1, **changes: Any) -> None:
        snapshot = CredentialSnapshot(id="c-1", provider_type="openai", version=version, **changes)
        self.credentials.apply("c-1", snapshot.model_dump_json().encode())

    async def turn(self) -> None:
        """What `run` does at each turn."""
        for missing in self.credentials._missing():
            await self.credentials._get(missing)
        self.credentials._forget_old()

    @property
    def secret(self) -> str | None:
        credential = self.credentials.of_provider("openai")
        return credential.secret.reveal() if credential else None


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Held:
    return Held(monkeypatch)


async def test_a_gateway_has_begun_once_it_held_every_secret(held: Held) -> None:
    held.wanted()
    held.vault.is_away = True
    await held.turn()
    assert (held.secret, held.credentials.has_begun()) == (None, False)
    held.vault.is_away = False
    await held.turn()
    assert (held.secret, held.credentials.has_begun()) == ("sk-first", True)
    held.vault.is_away = True
    held.wanted(version=2)
    assert held.credentials.has_begun()


def test_where_no_secret_is_wanted_none_is_waited_for(held: Held) -> None:
    assert held.credentials.has_begun()


async def test_a_secret_serves_for_a_day_without_keyvault(held: Held) -> None:
    held.wanted()
    await held.turn()
    held.vault.is_away = True
    for hour in (11, 13, 23):
        held.hour = hour
        await held.turn()
        assert held.secret == "sk-first"
    held.hour = 25
    await held.turn()
    assert held.secret is None
    held.vault.is_away = False
    await held.turn()
    assert held.secret == "sk-first"


async def test_hearing_from_keyvault_in_time_keeps_a_secret(held: Held) -> None:
    held.wanted()
    for hour in range(0, 100, 10):
        held.hour = hour
        await held.turn()
        assert held.secret == "sk-first"


async def test_a_rotated_secret_replaces_the_old_one_which_serves_until_then(held: Held) -> None:
    held.wanted()
    await held.turn()
    held.vault.secret, held.vault.version = "sk-second", 2
    generation = held.credentials.generation
    held.wanted(version=2)
    assert held.secret == "sk-first"
    await held.turn()
    assert held.secret == "sk-second"
    assert held.credentials.generation > generation


@pytest.mark.parametrize("changes", [{"enabled": False}, {"owner_user_id": "user-1"}, None])
async def test_a_credential_that_is_off_or_somebody_s_own_is_forgotten_at_once(
    held: Held, changes: dict[str, Any] | None
) -> None:
    held.wanted()
    await held.turn()
    if changes is None:
        held.credentials.apply("c-1", None)
    else:
        held.wanted(**changes)
    assert held.secret is None
    assert not held.credentials._missing()


async def test_a_secret_sealed_for_somebody_else_is_not_taken(held: Held) -> None:
    held.wanted(version=1)
    held.vault.version = 1
    other = Credentials(held.vault.open, as_it_is)

    async def sealed_for_another(credential_id: str, recipient: str) -> tuple[int, str]:
        return await held.vault.open(credential_id, public_key_of(other._private))

    held.credentials._fetch = sealed_for_another
    await held.turn()
    assert held.secret is None


def test_a_credential_does_not_show_its_secret() -> None:
    assert "sk-hidden" not in repr(Credential("c-1", "openai", 1, Secret("sk-hidden"), None, False))


async def test_a_gateway_begins_once_its_first_catalog_is_whole() -> None:
    catalog, clock = Catalog(), FixedClock()
    first = FirstCatalog(catalog, clock)
    catalog.apply("tier.trial", b'{"tier": "trial", "allowed": ["groq/*"]}')
    for _ in range(3):
        clock.advance(10)
        assert not await first.is_here()
    for name in ("gpt-4", "gpt-4o"):
        catalog.apply(f"model.{name}", model_snapshot("openai", name, "1", "2").model_dump_json().encode())
        clock.advance(0.09)
        assert not await first.is_here()
    clock.advance(0.1)
    assert await first.is_here()
    catalog.apply("model.gpt-4", None)
    assert await first.is_here()
