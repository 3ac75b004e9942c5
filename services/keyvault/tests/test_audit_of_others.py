"""What admins did at other services is in the one trail, once, and the trail can be verified."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from common.contracts.changes import AUDIT_RECORDED, AuditRecorded
from common.contracts.envelope import Envelope, event_headers
from common.ids import uuid7
from common.testing.events import of_a_later_release

AT = datetime(2026, 11, 21, 8, 38, 7, tzinfo=UTC)


def audited(action: str) -> Envelope[AuditRecorded]:
    told = AuditRecorded(
        actor="u1", action=action, subject="alias/a", at=AT, origin="203.0.113.7", detail={"model": "openai/gpt-4"}
    )
    return Envelope[AuditRecorded](id=uuid7(), source="/catalog-sync", type=AUDIT_RECORDED, time=AT, data=told)


async def tell(alone: Any, *events: Envelope[AuditRecorded]) -> None:
    for event in events:
        headers = event_headers(uuid7())  # ids of their own, so that what is told again really is delivered again
        await alone.bus.jetstream.publish(
            "audit.recorded.catalog-sync", event.model_dump_json().encode(), headers=headers
        )


async def test_what_others_tell_is_chained_once_and_verified(alone: Any, eventually: Any) -> None:
    admin = await alone.admin()
    created, removed = audited("alias.created"), audited("alias.removed")
    await tell(alone, created, removed, created)
    await tell(alone, created)

    async def is_there() -> bool:
        return "alias.removed" in await alone.audit_actions("alias/a")

    await eventually(is_there)
    await tell(alone, removed)
    changed = of_a_later_release(audited("alias.changed"))
    await alone.bus.jetstream.publish("audit.recorded.catalog-sync", changed, headers=event_headers(uuid7()))

    async def is_last_there() -> bool:
        return "alias.changed" in await alone.audit_actions("alias/a")

    await eventually(is_last_there)
    assert await alone.audit_actions("alias/a") == ["alias.created", "alias.removed", "alias.changed"]
    entries = (await alone.call("GET", "/api/v1/audit", admin)).json()["items"]
    [entry] = [each for each in entries if each["action"] == "alias.created"]
    assert (entry["actor"], entry["at"], entry["origin"]) == ("u1", "2026-11-21T08:38:07Z", "203.0.113.7")
    assert entry["detail"] == {"model": "openai/gpt-4", "service": "catalog-sync"}
    found = (await alone.call("GET", "/api/v1/audit/verify", admin)).json()
    assert found == {
        "intact": True, "entries": len(entries), "last_hash": entries[0]["hash"], "broken_at": None
    }  # fmt: skip


async def test_a_changed_trail_is_found_out_at_the_entry(alone: Any) -> None:
    admin = await alone.admin()
    for _ in range(3):
        await alone.make_key(admin)
    await alone.owner.execute("ALTER TABLE audit_entries DISABLE TRIGGER audit_entries_append_only")
    second = await alone.owner.fetchval("SELECT id FROM audit_entries ORDER BY id DESC OFFSET 1 LIMIT 1")
    await alone.owner.execute("UPDATE audit_entries SET actor = 'somebody else' WHERE id = $1", second)
    found = (await alone.call("GET", "/api/v1/audit/verify", admin)).json()
    assert (found["intact"], found["broken_at"]) == (False, str(second))
