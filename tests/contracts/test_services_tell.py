"""What keyvault, catalog-sync and billing put into their outboxes is what the contracts say, and holds no secret."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

from billing.domain.budgets import Budget, Target
from billing.domain.counters import Counter, Span
from billing.domain.counting import Counted
from billing.flows import messages as billing_messages
from billing.store.totals import Total
from catalog_sync.flows.transactions import audited
from common.actors import Actor
from common.contracts.topology import STREAMS
from common.postgres.outbox import Message
from keyvault.domain.credentials import Credential
from keyvault.domain.virtual_keys import KeyTerms, LiveSecret, VirtualKey
from keyvault.flows import credential_messages, key_messages

from .golden import check

NOW = datetime(2026, 11, 21, 8, 30, tzinfo=UTC)
DIGEST = "ab" * 32
CIPHERTEXT = "never to be told"

KEY = VirtualKey(
    id="0199f3a1-6c2e-7d40-9a51-3f0c7be2d914",
    terms=KeyTerms(name="search", user_id="u1"),
    secrets=(LiveSecret(DIGEST, "abcd", NOW),),
    created_at=NOW,
    updated_at=NOW,
)
CREDENTIAL = Credential(
    id="c1",
    provider_type="openai",
    owner_user_id=None,
    name="",
    ciphertext=CIPHERTEXT,
    version=2,
    last4="abcd",
    base_url=None,
    on_simulator=False,
    enabled=True,
    status="active",
    source="api",
    created_at=NOW,
    updated_at=NOW,
    secret_at=NOW,
)


def told(messages: list[Message], event: str, subject: str) -> dict[str, object]:
    """The one event among some messages, checked; what it carries."""
    [message] = [message for message in messages if message.kind == "event"]
    assert message.target == subject
    body = check(event, message.body)
    assert body["id"] == message.key
    assert any(subject.startswith(root.removesuffix(">")) for stream in STREAMS for root in stream.subjects)
    content: dict[str, object] = body["data"]
    return content


def test_a_key_that_is_made_changed_and_revoked_is_told() -> None:
    created = told(key_messages.created(KEY, NOW), "keys.created.v1", "keys.created")
    assert created == {"api_key_id": KEY.id, "name": "search", "user_id": "u1", "changed": []}
    updated = told(key_messages.updated(KEY, ("rate_limit",), NOW), "keys.updated.v1", "keys.updated")
    assert updated["changed"] == ["rate_limit"]
    assert told(key_messages.revoked(KEY, NOW), "keys.revoked.v1", "keys.revoked")["api_key_id"] == KEY.id


def test_a_credential_that_changes_or_goes_is_told_without_its_secret() -> None:
    for messages, enabled in (
        (credential_messages.changed(CREDENTIAL, None, NOW), True),
        (credential_messages.removed(CREDENTIAL, NOW), False),
    ):
        content = told(messages, "credentials.changed.v1", "credentials.changed")
        assert (content["credential_id"], content["version"], content["enabled"]) == ("c1", 2, enabled)
        assert not [message for message in messages if CIPHERTEXT.encode() in message.body]


def test_reminders_of_keys_and_credentials_are_told_without_a_secret() -> None:
    key = told([key_messages.reminded(KEY, "rotation_due", NOW, NOW)], "keys.reminded.v1", "keys.reminded")
    assert (key["api_key_id"], key["reason"]) == (KEY.id, "rotation_due")
    message = credential_messages.reminded(CREDENTIAL, "old", NOW)
    content = told([message], "credentials.reminded.v1", "credentials.reminded")
    assert (content["credential_id"], content["version"], content["reason"]) == ("c1", 2, "old")
    assert CIPHERTEXT.encode() not in message.body


def test_an_admins_act_in_the_catalog_is_told() -> None:
    message = audited(Actor("u1", "203.0.113.7"), "alias.created", "alias/my-gpt4", NOW, deployments="openai/gpt-4o")
    content = told([message], "audit.recorded.v1", "audit.recorded.catalog-sync")
    assert (content["actor"], content["origin"]) == ("u1", "203.0.113.7")
    assert content["detail"] == {"deployments": "openai/gpt-4o"}


def test_a_threshold_that_was_reached_is_told_under_the_same_id_however_often() -> None:
    target = Target("user", "u1", "user:u1", "u1")
    budget = Budget("b1", target, Span("daily", "UTC"), "hard", Decimal(10), (50, 80, 100), NOW, NOW)
    total = Total(Counter("user:u1", "2026-11-21"), Counted(Decimal("8.5"), Decimal("8.5")), 3)
    first, second = (billing_messages.threshold_reached(budget, total, 80, NOW) for _ in range(2))
    assert first.key == second.key
    content = told([first], "billing.budget.threshold.v1", "billing.budget.threshold")
    assert (content["percent"], content["spent_usd"], content["period"]) == (80, "8.5", "2026-11-21")
